"""A TLS connection for an event loop, without the loop's own TLS, whose buffers take 256 KiB a connection.

That, and that a failed handshake leaves them to the garbage collector, is what a stranger could fill the memory with.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LEFT_BYTES = 65536

_Waiters = list[asyncio.Future[None]]


class SecureSocket:
    """The server's end of one connection. Used in the thread of its loop; reading and writing may go on at once."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, loop: asyncio.AbstractEventLoop) -> None:
        """Take `connection` over; nothing is said yet. Raises OSError when it is gone already."""
        connection.settimeout(0)
        self._loop = loop
        self._socket = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._readers: _Waiters = []
        self._writers: _Waiters = []

    async def greet(self) -> None:
        """Shake hands. Raises OSError, of which `ssl.SSLError` is one."""
        await self._io(self._socket.do_handshake)

    def peer(self) -> dict[str, Any] | None:
        """The client's certificate; None or empty where it gave none."""
        return self._socket.getpeercert()

    async def read(self, most: int) -> bytes:
        """Some bytes, empty at the end. Raises OSError."""
        return await self._io(self._socket.recv, most)

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises OSError."""
        left = memoryview(data)
        while left:
            left = left[await self._io(self._socket.send, left) :]

    def close(self) -> None:
        """Say goodbye, without waiting for the client's, and close; nothing when it is closed already."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        with contextlib.suppress(OSError, ValueError):  # ValueError: there was no handshake
            self._socket.unwrap().close()
        self._socket.close()

    def answer_in_plain(self, answer: bytes) -> None:
        """Say something to a client that speaks no TLS, and close."""
        with contextlib.suppress(OSError), socket.socket(fileno=self._socket.detach()) as plain:
            plain.settimeout(0)
            plain.send(answer)
            plain.shutdown(socket.SHUT_WR)
            plain.recv(_LEFT_BYTES)  # what is not read when a socket closes resets the connection, answer and all

    async def _io(self, call: Callable[P, T], *arguments: P.args, **names: P.kwargs) -> T:
        # TLS may have to read for writing and the other way round, so each call can wait for both.
        while True:
            try:
                return call(*arguments, **names)
            except ssl.SSLWantReadError:
                await self._ready(self._readers, self._loop.add_reader, self._loop.remove_reader)
            except ssl.SSLWantWriteError:
                await self._ready(self._writers, self._loop.add_writer, self._loop.remove_writer)

    async def _ready(self, waiters: _Waiters, add: Callable[..., Any], remove: Callable[..., Any]) -> None:
        ready = self._loop.create_future()
        waiters.append(ready)
        add(self._socket, self._wake, waiters, remove)
        await ready

    def _wake(self, waiters: _Waiters, remove: Callable[..., Any]) -> None:
        remove(self._socket)
        for ready in waiters:
            if not ready.done():
                ready.set_result(None)
        waiters.clear()
