"""The one way in which `diagnose` asks a Prometheus: PromQL by POST, each query with a time-out, each failure in words.

Only `/api/v1/query` and `/api/v1/query_range` are asked. Both read.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from recommender.contracts import Sample, Series
from recommender.errors import ConfigError, PrometheusError
from recommender.prometheus import DeadlineAdapter

_GET_ONLY = 405
_BUSY = 503
_GRACE_SECONDS = 5.0
_REFUSED = frozenset({400, 422})
_Row = TypeVar("_Row", Sample, Series)
_UNAUTHENTICATED = frozenset({401, 403})
_REDIRECTED = range(300, 400)


class QueryRefused(PrometheusError):
    """Prometheus answers, but not this query: it is too much for it, or cannot be evaluated."""


class TookTooLong(QueryRefused):
    """Prometheus gave the query up at the time-out."""


class NotAllowed(PrometheusError):
    """Prometheus, or what is before it, wants to know who asks."""


class _Bearer(AuthBase):
    """Sends a token. As an `auth` it goes before what a `.netrc` says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True, slots=True)
class Access:
    """How to be let in. Secrets are read from files, so that no process list shows them."""

    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    tenant: str | None = None
    ca_file: Path | None = None

    def session(self) -> requests.Session:
        """A session that sends it. Raises ConfigError where a file cannot be read, or half of a pair is missing."""
        session = requests.Session()
        if self.ca_file is not None:
            _read(self.ca_file, "--ca-file")
            session.verify = str(self.ca_file)
        if self.tenant is not None:
            session.headers["X-Scope-OrgID"] = self.tenant
        session.auth = self._auth()
        return session

    def _auth(self) -> AuthBase | None:
        if self.bearer_token_file is not None and self.username is not None:
            raise ConfigError("--bearer-token-file and --username are two ways to be let in; give one")
        if self.bearer_token_file is not None:
            return _Bearer(_secret(self.bearer_token_file, "--bearer-token-file"))
        if (self.username is None) != (self.password_file is None):
            raise ConfigError("--username and --password-file go together; give both")
        if self.username is not None and self.password_file is not None:
            return HTTPBasicAuth(self.username.encode(), _secret(self.password_file, "--password-file").encode())
        return None


@dataclass(slots=True)
class Asked:
    """What was asked so far: figures for the report."""

    queries: int = 0
    longest: int = 0


