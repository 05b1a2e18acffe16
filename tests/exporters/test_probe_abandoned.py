"""An exporter that has fallen behind works for those who still wait, not for those who have given up."""

import socket
import threading
import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from exporters.app import ExporterApp
from exporters.catalog import Collector
from exporters.guard import Guard
from exporters.inference import ProbeResult
from exporters.server import _THREADS, HttpServer, _NewestFirst

# More than the server has threads.
BUSY = 80


class SlowProber:
    """Answers when it may. `asked` holds the targets in the order in which they came up."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.may_answer = threading.Event()

    def probe(self, target: str | None, _: str | None, __: str | None) -> ProbeResult:
        self.asked.append(target)
        self.may_answer.wait(30)
        return ProbeResult(200, b"llm_up 1\n", "text/plain")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(port: int, target: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(f"GET /probe?target={target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def test_a_probe_whose_client_left_while_it_waited_for_its_turn_is_not_made() -> None:
    log: FilteringBoundLogger = structlog.get_logger()
    prober = SlowProber()
    guard = Guard(dict[Collector, Callable[[], object]](), timer=time.monotonic, log=log)  # type: ignore[arg-type]  # none
    server = HttpServer(
        ExporterApp(guard, CollectorRegistry(), prober=prober, log=log), host="127.0.0.1", port=0, log=log
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        waiting = [ask(server.port, f"busy-{number}") for number in range(BUSY)]
        until(lambda: len(server._server.active_channels) == BUSY)
        # The newest is next: a thread that is still free would take what comes now.
        until(lambda: len(prober.asked) == _THREADS)
        impatient, patient = ask(server.port, "impatient"), ask(server.port, "patient")
        until(lambda: len(server._server.active_channels) == BUSY + 2)
        impatient.close()
        until(lambda: sum(channel.connected for channel in server._server.active_channels.values()) == BUSY + 1)
        prober.may_answer.set()
        assert patient.recv(64).startswith(b"HTTP/1.1 200")
        assert all(client.recv(64).startswith(b"HTTP/1.1 200") for client in waiting)
        assert "patient" in prober.asked
        assert "impatient" not in prober.asked
        for client in (patient, *waiting):
            client.close()
    finally:
        prober.may_answer.set()
        server.stop()
        thread.join(timeout=30)


def test_of_requests_that_wait_the_newest_is_next_and_none_is_lost() -> None:
    waiting = _NewestFirst()
    for number in range(3):
        waiting.append(number)
    assert [waiting.popleft() for _ in range(3)] == [2, 1, 0]
