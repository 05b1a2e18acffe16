"""Connects to a target at an address that the allow-list has no objection to, and keeps the socket to one deadline."""

import io
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from exporters.catalog import ProbeFailure
from exporters.inference.addresses import parse_address
from exporters.inference.targets import AllowList, Target

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

CHUNK_BYTES = 65536

Remaining: TypeAlias = Callable[[], float]
"""Seconds left until the deadline; zero or less when it has passed."""

_Addresses: TypeAlias = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]


class Resolve(Protocol):
    """`socket.getaddrinfo`, as far as it is used here."""

    def __call__(self, host: str, port: int, /, *, type: int, flags: int) -> _Addresses:  # noqa: A002 - its own name
        """Raises OSError, or UnicodeError for a name that cannot be asked for."""


class FetchError(Exception):
    """A fetch that gave nothing usable; `reason` is the closed kind, the message the detail for people.

    `missing`: the server answers and has no such page.
    """

    def __init__(self, reason: ProbeFailure, detail: str, *, missing: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.missing = missing


def left(remaining: Remaining) -> float:
    """Seconds to wait for at most. Raises TimeoutError where there are none."""
    seconds = remaining()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def connect(target: Target, allowed: AllowList, remaining: Remaining, resolve: Resolve) -> socket.socket:
    """A connected socket, TLS and all. Tries every address of a name within the one deadline.

    Raises OSError, and FetchError where an address was found and none may be used.
    """
    failure: OSError | None = None
    refused: str | None = None
    for family, kind, protocol, _, address in _addresses(target, remaining, resolve):
        objection = _objection(target, str(address[0]), allowed)
        if objection is not None:
            refused = objection
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left(remaining))
            sock.connect(address)
            if target.scheme == "https":
                return _tls_context().wrap_socket(sock, server_hostname=target.host)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return sock
    if refused is not None and failure is None:
        raise FetchError(ProbeFailure.REFUSED_ADDRESS, refused)
    raise failure or OSError(f"{target.host} has no address")


def _objection(target: Target, found: str, allowed: AllowList) -> str | None:
    """Why the target must not be read at the address `found`, a resolver's text; None where it may."""
    address = parse_address(found) or ip_address(found)  # the latter keeps a scope: such an address is link-local
    return allowed.objection(target, address)


def _addresses(target: Target, remaining: Remaining, resolve: Resolve) -> _Addresses:
    """Where the target listens. A name is looked up in a thread of its own: the system's resolver takes no deadline."""
    if parse_address(target.host) is not None:
        return resolve(target.host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: Future[_Addresses] = Future()

    def look_up() -> None:
        try:
            found.set_result(resolve(target.host, target.port, type=socket.SOCK_STREAM, flags=0))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=look_up, daemon=True).start()
    return found.result(timeout=left(remaining))


@cache
def _tls_context() -> ssl.SSLContext:
    """The system's trust store, which takes tens of milliseconds to load."""
    return ssl.create_default_context()


class DeadlineSocket:
    """What http.client needs of a socket, every read and write of it within one deadline and one number of bytes.

    A socket's own timeout starts anew with every byte, so a server that drips could hold a probe for hours. And
    http.client reads heads without end, and for a chunk of size -1 to the end of the connection, so the wire has a
    limit of its own: `max_bytes`, which its owner may raise.
    """

    def __init__(self, sock: socket.socket, remaining: Remaining, max_bytes: int) -> None:
        self._sock = sock
        self._remaining = remaining
        self.max_bytes = max_bytes
        self.received = 0

    def sendall(self, data: "ReadableBuffer") -> None:
        """Send all of `data`. Raises TimeoutError at the deadline."""
        self._sock.settimeout(left(self._remaining))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Give the reading end. Reading raises TimeoutError, and FetchError over the number of bytes."""
        return io.BufferedReader(_Reader(self), CHUNK_BYTES)

    def receive(self, buffer: "WriteableBuffer") -> int:
        """Read some bytes, none at the end. Raises TimeoutError, and FetchError over the number of bytes."""
        self._sock.settimeout(left(self._remaining))
        count = self._sock.recv_into(memoryview(buffer))
        self.received += count
        if self.received > self.max_bytes:
            raise FetchError(ProbeFailure.TOO_LARGE, "more bytes on the wire than a page may have")
        return count

    def close(self) -> None:
        """Leave the socket to its owner: http.client closes its side before the body is read."""


class _Reader(io.RawIOBase):
    def __init__(self, source: DeadlineSocket) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self._source.receive(buffer)