class ReadingClient:
    """Queries one Prometheus, or anything with its HTTP API. Implements `contracts.PromQL`.

    Raises PrometheusError when it does not answer, `NotAllowed` and `QueryRefused` where the difference matters.
    """

    def __init__(self, url: str, access: Access, *, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._shown = _without_password(self._url)
        self._timeout = timeout_seconds
        self._session = access.session()
        # Prometheus itself is told the time-out, and says so when a query reaches it.
        self._session.mount(self._url, DeadlineAdapter(timeout_seconds + _GRACE_SECONDS))
        self._method = "POST"  # an inlined rule is longer than a URL may be
        self.asked = Asked()

    @property
    def shown_url(self) -> str:
        """The address without a password."""
        return self._shown

    def vector(self, query: str, at: datetime) -> list[Sample]:
        """Every sample of an instant query, NaN included."""
        return self._ask("query", {"query": query, "time": f"{at.timestamp():.3f}"}, "vector", _sample)

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        """Instant query at `at` (default: now on the server). NaN samples are left out."""
        parameters = {"query": query} | ({} if at is None else {"time": f"{at.timestamp():.3f}"})
        samples = self._ask("query", parameters, "vector", _sample)
        return [sample for sample in samples if not math.isnan(sample.value)]

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """Range query, both ends included; NaN points and empty series are left out."""
        parameters = {
            "query": query,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step_seconds:g}",
        }
        return [one for one in self._ask("query_range", parameters, "matrix", _series) if one.points]

    def now(self) -> float:
        """The server's clock, in unix seconds: evidence is read at its instant, not at this machine's."""
        samples = self._ask("query", {"query": "vector(time())"}, "vector", _sample)
        if len(samples) != 1 or not math.isfinite(samples[0].value):
            raise self._other()
        return samples[0].value

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def _ask(self, path: str, parameters: dict[str, str], wanted: str, read: Callable[[Any], _Row]) -> list[_Row]:
        parameters = parameters | {"timeout": f"{self._timeout:g}s"}
        self.asked.queries += 1
        self.asked.longest = max(self.asked.longest, len(parameters["query"]))
        response = self._send(path, parameters)
        if response.status_code == _GET_ONLY and self._method == "POST":
            self._method = "GET"
            response = self._send(path, parameters)
        if not response.ok or response.status_code in _REDIRECTED:
            raise self._failure(response)
        try:
            data = response.json()["data"]
            if data["resultType"] == wanted:
                return [read(row) for row in data["result"]]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as exc:
            raise self._other() from exc
        raise self._other()

    def _send(self, path: str, parameters: dict[str, str]) -> requests.Response:
        payload = {"params": parameters} if self._method == "GET" else {"data": parameters}
        try:
            return self._session.request(self._method, f"{self._url}/api/v1/{path}", allow_redirects=False, **payload)  # type: ignore[arg-type]  # the two are keyword arguments of requests
        except requests.exceptions.SSLError as exc:
            raise PrometheusError(
                f"{self._shown} shows a certificate that is not trusted here; name its authority with --ca-file"
            ) from exc
        except (requests.Timeout, TimeoutError) as exc:
            raise PrometheusError(
                f"Prometheus at {self._shown} did not answer within {self._timeout:g} s. Check --prometheus, that it "
                "runs, and that this host may reach it; --timeout waits longer."
            ) from exc
        except (requests.RequestException, OSError) as exc:
            raise PrometheusError(
                f"Prometheus at {self._shown} cannot be reached, or broke off ({type(exc).__name__}). Check "
                "--prometheus, that it runs, and that this host may reach it."
            ) from exc

    def _failure(self, response: requests.Response) -> PrometheusError:
        status = response.status_code
        if status in _UNAUTHENTICATED:
            return NotAllowed(
                f"{self._shown} answered {status}: it wants to know who asks. Give --bearer-token-file FILE, or "
                "--username NAME with --password-file FILE; behind Mimir or Cortex also --tenant ID."
            )
        if status in _REDIRECTED:
            return NotAllowed(
                f"{self._shown} sends elsewhere ({status}), to a login page perhaps. Give --prometheus the address of "
                "the API itself, or --bearer-token-file FILE."
            )
        if status == _BUSY and _told(response, "errorType") == "timeout":
            return TookTooLong(f"no answer within {self._timeout:g} s; --timeout waits longer")
        if status in _REFUSED:
            return QueryRefused(_reason(response))
        return PrometheusError(
            f"{self._shown} answered {status}: {_reason(response)}. Check --prometheus: it is the address before "
            "/api/v1/query, with the path prefix if there is one."
        )

    def _other(self) -> PrometheusError:
        return PrometheusError(f"{self._shown} does not answer as Prometheus does; check --prometheus.")


def _told(response: requests.Response, field: str) -> str:
    """What Prometheus says of an error; empty where the answer is none of its own."""
    try:
        told = response.json()[field]
    except (ValueError, KeyError, TypeError):
        return ""
    return "".join(one if one.isprintable() else " " for one in str(told))[:300]


def _reason(response: requests.Response) -> str:
    return _told(response, "error") or response.reason


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}; give {option} a file that this user may read") from exc


def _secret(path: Path, option: str) -> str:
    secret = _read(path, option).strip()
    if not secret or not secret.isprintable() or not secret.isascii():
        raise ConfigError(f"{path} holds no secret that can be sent: {option} wants one line of ASCII text")
    return secret


def _sample(row: Any) -> Sample:  # noqa: ANN401 - decoded JSON
    return Sample({str(name): str(value) for name, value in row["metric"].items()}, float(row["value"][1]))


def _series(row: Any) -> Series:  # noqa: ANN401 - decoded JSON
    points = ((float(at), float(value)) for at, value in row["values"])
    labels = {str(name): str(value) for name, value in row["metric"].items()}
    return Series(labels, tuple((at, value) for at, value in points if not math.isnan(value)))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}")) if "@" in parts.netloc else url
