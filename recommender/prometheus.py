"""PromQL over HTTP: typed answers, one deadline a call, and errors that say what to do."""

import io
import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from recommender.contracts import Sample, Series
from recommender.errors import PrometheusError

MAX_BODY_BYTES = 32 * 1024 * 1024  # a service of 100 replicas answers with about 2 MB; more is the wrong query
_READ_BYTES = 64 * 1024
_Row = TypeVar("_Row", Sample, Series)


class DeadlineAdapter(HTTPAdapter):
    """Reads each body within `timeout_seconds` of its request and within MAX_BODY_BYTES.

    The timeout of requests is between two bytes: a server that trickles would hold the caller for ever.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        super().__init__(max_retries=Retry(total=1, backoff_factor=0.1, status=0, other=0, read=0))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # noqa: ANN401 - requests' own signature, passed through
        """Send it and read its whole body. Raises what requests raises: a body that is late or too long is such."""
        deadline = time.monotonic() + self._timeout_seconds
        response = super().send(request, **{**kwargs, "stream": True, "timeout": self._timeout_seconds})
        body = bytearray()
        while chunk := response.raw.read1(_READ_BYTES, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise requests.exceptions.ContentDecodingError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout(f"no whole answer within {self._timeout_seconds:g} s")
        response.raw.release_conn()
        response.raw = io.BytesIO(bytes(body))
        return response


class PrometheusClient:
    """Queries one Prometheus (or anything with its HTTP API). Implements `contracts.PromQL`; safe to share by threads.

    A refused connection is tried once more; nothing else is retried, because every caller runs again by itself.
    """

    def __init__(self, url: str, timeout_seconds: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._shown_url = _without_password(self._url)
        self._timeout_seconds = timeout_seconds
        session = requests.Session()
        self._connect = PrometheusConnect(self._url, session=session)
        session.mount(self._url, DeadlineAdapter(timeout_seconds))  # after PrometheusConnect mounted its own

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        """Instant query at `at` (default: now on the server). NaN samples are left out.

        Raises PrometheusError, also when the query gives a scalar or a string.
        """
        params: dict[str, str] = {"timeout": f"{1000 * self._timeout_seconds:.0f}ms"}
        if at is not None:
            params["time"] = f"{at.timestamp():.3f}"
        samples = self._ask(
            query, "an instant vector", lambda: self._connect.custom_query(query, params=params), _sample
        )
        return [sample for sample in samples if not math.isnan(sample.value)]

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """Range query, both ends included; NaN points and empty series are left out. Raises PrometheusError."""
        params = {
            "timeout": f"{1000 * self._timeout_seconds:.0f}ms",
            "start": f"{start.timestamp():.3f}",  # the library rounds to whole seconds
            "end": f"{end.timestamp():.3f}",
        }
        step = f"{step_seconds:g}"
        series = self._ask(
            query, "a matrix", lambda: self._connect.custom_query_range(query, start, end, step, params=params), _series
        )
        return [one for one in series if one.points]

    def check(self) -> None:
        """Ask for a constant; raises PrometheusError when Prometheus does not answer queries."""
        if [sample.value for sample in self.instant("vector(1)")] != [1.0]:
            raise PrometheusError(f"{self._shown_url} does not answer queries as Prometheus does; check the URL.")

    def close(self) -> None:
        """Give the connections back."""
        self._connect.close()

    def _ask(self, query: str, wanted: str, fetch: Callable[[], Any], read: Callable[[Any], _Row]) -> list[_Row]:
        try:
            rows = fetch()
        except (requests.exceptions.JSONDecodeError, KeyError, TypeError) as exc:
            raise self._unusable(query, wanted, exc) from exc
        except (requests.RequestException, HTTPError, PrometheusApiClientException, OSError) as exc:
            raise self._unanswered(query, exc) from exc
        try:
            return [read(row) for row in rows]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as exc:
            raise self._unusable(query, wanted, exc) from exc

    def _unanswered(self, query: str, exc: Exception) -> PrometheusError:
        if isinstance(exc, PrometheusApiClientException):
            return PrometheusError(
                f"Prometheus at {self._shown_url} refused the query {query!r}: {str(exc)[:500]}. "
                "Check the URL's path and what Prometheus logs."
            )
        return PrometheusError(
            f"Prometheus at {self._shown_url} did not answer the query {query!r} within {self._timeout_seconds:g} s "
            f"({type(exc).__name__}). Check that it runs, that the URL is right and that this host may reach it."
        )

    def _unusable(self, query: str, wanted: str, exc: Exception) -> PrometheusError:
        return PrometheusError(
            f"Prometheus at {self._shown_url} answered the query {query!r} with something other than {wanted} "
            f"({type(exc).__name__}: {exc}). Check that the URL is a Prometheus and that the query gives {wanted}."
        )


def _sample(row: Any) -> Sample:  # noqa: ANN401 - decoded JSON, checked by reading it
    return Sample(_labels(row["metric"]), float(row["value"][1]))


def _series(row: Any) -> Series:  # noqa: ANN401 - decoded JSON, checked by reading it
    points = ((float(at), float(value)) for at, value in row["values"])
    return Series(_labels(row["metric"]), tuple((at, value) for at, value in points if not math.isnan(value)))


def _labels(metric: Mapping[str, str]) -> dict[str, str]:
    return {str(name): str(value) for name, value in metric.items()}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"***@{parts.netloc.rsplit('@', 1)[1]}"))
