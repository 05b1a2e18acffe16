"""One probe of an endpoint: find the model, send the request, follow the stream."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from exporters import __version__
from exporters.blackbox.completion import DONE, CompletionError, EngineError, read_event, request_body
from exporters.blackbox.config import CredentialsError, Module, read_headers
from exporters.blackbox.measure import Measured
from exporters.blackbox.models import ModelNames, StatusError
from exporters.blackbox.sse import EventStream, EventTooLarge, StreamError
from exporters.catalog import BlackboxFailure, BlackboxPhase
from exporters.exchange import Answer, ExchangeError, HttpRequest, Wire, exchange
from exporters.inference.connection import Remaining, Resolve
from exporters.inference.targets import AllowList, Endpoint

_MODELS_PATH = "/v1/models"
_MODELS_BYTES = 2**20
_NAME_ONE = "name the model with the module's key model, or the parameter model"
_EVENT_BYTES = 2**16
# What a stream may have: room for comments and usage, and far more a token than any endpoint sends.
_STREAM_BYTES = 2**16
_TOKEN_BYTES = 2**10
_MARKS = {"User-Agent": f"optiinfra-blackbox/{__version__}", "X-OptiInfra-Probe": "1"}


class ProbeError(Exception):
    """A probe without success; `reason` is the closed kind, the message the detail for people."""

    def __init__(self, reason: BlackboxFailure, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks endpoints. Thread-safe. `nonce` gives short random texts, `tls` the trust store."""

    allowed: AllowList
    models: ModelNames
    nonce: Callable[[], str]
    tls: Callable[[], ssl.SSLContext]
    resolve: Resolve

    def ask(self, base: Endpoint, module: Module, model: str | None, remaining: Remaining, into: Measured) -> None:
        """Make the probe and fill in what it measures, as far as it comes. Raises ProbeError.

        `model` goes before the module's.
        """
        try:
            headers = {**read_headers(module.headers), **_MARKS}
            into.model = model or module.model or self._first_model(base, headers, remaining, into)
            self._complete(base, module, headers, remaining, into)
        except CredentialsError as error:
            raise ProbeError(BlackboxFailure.CREDENTIALS, str(error)) from None
        except StatusError as error:
            into.status = error.status
            self.models.forget(base.at(_MODELS_PATH))
            raise ProbeError(BlackboxFailure.HTTP_STATUS, f"{module.endpoint.path} answers {error}") from None
        except ExchangeError as error:
            raise ProbeError(BlackboxFailure(error.kind.value), str(error)) from None
        except EventTooLarge as error:
            raise ProbeError(BlackboxFailure.TOO_LARGE, str(error)) from None
        except (CompletionError, StreamError) as error:
            raise ProbeError(BlackboxFailure.PROTOCOL, str(error)) from None
        except EngineError as error:
            raise ProbeError(BlackboxFailure.ENGINE_ERROR, str(error)) from None
        if module.require_text and not into.pieces:
            raise ProbeError(BlackboxFailure.EMPTY, "the answer has no text")

    def _first_model(self, base: Endpoint, headers: Mapping[str, str], remaining: Remaining, into: Measured) -> str:
        page = base.at(_MODELS_PATH)
        name = self.models.known(page)
        if name is None:
            try:
                name = self.models.ask(page, headers, self._wire(remaining, _MODELS_BYTES))
            except StatusError as error:  # not the completion's: the reason keeps the two apart
                into.status = error.status
                detail = f"{_MODELS_PATH} answers {error}; {_NAME_ONE}"
                raise ProbeError(BlackboxFailure.MODEL, detail) from None
            except CompletionError as error:
                raise ProbeError(BlackboxFailure.MODEL, f"{_MODELS_PATH} {error}; {_NAME_ONE}") from None
            except ExchangeError as error:
                raise ProbeError(BlackboxFailure(error.kind.value), f"{_MODELS_PATH}: {error}") from None
            into.stopwatch.end(BlackboxPhase.MODEL)
        return name

    def _complete(
        self, base: Endpoint, module: Module, headers: Mapping[str, str], remaining: Remaining, into: Measured
    ) -> None:
        body = request_body(module, into.model, self.nonce() if module.nonce else "")
        asked = {**headers, "Accept": "text/event-stream", "Content-Type": "application/json"}
        limit = _STREAM_BYTES + module.max_tokens * _TOKEN_BYTES
        request = HttpRequest("POST", base.at(module.endpoint.path), asked, body)
        with exchange(request, self._wire(remaining, limit, into)) as answer:
            if answer.status != HTTPStatus.OK:
                raise StatusError(answer.status)
            into.status = answer.status
            if answer.media_type != "text/event-stream":
                raise CompletionError("the content type is not text/event-stream: the endpoint does not stream")
            _follow(answer, into)
        into.stopwatch.end(BlackboxPhase.STREAM)

    def _wire(self, remaining: Remaining, max_bytes: int, into: Measured | None = None) -> Wire:
        wire = Wire(self.allowed, remaining, max_bytes, self.tls, self.resolve)
        return wire if into is None else replace(wire, mark=into.stopwatch.step)


def _follow(answer: Answer, into: Measured) -> None:
    """Read the stream to its end: `[DONE]`, or the end of the body after a finish reason. Raises StreamError too."""
    events = EventStream(_EVENT_BYTES)
    into.body_bytes = 0
    for piece in answer.pieces():
        at = into.stopwatch.now()  # one instant for all that came together
        into.body_bytes += len(piece)
        for data in events.feed(piece):
            if data.strip() == DONE:
                into.done = True
                return
            into.take(read_event(data), at)
    if not into.finished:
        raise CompletionError("the stream breaks off: neither [DONE] nor a finish reason came")
    into.done = True
