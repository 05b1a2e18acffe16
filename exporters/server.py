"""Serves a WSGI application over HTTP or TLS, and stops without cutting off answers."""

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

import waitress
from structlog.typing import FilteringBoundLogger
from waitress import wasyncore
from waitress.channel import HTTPChannel

from exporters.errors import SettingsError
from exporters.web.front import Address, TlsFront
from exporters.web.tls import ServerTls

# A probe waits for its engine, up to 5 s for one that hangs. When dozens hang at once (a node, a network), the page of
# this node and probes of the other engines must still be answered within a scrape's timeout.
_THREADS = 64
_CONNECTIONS = 500
# A connection that sends no whole request for so long is closed; the usual scrape intervals keep theirs.
_QUIET_SECONDS = 75
_CLEANUP_SECONDS = 5
# The exporter takes no bodies and few parameters.
_HEADER_BYTES = 32768
_BODY_BYTES = 65536
# Pages stay in memory: there may be no place for temporary files.
_PAGE_BYTES = 64 * 2**20
_ACCEPTED_AT_ONCE = 64
_POLL_SECONDS = 1.0
_DRAIN_POLL_SECONDS = 0.05
_THREADS_STOP_SECONDS = 1.0


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection on which a request that trickles in does not count as activity."""

    last_activity: float
    _begun = 0.0

    def received(self, data: bytes) -> bool:
        """Take bytes; while they are no whole request, the channel has been quiet since the request began."""
        before = self.request
        taken = bool(super().received(data))
        if self.request is not None:
            if self.request is not before:
                self._begun = self.last_activity
            self.last_activity = self._begun
        return taken

    def check_client_disconnected(self) -> bool:
        """Whether the client has closed the connection, even if nobody has read that far yet."""
        if super().check_client_disconnected():
            return True
        try:
            # Not by SSLSocket's own recv, which would take no flags.
            return socket.socket.recv(self.socket, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class _NewestFirst(deque[Any]):
    """Requests that wait for a thread: there are none, unless there are more than can be answered.

    Then the oldest would be answered too late, each of them; the newest are not.
    """

    popleft = deque.pop


class HttpServer:
    """waitress on one address. Bound on construction; port 0 takes a free port."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        host: str,
        port: int,
        log: FilteringBoundLogger,
        tls: Callable[[], ServerTls] | None = None,
        drain_seconds: float = 5.0,
    ) -> None:
        """Bind. Raises `SettingsError` when the address cannot be had.

        `tls` gives the TLS of the moment, and is asked at each connection; None serves plain HTTP. `drain_seconds` is
        how long `run` waits, once stopped, for answers that are under way.
        """
        self._drain_seconds = drain_seconds
        self._stopping = False
        # The loop is woken through a pipe, whose number may be another file's once the pipe is closed. Reentrant, since
        # a signal handler stops the server in the thread that runs it.
        self._waking = threading.RLock()
        self._sockets: dict[int, Any] = {}
        listener = _listen(host, port)
        self._host = host
        self._port: int = listener.getsockname()[1]
        self._server = waitress.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            channel_request_lookahead=1,  # what is read ahead tells that a client has gone
            channel_timeout=_QUIET_SECONDS,
            cleanup_interval=_CLEANUP_SECONDS,
            max_request_header_size=_HEADER_BYTES,
            max_request_body_size=_BODY_BYTES,
            outbuf_overflow=_PAGE_BYTES,
            ident="optiinfra",
            clear_untrusted_proxy_headers=True,
            url_scheme="https" if tls else "http",
        )
        self._server.channel_class = self._accepted if tls else _Channel
        self._server.task_dispatcher.queue = _NewestFirst()
        self._accept_one = self._server.handle_accept
        self._server.handle_accept = self._accept_waiting
        self._front = TlsFront(tls, self._greeted, log=log) if tls else None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def url(self) -> str:
        """Where to reach the server."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._front else 'http'}://{host}:{self._port}"

    def run(self) -> None:
        """Serve until `stop`; then refuse new connections, finish the answers under way, and return."""
        try:
            while not self._stopping:
                wasyncore.loop(timeout=_POLL_SECONDS, map=self._sockets, use_poll=True, count=1)
            # Not the server's own close(): that would also close the pipe through which its threads report answers.
            wasyncore.dispatcher.close(self._server)
            self._drain()
        finally:
            self._server.task_dispatcher.shutdown(timeout=_THREADS_STOP_SECONDS)
            with self._waking:
                self._stopping = True
                wasyncore.close_all(self._sockets)
            if self._front:
                self._front.stop(self._drain_seconds)

    def stop(self) -> None:
        """Make `run` return. May be called from any thread, from a signal handler, and again."""
        with self._waking:
            if not self._stopping:
                self._stopping = True
                self._server.pull_trigger()

    def _accept_waiting(self) -> None:
        """Take several of the connections that wait, where waitress takes one in each turn of its loop.

        Otherwise those that were given up while they waited keep the others waiting when probes take all the processor.
        """
        waiting = select.poll()
        waiting.register(self._server.socket, select.POLLIN)
        for _ in range(_ACCEPTED_AT_ONCE):
            self._accept_one()
            if not waiting.poll(0):
                return

    def _accepted(self, _: object, connection: socket.socket, address: Address, *__: object, **___: object) -> None:
        """Stand where waitress makes a channel of a connection: with TLS, the handshake comes first."""
        if self._front:
            self._front.take(connection, address)

    def _greeted(self, connection: socket.socket, address: Address) -> None:
        """Have waitress serve what is inside of a TLS connection; called in the front's thread."""

        def serve() -> None:
            _Channel(self._server, connection, address, self._server.adj, map=self._sockets)

        with self._waking:
            if self._stopping:
                connection.close()
            else:
                self._server.trigger.pull_trigger(serve)

    def _drain(self) -> None:
        until = time.monotonic() + self._drain_seconds
        wasyncore.loop(timeout=0, map=self._sockets, use_poll=True, count=1)  # connections that were just handed on
        while self._busy() and time.monotonic() < until:
            wasyncore.loop(timeout=_DRAIN_POLL_SECONDS, map=self._sockets, use_poll=True, count=1)

    def _busy(self) -> bool:
        return any(channel.requests or channel.total_outbufs_len for channel in self._server.active_channels.values())


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except socket.gaierror as error:
        raise SettingsError(f"--listen-address {host}: {error.strerror}; give an address of this machine") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(
            f"cannot listen on {host} port {port}: {why}; choose another with --listen-address and --port"
        ) from error
