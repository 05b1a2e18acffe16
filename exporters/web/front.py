"""TLS before a server that speaks plain HTTP: handshakes and ciphers here, requests there.

waitress has no TLS. Servers that have it shake hands in the thread that accepts (cheroot: one client that connects and
says nothing keeps everyone else out for 10 s) or in one of a bounded pool. Here an event loop shakes hands with all of
them at once, and each connection that got through is handed on as a socket of this process.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from structlog.typing import FilteringBoundLogger

from exporters.errors import WebConfigError
from exporters.web.secure import SecureSocket
from exporters.web.tls import ServerTls

Address: TypeAlias = tuple[Any, ...]
HandOn: TypeAlias = Callable[[socket.socket, Address], None]

_CHUNK_BYTES = 16384  # a TLS record
_SPEAKS_TLS = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nHTTPS is spoken here; ask for https://\n"


class TlsFront:
    """Takes accepted connections and hands on what is inside. Runs a thread from construction until `stop`."""

    def __init__(
        self,
        current: Callable[[], ServerTls],
        hand_on: HandOn,
        *,
        log: FilteringBoundLogger,
        handshake_seconds: float = 10.0,
        stalled_seconds: float = 60.0,
        connections: int = 1000,
    ) -> None:
        """`current` gives the TLS of the moment or raises WebConfigError; `hand_on` is called in the front's thread.

        Connections beyond `connections` are closed at once; one that takes no data for `stalled_seconds` is closed.
        """
        self._current = current
        self._hand_on = hand_on
        self._log = log
        self._handshake_seconds = handshake_seconds
        self._stalled_seconds = stalled_seconds
        self._connections = connections
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._note)
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls", daemon=True)
        self._thread.start()

    def take(self, connection: socket.socket, address: Address) -> None:
        """Serve a connection that was accepted; returns at once. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._begin, connection, address)

    def stop(self, seconds: float) -> None:
        """Let the connections flush what their servers wrote, for up to `seconds`, and end."""
        asyncio.run_coroutine_threadsafe(self._end(seconds), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin(self, connection: socket.socket, address: Address) -> None:
        if len(self._open) >= self._connections:
            connection.close()
            return
        task = self._loop.create_task(self._serve(connection, address))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _end(self, seconds: float) -> None:
        tasks = self._open - {asyncio.current_task()}
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=seconds)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _serve(self, connection: socket.socket, address: Address) -> None:
        with contextlib.closing(connection):
            try:
                secure = await self._greet(connection)
            except (OSError, WebConfigError) as error:  # a bad configuration is logged where it is read
                # At debug: anyone can fail handshakes by the thousand.
                self._log.debug("tls_handshake_failed", client=address[0], error=str(error) or type(error).__name__)
                return
        with contextlib.closing(secure):
            try:
                await self._relay(secure, address)
            except OSError as error:
                self._log.debug("tls_connection_lost", client=address[0], error=str(error) or type(error).__name__)

    async def _greet(self, connection: socket.socket) -> SecureSocket:
        tls = self._current()
        secure = SecureSocket(connection, tls.context, self._loop)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(secure.close)
            await self._shake_hands(secure)
            if not tls.welcomes(secure.peer()):
                raise ssl.SSLError("none of the certificate's names is in client_allowed_sans")
            on_failure.pop_all()
        return secure

    async def _shake_hands(self, secure: SecureSocket) -> None:
        try:
            async with asyncio.timeout(self._handshake_seconds):
                await secure.greet()
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                secure.answer_in_plain(_SPEAKS_TLS)
            raise

    async def _relay(self, secure: SecureSocket, address: Address) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        with contextlib.closing(ours):
            self._hand_on(theirs, address)
            ways = [
                self._loop.create_task(self._inwards(secure, ours)),
                self._loop.create_task(self._outwards(ours, secure)),
            ]
            try:
                # Whoever ends first ends both: a client that left, or a server that has said all.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _inwards(self, secure: SecureSocket, ours: socket.socket) -> None:
        while data := await secure.read(_CHUNK_BYTES):
            async with asyncio.timeout(self._stalled_seconds):
                await self._loop.sock_sendall(ours, data)

    async def _outwards(self, ours: socket.socket, secure: SecureSocket) -> None:
        while data := await self._loop.sock_recv(ours, _CHUNK_BYTES):
            async with asyncio.timeout(self._stalled_seconds):
                await secure.write(data)

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._log.debug("tls_event", message=context.get("message"), error=str(context.get("exception", "")))
