"""The exporter's HTTP face, as a WSGI application."""

import gzip
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted
from structlog.typing import FilteringBoundLogger

from exporters import __version__
from exporters.catalog import Collector, Engine
from exporters.guard import Guard
from exporters.landing import POLICY, landing_page
from exporters.page import PageWriter

_TEXT = "text/plain; charset=utf-8"
# Pages are scraped over loopback or a rack's network: a little compression costs little time.
_COMPRESSION = 1
PAGES = ("/", "/healthz", "/metrics", "/probe")
# Of any page: what we say it is, is what it is.
_ALWAYS = (("X-Content-Type-Options", "nosniff"),)


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


class CompletionProber(Protocol):
    """Asks an endpoint for a few tokens and gives a page of what it measured."""

    def probe(self, module: str, target: str | None, model: str | None, timeout: str | None) -> ProbeAnswer:
        """Probe `target` as `module` says; as for `Prober`."""


class Prober(Protocol):
    """Reads one inference engine and gives its page in our vocabulary."""

    def probe(self, target: str | None, engine: str | None, timeout: str | None) -> ProbeAnswer:
        """Probe `target`; 400 for a bad parameter, 403 for a target that is not allowed, 200 else.

        `timeout` is Prometheus's own, in seconds; None where a parameter or the header is missing.
        """


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Request:
    """What the routes look at."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    accept: str
    accept_encoding: str
    scrape_timeout: str | None
    abandoned: Callable[[], bool]

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
            abandoned=environ.get("waitress.client_disconnected", _never),
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
        self,
        guard: Guard,
        about: CollectorRegistry,
        *,
        prober: Prober | None,
        log: FilteringBoundLogger,
        blackbox: CompletionProber | None = None,
        max_requests: int = 0,
        notice: str | None = None,
    ) -> None:
        """`about` holds the exporter's own metrics: they are given whatever collectors a scrape chooses.

        `max_requests` is the most that read this node at once, 0 no bound; `notice` is for the landing page.
        """
        self._guard = guard
        self._about = about
        self._pages = PageWriter()
        self._prober = prober
        self._blackbox = blackbox
        self._log = log
        self._readers = threading.BoundedSemaphore(max_requests) if max_requests else None
        self._max_requests = max_requests
        self._notice = notice
        self._routes = {
            "/": self._landing,
            "/metrics": self._metrics,
            "/probe": self._probe,
            "/healthz": self._health,
            "/favicon.ico": self._no_icon,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request.of(environ)
        response = self._answer(request)
        body, headers = response.body, [("Content-Type", response.content_type), *_ALWAYS, *response.headers]
        if gzip_accepted(request.accept_encoding) and body:
            body = gzip.compress(body, _COMPRESSION, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [] if request.method == "HEAD" else [body]

    def _answer(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return _text(HTTPStatus.NOT_FOUND, f"nothing here; try one of {', '.join(PAGES)}")
        if request.method not in {"GET", "HEAD"}:
            response = _text(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not supported here; use GET")
            return Response(response.status, response.body, headers=(("Allow", "GET, HEAD"),))
        if request.abandoned():
            # It waited for a thread longer than whoever asked would wait. Were it answered nevertheless, an exporter
            # that fell behind once would work for nobody from then on.
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "nobody waits for this answer any more")
        try:
            return route(request)
        except Exception:  # noqa: BLE001 - the edge: a defect in one route answers 500 and is logged
            self._log.exception("request_failed", path=request.path)
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, "the exporter failed on this request; its log says how")

    def _metrics(self, request: Request) -> Response:
        try:
            only = self._chosen(request.query)
        except _BadRequest as error:
            return _text(HTTPStatus.BAD_REQUEST, str(error))
        if self._readers is None:
            return self._read(only, request.accept)
        if not self._readers.acquire(blocking=False):
            text = f"{self._max_requests} requests are under way, which is the most; try again later"
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, text)
        try:
            return self._read(only, request.accept)
        finally:
            self._readers.release()

    def _read(self, only: frozenset[Collector] | None, accept: str) -> Response:
        encode, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        node = self._pages.write(self._guard.read(only), openmetrics=openmetrics)
        # The encoder comes last: it ends the page as its format wants.
        return Response(HTTPStatus.OK, node + encode(self._about), content_type)

    def _chosen(self, query: Mapping[str, Sequence[str]]) -> frozenset[Collector] | None:
        """Collectors that a scrape wants, None being all."""
        named = {name: frozenset(query[name]) for name in ("collect[]", "exclude[]") if name in query}
        if len(named) > 1:
            raise _BadRequest("collect[] and exclude[] contradict each other; give one of them")
        for parameter, names in named.items():
            on = frozenset(self._guard.names)
            if unknown := sorted(names - on):
                known = ", ".join(self._guard.names)
                raise _BadRequest(f"{parameter}: no collector {', '.join(unknown)} is on; these are: {known}")
            chosen = frozenset(map(Collector, names))
            return chosen if parameter == "collect[]" else on - chosen
        return None

    def _probe(self, request: Request) -> Response:
        names = ("module", "target", "engine", "model")
        for name in names:
            times = len(request.query.get(name, []))
            if times > 1:
                return _text(HTTPStatus.BAD_REQUEST, f"{name}: give it once, not {times} times")
        module, target, engine, model = (request.query.get(name, [None])[0] for name in names)
        if module is not None:
            return self._complete(module, target, model, request.scrape_timeout)
        if self._prober is None:
            return _text(HTTPStatus.NOT_FOUND, "probing is off in this exporter")
        answer = self._prober.probe(target, engine, request.scrape_timeout)
        return Response(answer.status, answer.body, answer.content_type)

    def _complete(self, module: str, target: str | None, model: str | None, timeout: str | None) -> Response:
        if self._blackbox is None:
            text = "probes with a module are off in this exporter; --blackbox-config turns them on"
            return _text(HTTPStatus.NOT_FOUND, text)
        answer = self._blackbox.probe(module, target, model, timeout)
        return Response(answer.status, answer.body, answer.content_type)

    def _health(self, _: Request) -> Response:
        return _text(HTTPStatus.OK, "ok")

    def _no_icon(self, _: Request) -> Response:
        return Response(HTTPStatus.NOT_FOUND, b"")  # browsers ask on their own; nobody reads an answer

    def _landing(self, _: Request) -> Response:
        page = landing_page(
            version=__version__,
            collectors=self._guard.names,
            engines=None if self._prober is None else ("auto", *Engine),
            completions=self._blackbox is not None,
            notice=self._notice,
        )
        headers = (("Content-Security-Policy", POLICY),)
        return Response(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", headers)


class _BadRequest(ValueError):
    """What a request asks for contradicts itself or is not there."""


def _text(status: HTTPStatus, text: str) -> Response:
    return Response(status, f"{text}\n".encode())
