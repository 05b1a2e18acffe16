"""Serves a WSGI application, and stops without cutting off answers."""

import os
import socket
import time
from typing import Any
from wsgiref.types import WSGIApplication

import waitress
from waitress import wasyncore

from exporters.errors import SettingsError

# A probe waits for its engine, up to 5 s for one that hangs. When dozens hang at once (a node, a network), the page of
# this node and probes of the other engines must still be answered within a scrape's timeout.
_THREADS = 64
_POLL_SECONDS = 1.0
_DRAIN_POLL_SECONDS = 0.05
_THREADS_STOP_SECONDS = 1.0


class HttpServer:
    """waitress on one address. Bound on construction; port 0 takes a free port."""

    def __init__(self, app: WSGIApplication, *, host: str, port: int, drain_seconds: float = 5.0) -> None:
        """Bind. Raises `SettingsError` when the address cannot be had.

        `drain_seconds` is how long `run` waits, once stopped, for answers that are under way.
        """
        self._drain_seconds = drain_seconds
        self._stopping = False
        self._sockets: dict[int, Any] = {}
        listener = _listen(host, port)
        self._host = host
        self._port: int = listener.getsockname()[1]
        self._server = waitress.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=_THREADS,
            ident="optiinfra",
            clear_untrusted_proxy_headers=True,
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def url(self) -> str:
        """Where to reach the server."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

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
            wasyncore.close_all(self._sockets)

    def stop(self) -> None:
        """Make `run` return. May be called from any thread, from a signal handler, and again."""
        if not self._stopping:
            self._stopping = True
            self._server.pull_trigger()

    def _drain(self) -> None:
        until = time.monotonic() + self._drain_seconds
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
