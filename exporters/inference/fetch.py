"""Fetches a page from an engine: one deadline for all of it, a size cap, no redirects, a closed set of failures."""

import http.client
import io
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from exporters.catalog import ProbeFailure
from exporters.inference.targets import Target

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_CHUNK_BYTES = 65536
# On the wire a body has a head and the framing of its chunks.
_HEAD_BYTES = 2**20
_REDIRECTION = 3  # first digit of the status
_ACCEPT_EXPOSITION = "text/plain;version=0.0.4,text/plain;q=0.9"
# The first line that is not blank: a comment, or a name and its labels or value.
_EXPOSITION_START = re.compile(r"\s*(#|[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*(\{|[ \t][-+0-9.NI]))")

_Addresses: TypeAlias = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]

Remaining = Callable[[], float]
"""Seconds left until the deadline; zero or less when it has passed."""


class FetchError(Exception):
    """A fetch that gave nothing usable; `reason` is the closed kind, the message the detail for people."""

    def __init__(self, reason: ProbeFailure, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Page:
    """A body and its media type, lower case and without parameters; empty where the server names none."""

    body: bytes
    media_type: str


def fetch_exposition(target: Target, remaining: Remaining, max_bytes: int) -> str:
    """The exposition at `target`. Raises FetchError; a body that breaks off is refused, never read in part."""
    page = fetch(target, remaining, max_bytes, accept=_ACCEPT_EXPOSITION)
    if page.media_type not in ("", "text/plain"):
        raise FetchError(ProbeFailure.CONTENT, f"content type {page.media_type}, expected text/plain")
    try:
        text = page.body.decode()
    except UnicodeDecodeError as error:
        raise FetchError(ProbeFailure.CONTENT, f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    if not text.strip():
        return ""
    if not _EXPOSITION_START.match(text) or "\0" in text:
        raise FetchError(ProbeFailure.CONTENT, "not a text exposition")
    if not text.endswith("\n"):
        raise FetchError(ProbeFailure.CONTENT, "the exposition breaks off: its last line has no end")
    return text


def fetch(target: Target, remaining: Remaining, max_bytes: int, *, accept: str) -> Page:
    """GET `target` and read the body whole. Raises FetchError."""
    try:
        with _connect(target, remaining) as sock:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = _DeadlineSocket(sock, remaining, 2 * max_bytes + _HEAD_BYTES)
            headers = {"Accept": accept, "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", target.path, headers=headers)
            with connection.getresponse() as response:
                _check_status(response)
                return Page(_read(response, max_bytes), _media_type(response))
    except TimeoutError:
        raise FetchError(ProbeFailure.TIMEOUT, "no full answer before the deadline") from None
    except (http.client.RemoteDisconnected, http.client.IncompleteRead, OSError, UnicodeError) as error:
        raise FetchError(ProbeFailure.CONNECTION, str(error) or type(error).__name__) from None
    except (http.client.HTTPException, ValueError) as error:  # ValueError: a negative chunk size
        raise FetchError(ProbeFailure.CONTENT, f"not an HTTP answer: {type(error).__name__}") from None


def _check_status(response: http.client.HTTPResponse) -> None:
    if response.status // 100 == _REDIRECTION:
        raise FetchError(ProbeFailure.REDIRECT, f"HTTP {response.status}; redirects are not followed")
    if response.status != HTTPStatus.OK:
        raise FetchError(ProbeFailure.HTTP_STATUS, f"HTTP {response.status}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise FetchError(ProbeFailure.CONTENT, f"content encoding {encoding}, which was not asked for")


def _read(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    body = bytearray()
    while chunk := response.read(min(_CHUNK_BYTES, max_bytes + 1 - len(body))):
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(ProbeFailure.TOO_LARGE, f"more than {max_bytes} bytes")
    if response.length:  # what Content-Length promised and did not come
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)


def _media_type(response: http.client.HTTPResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _connect(target: Target, remaining: Remaining) -> socket.socket:
    """A connected socket, TLS and all. Tries every address of a name within the one deadline. Raises OSError."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in _addresses(target, remaining):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(remaining))
            sock.connect(address)
            if target.scheme == "https":
                return _tls_context().wrap_socket(sock, server_hostname=target.host)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return sock
    raise failure or OSError(f"{target.host} has no address")


def _addresses(target: Target, remaining: Remaining) -> _Addresses:
    """Where the target listens. A name is looked up in a thread of its own: the system's resolver takes no deadline."""
    try:
        return socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found: Future[_Addresses] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=look_up, daemon=True).start()
    return found.result(timeout=_left(remaining))


@cache
def _tls_context() -> ssl.SSLContext:
    """The system's trust store, which takes tens of milliseconds to load."""
    return ssl.create_default_context()


def _left(remaining: Remaining) -> float:
    left = remaining()
    if left <= 0:
        raise TimeoutError
    return left


class _DeadlineSocket:
    """What http.client needs of a socket, every read and write of it within one deadline.

    A socket's own timeout starts anew with every byte, so a server that drips could hold a probe for hours. And a chunk
    of size -1 makes http.client read to the end of the connection, so the wire has a limit of its own.
    """

    def __init__(self, sock: socket.socket, remaining: Remaining, max_bytes: int) -> None:
        self._sock = sock
        self._remaining = remaining
        self._max_bytes = max_bytes

    def sendall(self, data: "ReadableBuffer") -> None:
        self._sock.settimeout(_left(self._remaining))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._remaining, self._max_bytes), _CHUNK_BYTES)

    def close(self) -> None:
        """Leave the socket to `fetch`: http.client closes its side before the body is read."""


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, remaining: Remaining, max_bytes: int) -> None:
        super().__init__()
        self._sock = sock
        self._remaining = remaining
        self._left = max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(_left(self._remaining))
        count = self._sock.recv_into(memoryview(buffer))
        self._left -= count
        if self._left < 0:
            raise FetchError(ProbeFailure.TOO_LARGE, "more bytes on the wire than the page may have")
        return count
