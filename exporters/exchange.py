"""One HTTP request and its answer, piece by piece: one deadline for all of it, a size cap, no redirects, TLS verified.

For what `exporters.inference.fetch` does not do: other methods than GET, bodies, and answers that are read while they
come. Both stand on `exporters.inference.connection`, which decides where may be connected to.
"""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from exporters.catalog import ProbeFailure
from exporters.inference.connection import (
    CHUNK_BYTES,
    DeadlineSocket,
    FetchError,
    Remaining,
    Resolve,
    connect,
    left,
)
from exporters.inference.targets import AllowList, Target

_Found: TypeAlias = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]

# On the wire a body has a head and the framing of its chunks.
_HEAD_BYTES = 2**16
_REDIRECTION = 3  # first digit of the status


class ExchangeFailure(StrEnum):
    """Why there is no answer, or not all of it."""

    ADDRESS = "address"
    CONNECTION = "connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"


class Step(StrEnum):
    """What `Wire.mark` is told the end of, in their order; TLS for https only."""

    RESOLVED = "resolved"
    CONNECTED = "connected"
    SECURED = "secured"
    ANSWERED = "answered"


class ExchangeError(Exception):
    """An exchange that failed; the message is the detail for people and quotes no body."""

    def __init__(self, kind: ExchangeFailure, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent. The client adds Host, Content-Length, Accept-Encoding and Connection."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes | None = None


def _unmarked(_: Step) -> None:
    """Nobody measures."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What an exchange goes over: the allow-list, a deadline, limits. `mark` may be called from another thread."""

    allowed: AllowList
    remaining: Remaining
    max_bytes: int
    tls: Callable[[], ssl.SSLContext]
    resolve: Resolve = socket.getaddrinfo
    mark: Callable[[Step], None] = _unmarked


class Answer:
    """An answer whose head has come."""

    def __init__(self, response: http.client.HTTPResponse, max_bytes: int) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self.status = response.status
        self.media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises ExchangeError, also for a body that breaks off."""
        count = 0
        while True:
            with _translated():
                piece = self._response.read1(CHUNK_BYTES)
                if not piece and self._response.length:  # what Content-Length promised and did not come
                    raise http.client.IncompleteRead(b"", self._response.length)
            if not piece:
                return
            count += len(piece)
            if count > self._max_bytes:
                raise ExchangeError(ExchangeFailure.TOO_LARGE, f"more than {self._max_bytes} bytes")
            yield piece

    def read(self) -> bytes:
        """The body whole. Raises ExchangeError."""
        return b"".join(self.pieces())


@contextmanager
def exchange(request: HttpRequest, wire: Wire) -> Iterator[Answer]:
    """Send `request` and give its answer; the connection is closed at the end of the block. Raises ExchangeError."""
    with _translated():
        sock = _connected(request.target, wire)
    with sock:
        with _translated():
            connection = http.client.HTTPConnection(request.target.host, request.target.port)
            connection.sock = DeadlineSocket(sock, wire.remaining, 2 * wire.max_bytes + _HEAD_BYTES)
            own = {"Accept-Encoding": "identity", "Connection": "close"}
            connection.request(request.method, request.target.path, request.body, {**request.headers, **own})
            response = connection.getresponse()
        wire.mark(Step.ANSWERED)
        with response:
            _check(response)
            yield Answer(response, wire.max_bytes)


def _connected(target: Target, wire: Wire) -> socket.socket:
    def resolve(host: str, port: int, /, *, type: int, flags: int) -> _Found:  # noqa: A002 - getaddrinfo's own name
        found = wire.resolve(host, port, type=type, flags=flags)
        wire.mark(Step.RESOLVED)
        return found

    sock = connect(replace(target, scheme="http"), wire.allowed, wire.remaining, resolve)  # TLS is measured apart
    wire.mark(Step.CONNECTED)
    if target.scheme != "https":
        return sock
    try:
        sock.settimeout(left(wire.remaining))
        secured = wire.tls().wrap_socket(sock, server_hostname=target.host)
    except ssl.SSLError as error:
        sock.close()
        raise ExchangeError(ExchangeFailure.TLS, error.reason or type(error).__name__) from None
    except OSError:
        sock.close()
        raise
    wire.mark(Step.SECURED)
    return secured


def _check(response: http.client.HTTPResponse) -> None:
    if response.status // 100 == _REDIRECTION:
        raise ExchangeError(ExchangeFailure.REDIRECT, f"HTTP {response.status}; redirects are not followed")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ExchangeError(ExchangeFailure.PROTOCOL, "a content encoding that was not asked for")


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the socket and of http.client as ExchangeError."""
    try:
        yield
    except TimeoutError:
        raise ExchangeError(ExchangeFailure.TIMEOUT, "no full answer before the deadline") from None
    except FetchError as error:
        kind = {
            ProbeFailure.TOO_LARGE: ExchangeFailure.TOO_LARGE,
            ProbeFailure.REFUSED_ADDRESS: ExchangeFailure.ADDRESS,
        }.get(error.reason, ExchangeFailure.CONNECTION)
        raise ExchangeError(kind, str(error)) from None
    except (http.client.RemoteDisconnected, http.client.IncompleteRead, OSError, UnicodeError) as error:
        detail = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise ExchangeError(ExchangeFailure.CONNECTION, detail) from None
    except (http.client.HTTPException, ValueError) as error:  # ValueError: a negative chunk size
        raise ExchangeError(ExchangeFailure.PROTOCOL, f"not an HTTP answer: {type(error).__name__}") from None
