"""A server of pages that no engine would send: each path is one way to harm a reader."""

import gzip
import itertools
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

from exporters.catalog import ProbeFailure

Send = Callable[[bytes], object]
MEGABYTE = 2**20
GOOD = b'vllm:num_requests_running{model_name="m"} 3\n'
_TEXT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
_CLOSE = _TEXT + b"Connection: close\r\n\r\n"
_CHUNKED = _TEXT + b"Transfer-Encoding: chunked\r\n\r\n"
_FAILURES = ProbeFailure


def _whole(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return _TEXT + b"Content-Length: %d\r\n%s\r\n%s" % (len(body), lines, body)


def _typed(media_type: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (media_type, len(GOOD), GOOD)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@cache
def _series(count: int) -> bytes:
    return b"".join(b'vllm:num_requests_running{model_name="%d"} 1\n' % number for number in range(count))


@cache
def _wide_labels() -> bytes:
    lines = (b",".join(b'a%d_%d=""' % (line, label) for label in range(300)) for line in range(1000))
    return b"".join(b"vllm:num_requests_running{%s} 1\n" % line for line in lines)


def _million_series() -> Iterator[bytes]:
    for block in range(1000):
        yield b"".join(b'vllm:num_requests_running{model_name="%d"} 1\n' % (1000 * block + i) for i in range(1000))


@cache
def _bomb() -> bytes:
    return gzip.compress(b"".join(_repeated(GOOD, 30)), 1)


def _binary() -> bytes:
    return random.Random(1).randbytes(50_000)


def _repeated(block: bytes, megabytes: int | None) -> Iterator[bytes]:
    block *= max(1, 65536 // len(block))
    return itertools.repeat(block, megabytes * MEGABYTE // len(block)) if megabytes else itertools.repeat(block)


@dataclass(frozen=True, slots=True)
class Harm:
    """What is sent, after which the connection is closed.

    `slow` waits a moment after each piece. `heavy` is of the kind that could cost the reader memory or time.
    """

    reason: ProbeFailure | None  # None: a page that is read, less what is wrong with it
    pieces: Callable[[], Iterator[bytes]]
    slow: bool = False
    heavy: bool = False
    facts: Callable[[], Iterator[bytes]] | None = None  # what is sent for the other pages; None: the same


def _once(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


HARMS: dict[str, Harm] = {
    "good": Harm(None, _once(_whole(GOOD))),
    "nothing": Harm(_FAILURES.CONNECTION, _once()),
    "breaks_off": Harm(_FAILURES.CONNECTION, _once(_whole(GOOD * 100)[:-50])),
    "breaks_off_between_chunks": Harm(_FAILURES.CONNECTION, _once(_CHUNKED + _chunk(GOOD))),
    "breaks_off_in_a_line": Harm(_FAILURES.CONTENT, _once(_CLOSE + GOOD + GOOD[:-3])),
    "binary": Harm(_FAILURES.CONTENT, lambda: iter((_whole(_binary()),))),
    "invalid_utf8": Harm(_FAILURES.CONTENT, _once(_whole(GOOD + b"\xff\xfe\n"))),
    "nul": Harm(_FAILURES.CONTENT, _once(_whole(GOOD + b"\0\n"))),
    "html": Harm(_FAILURES.CONTENT, _once(_typed(b"text/html"))),
    "json": Harm(_FAILURES.CONTENT, _once(_typed(b"application/json"))),
    "openmetrics": Harm(_FAILURES.CONTENT, _once(_typed(b"application/openmetrics-text; version=1.0.0"))),
    "gzip_bomb": Harm(_FAILURES.CONTENT, lambda: iter((_whole(_bomb(), b"Content-Encoding: gzip"),))),
    "gzip_unmarked": Harm(_FAILURES.CONTENT, lambda: iter((_whole(gzip.compress(GOOD)),))),
    "100_megabytes_announced": Harm(
        _FAILURES.TOO_LARGE,
        lambda: itertools.chain((_TEXT + b"Content-Length: 104857600\r\n\r\n",), _repeated(GOOD, 100)),
    ),
    "100_megabytes": Harm(_FAILURES.TOO_LARGE, lambda: itertools.chain((_CLOSE,), _repeated(GOOD, 100))),
    "endless": Harm(_FAILURES.TOO_LARGE, lambda: itertools.chain((_CLOSE,), _repeated(GOOD, None))),
    "endless_chunks": Harm(
        _FAILURES.TOO_LARGE, lambda: itertools.chain((_CHUNKED,), itertools.repeat(_chunk(GOOD * 100)))
    ),
    "endless_line": Harm(
        _FAILURES.TOO_LARGE, lambda: itertools.chain((_CLOSE + b"a",), _repeated(b"a", None)), heavy=True
    ),
    "endless_head": Harm(
        _FAILURES.TOO_LARGE, lambda: itertools.chain((_TEXT,), _repeated(b"X-A: " + b"b" * 60000 + b"\r\n", None))
    ),
    "endless_continue": Harm(_FAILURES.TOO_LARGE, lambda: _repeated(b"HTTP/1.1 100 Continue\r\n\r\n", None)),
    "chunks_of_a_byte": Harm(
        _FAILURES.CONTENT, lambda: itertools.chain((_CHUNKED,), _repeated(b"1\r\na\r\n", 100), (b"0\r\n\r\n",))
    ),
    "negative_length": Harm(_FAILURES.CONTENT, _once(_TEXT + b"Content-Length: -5\r\n\r\nnot an exposition\n")),
    "drips_its_head": Harm(_FAILURES.TIMEOUT, lambda: itertools.chain((_TEXT,), itertools.repeat(b"a")), slow=True),
    "drips_its_body": Harm(_FAILURES.TIMEOUT, lambda: itertools.chain((_CLOSE,), itertools.repeat(b"a")), slow=True),
    "is_silent": Harm(_FAILURES.TIMEOUT, lambda: itertools.chain((_CLOSE,), itertools.repeat(b"")), slow=True),
    "short_lines": Harm(_FAILURES.TOO_LARGE, lambda: iter((_CLOSE + GOOD, b"a 1\n" * 900_000)), heavy=True),
    "empty_lines": Harm(_FAILURES.TOO_LARGE, lambda: iter((_CLOSE + GOOD, b"\n" * (3 * MEGABYTE)))),
    "million_series": Harm(_FAILURES.TOO_LARGE, lambda: itertools.chain((_CLOSE,), _million_series()), heavy=True),
    "many_series": Harm(_FAILURES.TOO_MANY_SERIES, lambda: iter((_CLOSE, _series(70_000))), heavy=True),
    "many_bad_lines": Harm(
        _FAILURES.TOO_MANY_SERIES, lambda: iter((_CLOSE, b"vllm:num_requests_running{x} 1\n" * 90_000)), heavy=True
    ),
    "long_lines": Harm(
        None, lambda: iter((_CLOSE, b"a" * MEGABYTE + b" 1\n", b"b" * MEGABYTE + b" 1\n", GOOD)), heavy=True
    ),
    "megabyte_label": Harm(
        None, lambda: iter((_CLOSE, b'vllm:num_requests_running{model_name="%s"} 1\n' % (b"x" * MEGABYTE), GOOD))
    ),
    "unclosed_label": Harm(
        None, lambda: iter((_CLOSE, b'vllm:num_requests_running{a="%s} 1\n' % (b'\\"' * MEGABYTE), GOOD)), heavy=True
    ),
    "wide_labels": Harm(None, lambda: iter((_CLOSE, _wide_labels(), GOOD)), heavy=True),
    "facts_of_a_million_lists": Harm(
        None, _once(_whole(GOOD)), facts=lambda: iter((_CLOSE, b"[" + b"[]," * 340_000 + b"[]]")), heavy=True
    ),
    "facts_nested_deeply": Harm(None, _once(_whole(GOOD)), facts=lambda: iter((_CLOSE, b"[" * 1_000_000))),
    "facts_of_a_long_number": Harm(
        None, _once(_whole(GOOD)), facts=lambda: iter((_CLOSE, b'{"version":' + b"9" * 1_000_000 + b"}"))
    ),
    "endless_facts": Harm(
        None, _once(_whole(GOOD)), facts=lambda: itertools.chain((_CLOSE + b'"',), _repeated(b"a", None)), heavy=True
    ),
    "as_many_series_as_allowed": Harm(None, lambda: iter((_CLOSE, _series(19_000), GOOD)), heavy=True),
    "as_many_series_as_a_small_page_has": Harm(None, lambda: iter((_CLOSE, _series(2700), GOOD)), heavy=True),
    "wide_characters": Harm(
        None, lambda: iter((_CLOSE, "# 😀".encode() + b"a" * 3 * MEGABYTE + b"\n", GOOD)), heavy=True
    ),
}


class HostileServer:
    """Serves HARMS at `/NAME/metrics`, each connection in a thread; a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._done = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pages: dict[str, bytes] = {}
        self.netloc = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def target(self, harm: str) -> str:
        """Where to be harmed."""
        return f"http://{self.netloc}/{harm}/metrics"

    def page(self, name: str, path: str) -> Iterator[bytes]:
        """What is sent for `/NAME/metrics`, and for other pages of an engine there."""
        harm = HARMS[name]
        return harm.facts() if harm.facts and path != "/metrics" else harm.pieces()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._done.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]  # bound early

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                path = connection.recv(65536).split(b" ")[1].decode()
                name = path.split("/")[1]
                wait = 0.02 if name in HARMS and HARMS[name].slow else 0
                for piece in self.page(name, path.removeprefix(f"/{name}")):
                    connection.sendall(piece)
                    if self._done.wait(wait):
                        return
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # an end, not a reset, where nothing is left to read
            except (OSError, IndexError, KeyError):
                return
