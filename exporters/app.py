"""The exporter's HTTP face, as a WSGI application."""

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from itertools import chain
from typing import Protocol
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from structlog.typing import FilteringBoundLogger

from exporters import __version__
from exporters.catalog import Collector
from exporters.guard import Guard

_TEXT = "text/plain; charset=utf-8"
# Pages are scraped over loopback or a rack's network: a little compression costs little time.
_COMPRESSION = 1


class ProbeAnswer(Protocol):
    """What a probe gives: an HTTP status, a body and its content type."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def body(self) -> bytes:
        """The page."""

    @property
    def content_type(self) -> str:
        """Its type."""


class Prober(Protocol):
    """Reads one inference engine and gives its page in our vocabulary."""

    def probe(self, target: str | None, engine: str | None, timeout: str | None) -> ProbeAnswer:
        """Probe `target`; 400 for a bad parameter, 403 for a target that is not allowed, 200 else.

        `timeout` is Prometheus's own, in seconds; None where a parameter or the header is missing.
        """


@dataclass(frozen=True, slots=True)
class Request:
    """What the routes look at."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    accept: str
    accept_encoding: str
    scrape_timeout: str | None

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> "Request":
        """Read the request from WSGI's environment."""
        return cls(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", "/"),
            query=parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True),
            accept=environ.get("HTTP_ACCEPT", ""),
            accept_encoding=environ.get("HTTP_ACCEPT_ENCODING", ""),
            scrape_timeout=environ.get("HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"),
        )


@dataclass(frozen=True, slots=True)
class Response:
    """Status, body and its type."""

    status: int
    body: bytes
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


class ExporterApp:
    """`/metrics`, `/probe`, `/healthz` and a landing page. GET and HEAD only."""

    def __init__(
        self, guard: Guard, about: CollectorRegistry, *, prober: Prober | None, log: FilteringBoundLogger
    ) -> None:
        """`about` holds the exporter's own metrics: they are given whatever collectors a scrape chooses."""
        self._guard = guard
        self._about = about
        self._prober = prober
        self._log = log
        self._routes = {"/": self._landing, "/metrics": self._metrics, "/probe": self._probe, "/healthz": self._health}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request.of(environ)
        response = self._answer(request)
        body, headers = response.body, [("Content-Type", response.content_type), *response.headers]
        if gzip_accepted(request.accept_encoding) and body:
            body = gzip.compress(body, _COMPRESSION, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [] if request.method == "HEAD" else [body]

    def _answer(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return _text(HTTPStatus.NOT_FOUND, f"nothing here; try one of {', '.join(sorted(self._routes))}")
        if request.method not in {"GET", "HEAD"}:
            response = _text(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not supported here; use GET")
            return Response(response.status, response.body, headers=(("Allow", "GET, HEAD"),))
        try:
            return route(request)
        except Exception:  # noqa: BLE001 - the edge: a defect in one route answers 500 and is logged
            self._log.exception("request_failed", path=request.path)
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, "the exporter failed on this request; its log says how")

    def _metrics(self, request: Request) -> Response:
        asked = request.query.get("collect[]")
        unknown = sorted(set(asked or ()) - set(self._guard.names))
        if unknown:
            on = ", ".join(self._guard.names)
            return _text(HTTPStatus.BAD_REQUEST, f"collect[]: no collector {', '.join(unknown)} is on; these are: {on}")
        only = None if asked is None else frozenset(map(Collector, asked))
        encode, content_type = choose_encoder(request.accept)
        page = _Page(self._guard.collect(only), self._about.collect())
        return Response(HTTPStatus.OK, encode(page), content_type)

    def _probe(self, request: Request) -> Response:
        if self._prober is None:
            return _text(HTTPStatus.NOT_FOUND, "probing is off in this exporter")
        for name in ("target", "engine"):
            times = len(request.query.get(name, []))
            if times > 1:
                return _text(HTTPStatus.BAD_REQUEST, f"{name}: give it once, not {times} times")
        target, engine = (request.query.get(name, [None])[0] for name in ("target", "engine"))
        answer = self._prober.probe(target, engine, request.scrape_timeout)
        return Response(answer.status, answer.body, answer.content_type)

    def _health(self, _: Request) -> Response:
        return _text(HTTPStatus.OK, "ok")

    def _landing(self, _: Request) -> Response:
        page = _LANDING.format(version=escape(__version__), collectors=escape(", ".join(self._guard.names)))
        return Response(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8")


class _Page:
    """Several groups of families as the one collector that an encoder takes."""

    def __init__(self, *groups: Iterable[Metric]) -> None:
        self._groups = groups

    def collect(self) -> Iterator[Metric]:
        return chain.from_iterable(self._groups)


def _text(status: HTTPStatus, text: str) -> Response:
    return Response(status, f"{text}\n".encode())


_LANDING = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>OptiInfra exporter</title></head>
<body>
<h1>OptiInfra exporter {version}</h1>
<ul>
<li><a href="/metrics">/metrics</a>: this node (collectors: {collectors}); <code>?collect[]=cpu</code> for some</li>
<li><code>/probe?target=URL&amp;engine=auto</code>: an inference engine, in OptiInfra's vocabulary</li>
<li><a href="/healthz">/healthz</a></li>
</ul>
</body>
</html>
"""
