"""The orchestrator's three endpoints: register, heartbeat, deregister."""

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

from exporters import __version__
from exporters.catalog import AgentOutcome
from exporters.exchange import ExchangeError, ExchangeFailure, HttpRequest, Wire, exchange
from exporters.inference.connection import Resolve
from exporters.inference.targets import AllowList, Endpoint, parse_endpoint

# Nothing in an answer but its status is used; a body is read to this size, so that a hostile one costs nothing.
_MAX_BODY_BYTES = 2**16
_MAX_TOKEN_BYTES = 2**14
_HINTS: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "it does not accept what this agent says of itself; see its log and --exporter-url",
    HTTPStatus.UNAUTHORIZED: "it does not know the token; see --agent-token-file",
    HTTPStatus.FORBIDDEN: "the token lacks the role agent, or belongs to another agent",
    HTTPStatus.CONFLICT: "the token speaks for another agent, or another token for this one; give each its own",
}
_UNKNOWN_HERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_SUCCESS, _CLIENT_ERROR = 2, 4  # first digit of the status
_OUTCOMES = {
    ExchangeFailure.ADDRESS: AgentOutcome.CONNECTION,
    ExchangeFailure.CONNECTION: AgentOutcome.CONNECTION,
    ExchangeFailure.TLS: AgentOutcome.CONNECTION,
    ExchangeFailure.TIMEOUT: AgentOutcome.TIMEOUT,
}


class OrchestratorError(Exception):
    """A call that did not succeed; the message is the detail for people and quotes no body."""

    def __init__(self, outcome: AgentOutcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Where the orchestrator is and how it is spoken to. `base` is what stands before `/agents/…`."""

    base: Endpoint
    allowed: AllowList
    token_file: Path | None
    clock: Callable[[], float]
    tls: Callable[[], ssl.SSLContext]
    resolve: Resolve = socket.getaddrinfo

    @classmethod
    def at(
        cls,
        url: str,
        path_prefix: str,
        token_file: Path | None,
        *,
        clock: Callable[[], float],
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> "Orchestrator":
        """Speak to `url`, whose endpoints begin with `path_prefix`. Raises TargetError."""
        prefix = path_prefix.strip("/")
        endpoint = parse_endpoint(f"{url.rstrip('/')}/{prefix}" if prefix else url, ())
        # The orchestrator alone, wherever its name leads, this machine included; link-local stays refused.
        root = endpoint.root
        entries = [root.netloc, f"127.0.0.0/8:{root.port}", f"::1/128:{root.port}"]
        return cls(endpoint, AllowList.parse(entries), token_file, clock, cache(tls))

    def register(self, payload: Mapping[str, object], seconds: float) -> None:
        """Introduce this agent. Raises OrchestratorError within `seconds`."""
        self._call("POST", "/agents/register", payload, seconds)

    def heartbeat(self, payload: Mapping[str, object], seconds: float) -> None:
        """Say that this agent lives. Raises OrchestratorError within `seconds`."""
        self._call("POST", "/agents/heartbeat", payload, seconds)

    def deregister(self, agent_id: str, seconds: float) -> None:
        """Take leave. Raises OrchestratorError within `seconds`."""
        self._call("DELETE", f"/agents/{agent_id}", None, seconds)

    def _call(self, method: str, path: str, payload: Mapping[str, object] | None, seconds: float) -> None:
        deadline = self.clock() + seconds
        body = None if payload is None else json.dumps(payload, allow_nan=False).encode()
        wire = Wire(self.allowed, lambda: deadline - self.clock(), _MAX_BODY_BYTES, self.tls, self.resolve)
        request = HttpRequest(method, self.base.at(path), self._headers(payload is not None), body)
        try:
            with exchange(request, wire) as answer:
                status = answer.status
                answer.read()
        except ExchangeError as error:
            raise OrchestratorError(_OUTCOMES.get(error.kind, AgentOutcome.PROTOCOL), str(error)) from None
        if status // 100 != _SUCCESS:
            raise OrchestratorError(_outcome_of(status), f"{self.base.root.netloc} answered {_told(status)}")

    def _headers(self, has_body: bool) -> dict[str, str]:  # noqa: FBT001 - one caller, by position
        headers = {"Accept": "application/json", "User-Agent": f"optiinfra-exporter/{__version__}"}
        if has_body:
            headers["Content-Type"] = "application/json"
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {read_token(self.token_file)}"
        return headers


def read_token(file: Path) -> str:
    """The token in `file`, which may change while we run. Raises OrchestratorError, which does not quote it."""
    try:
        with file.open("rb") as source:
            token = source.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
    except OSError as error:
        raise OrchestratorError(AgentOutcome.TOKEN, f"cannot read the token file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise OrchestratorError(AgentOutcome.TOKEN, f"the token file {file} holds no token")
    return token


def _told(status: int) -> str:
    """The status, and what to do about it where that is clear."""
    hint = _HINTS.get(status)
    return f"HTTP {status}: {hint}" if hint else f"HTTP {status}"


def _outcome_of(status: int) -> AgentOutcome:
    if status in _UNKNOWN_HERE:
        return AgentOutcome.UNREGISTERED
    if status // 100 == _CLIENT_ERROR and status not in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}:
        return AgentOutcome.REFUSED
    return AgentOutcome.ERROR
