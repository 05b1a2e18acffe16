"""An agent against real orchestrators, good and bad; time is a test's own."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stamina
from prometheus_client import CollectorRegistry, generate_latest

from exporters import __version__
from exporters.agent.agent import Agent, Identity
from exporters.agent.breaker import Breaker
from exporters.agent.client import Orchestrator
from exporters.inference.targets import TargetError
from exporters.logs import logger
from tests.exporters.blackbox.endpoint import Endpoint, Reply, page, serving

REGISTER, HEARTBEAT, LEAVE = "/api/v1/agents/register", "/api/v1/agents/heartbeat", "/api/v1/agents/node-1"
OK = page(b'{"state": "alive"}')


class FakeClock:
    """Seconds that move when told to, for the agent; its calls have real deadlines."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture(autouse=True)
def _no_waiting_between_attempts() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def orchestrator() -> Iterator[Endpoint]:
    with serving(Endpoint()) as served:
        served.replies |= {REGISTER: OK, HEARTBEAT: OK, LEAVE: page(b"", status=204)}
        yield served


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    return file


@pytest.fixture
def log() -> StringIO:
    return StringIO()


@pytest.fixture
def make(clock: FakeClock, token: Path, log: StringIO) -> Callable[..., Agent]:
    def build(url: str, prefix: str = "/api/v1", figures: Callable[[], Any] = lambda: {"figures": {"n": 1}}) -> Agent:
        return Agent(
            Identity("node-1", heartbeat_seconds=30),
            Orchestrator.at(url, prefix, token, clock=time.monotonic),
            about=lambda: {"hostname": "h"},
            figures=figures,
            clock=clock,
            now=lambda: 1_700_000_000.0,
            jitter=lambda: 0.5,
            log=logger("debug", log),
        )

    return build


@pytest.fixture
def agent(make: Callable[..., Agent], orchestrator: Endpoint) -> Agent:
    return make(f"http://{orchestrator.netloc}")


def metrics(agent: Agent) -> dict[str, float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(agent)
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value or not sample.labels
    }


def paths(orchestrator: Endpoint) -> list[tuple[str, str]]:
    return [(asked.method, asked.path) for asked in orchestrator.asked]


# -- the good way


def test_it_registers_then_beats_and_takes_leave(agent: Agent, orchestrator: Endpoint) -> None:
    assert [agent.step() for _ in range(3)] == [30.0] * 3
    agent.stop()
    agent.stop()

    assert paths(orchestrator) == [("POST", REGISTER), ("POST", HEARTBEAT), ("POST", HEARTBEAT), ("DELETE", LEAVE)]
    assert orchestrator.asked[0].body == {"id": "node-1", "hostname": "h"}
    assert orchestrator.asked[1].body == {"id": "node-1", "figures": {"n": 1}}
    assert {asked.headers["Authorization"] for asked in orchestrator.asked} == {"Bearer s3cret"}
    assert {asked.headers["User-Agent"] for asked in orchestrator.asked} == {f"optiinfra-exporter/{__version__}"}


def test_its_metrics_say_how_it_goes(agent: Agent) -> None:
    assert metrics(agent) == {"optiinfra_agent_registered": 0, "optiinfra_agent_circuit_open": 0}
    agent.step()
    agent.step()
    assert metrics(agent) == {
        "optiinfra_agent_registered": 1,
        "optiinfra_agent_circuit_open": 0,
        "optiinfra_agent_last_success_timestamp_seconds": 1_700_000_000,
        "optiinfra_agent_registrations_total ok": 1,
        "optiinfra_agent_heartbeats_total ok": 1,
    }
    registry = CollectorRegistry(auto_describe=False)
    registry.register(agent)
    assert b'optiinfra_agent_heartbeats_total{outcome="timeout"} 0.0' in generate_latest(registry)


@pytest.mark.parametrize("prefix", ["", "/"])
def test_an_external_orchestrator_may_have_its_endpoints_at_the_root(
    make: Callable[..., Agent], orchestrator: Endpoint, prefix: str
) -> None:
    orchestrator.replies["/agents/register"] = page(b"", status=201)
    make(f"http://{orchestrator.netloc}/", prefix).step()
    assert paths(orchestrator) == [("POST", "/agents/register")]


def test_heartbeats_of_many_agents_do_not_march_in_step(make: Callable[..., Agent], orchestrator: Endpoint) -> None:
    early, late = (make(f"http://{orchestrator.netloc}") for _ in range(2))
    early._jitter, late._jitter = (lambda: 0.0), (lambda: 1.0)
    assert (early.step(), late.step()) == (27.0, 33.0)


@pytest.mark.parametrize("status", [404, 410])
def test_an_orchestrator_that_forgot_it_hears_from_it_at_once(
    agent: Agent, orchestrator: Endpoint, status: int
) -> None:
    agent.step()
    orchestrator.replies[HEARTBEAT] = page(b"", status=status)
    assert agent.step() == 0
    assert metrics(agent)["optiinfra_agent_registered"] == 0
    orchestrator.replies[HEARTBEAT] = OK
    agent.step()
    assert [path for _, path in paths(orchestrator)] == [REGISTER, HEARTBEAT, REGISTER]
    assert metrics(agent)["optiinfra_agent_heartbeats_total unregistered"] == 1


def test_a_token_that_changes_is_read_anew(agent: Agent, orchestrator: Endpoint, token: Path) -> None:
    agent.step()
    token.write_text("other")
    agent.step()
    assert [asked.headers["Authorization"] for asked in orchestrator.asked] == ["Bearer s3cret", "Bearer other"]


# -- trouble


def test_what_passes_is_tried_again_at_once_and_the_circuit_opens_after_three_beats(
    agent: Agent, orchestrator: Endpoint, clock: FakeClock
) -> None:
    orchestrator.replies[REGISTER] = page(b"", status=503)
    assert [agent.step() for _ in range(3)] == [30.0, 30.0, 60.0]
    assert len(orchestrator.asked) == 9
    assert metrics(agent)["optiinfra_agent_circuit_open"] == 1
    assert agent.step() == 60.0
    assert len(orchestrator.asked) == 9, "an open circuit asks nothing"

    clock.at += 60
    assert agent.step() == 60.0
    assert len(orchestrator.asked) == 10, "the trial is one attempt"
    clock.at += 60
    orchestrator.replies[REGISTER] = OK
    assert agent.step() == 30.0
    assert metrics(agent)["optiinfra_agent_circuit_open"] == 0
    assert metrics(agent)["optiinfra_agent_registrations_total error"] == 10


@pytest.mark.parametrize("status", [400, 401, 403, 409])
def test_a_refusal_is_not_repeated_at_once(agent: Agent, orchestrator: Endpoint, status: int) -> None:
    orchestrator.replies[REGISTER] = page(b'{"detail": "no"}', status=status)
    agent.step()
    assert len(orchestrator.asked) == 1
    assert metrics(agent)["optiinfra_agent_registrations_total refused"] == 1


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    try:
        while not threading.Event().wait(0.02):
            handler.wfile.write(b"x")
    except OSError:
        pass


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (page(b"", status=307, Location="http://127.0.0.1:1/"), "protocol"),
        (endless, "protocol"),
        (page(b"", Content_Encoding="gzip"), "protocol"),
        (lambda handler: handler.wfile.write(b"SMTP ready\r\n") and None, "protocol"),
        (lambda handler: handler.connection.close(), "connection"),
        (page(b"{}", Content_Length="100"), "connection"),
        (drip, "timeout"),
        (page(b"", status=429), "error"),
    ],
)
def test_a_hostile_orchestrator_is_an_outcome_and_nothing_more(
    agent: Agent, orchestrator: Endpoint, monkeypatch: pytest.MonkeyPatch, reply: Reply, outcome: str
) -> None:
    monkeypatch.setattr("exporters.agent.agent.CALL_SECONDS", 0.3)
    orchestrator.replies[REGISTER] = reply
    start = time.monotonic()
    agent.step()
    assert time.monotonic() - start < 10
    assert {name for name in metrics(agent) if "registrations" in name} == {
        f"optiinfra_agent_registrations_total {outcome}"
    }


def test_nobody_listening_is_a_connection_outcome(make: Callable[..., Agent]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        agent = make(f"http://127.0.0.1:{unused.getsockname()[1]}")
        agent.step()
    assert metrics(agent)["optiinfra_agent_registrations_total connection"] == 3
    agent.stop()


@pytest.mark.parametrize("text", [None, "", "two words", "\xff"])
def test_a_token_that_cannot_be_read_sends_nothing(
    agent: Agent, orchestrator: Endpoint, token: Path, text: str | None
) -> None:
    token.unlink() if text is None else token.write_text(text, encoding="latin-1")
    agent.step()
    assert orchestrator.asked == []
    assert metrics(agent)["optiinfra_agent_registrations_total token"] == 1


def test_repeated_failures_are_one_log_line_and_quote_no_secret(
    agent: Agent, orchestrator: Endpoint, clock: FakeClock, log: StringIO
) -> None:
    orchestrator.replies[REGISTER] = page(b"s3cret", status=503)
    for _ in range(5):
        agent.step()
        clock.at += 60
    orchestrator.replies[REGISTER] = OK
    agent.step()
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events == ["agent_call_failed", "agent_registered"]
    assert "s3cret" not in log.getvalue()


@pytest.mark.parametrize("url", ["ftp://h", "http://user:pw@h", "http://h?x=1", "http://169.254.169.254"])
def test_an_orchestrator_that_cannot_be_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(TargetError):
        Orchestrator.at(url, "/api/v1", None, clock=time.monotonic)


# -- the thread


def test_the_thread_beats_and_ends_with_a_leave(make: Callable[..., Agent], orchestrator: Endpoint) -> None:
    beaten = threading.Event()

    def beat(handler: BaseHTTPRequestHandler) -> None:
        OK(handler)
        beaten.set()

    orchestrator.replies[HEARTBEAT] = beat
    agent = make(f"http://{orchestrator.netloc}")
    agent._identity = Identity("node-1", heartbeat_seconds=0.01)
    agent.start()
    assert beaten.wait(10)
    agent.stop()
    assert paths(orchestrator)[-1] == ("DELETE", LEAVE)
    assert agent._thread is not None
    assert not agent._thread.is_alive()


def test_a_defect_in_the_figures_does_not_end_the_thread(make: Callable[..., Agent], orchestrator: Endpoint) -> None:
    failed, beaten = threading.Event(), threading.Event()

    def figures() -> Any:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        beaten.set()
        return {}

    agent = make(f"http://{orchestrator.netloc}", figures=figures)
    agent._identity = Identity("node-1", heartbeat_seconds=0.01)
    agent.start()
    assert beaten.wait(10)
    agent.stop()


def test_an_orchestrator_that_hangs_holds_the_stop_up_for_its_deadline_at_most(
    make: Callable[..., Agent], orchestrator: Endpoint
) -> None:
    arrived = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        arrived.set()
        orchestrator.released.wait(10)

    orchestrator.replies |= {REGISTER: hang, LEAVE: hang}
    agent = make(f"http://{orchestrator.netloc}")
    agent.start()
    assert arrived.wait(10)
    start = time.monotonic()
    agent.stop(0.2)
    assert time.monotonic() - start < 5
    assert agent._thread is not None
    assert agent._thread.daemon


def test_while_it_stops_nothing_is_tried_again(agent: Agent, orchestrator: Endpoint) -> None:
    def stopping(handler: BaseHTTPRequestHandler) -> None:
        agent._stopping.set()
        page(b"", status=503)(handler)

    orchestrator.replies[REGISTER] = stopping
    agent.step()
    assert len(orchestrator.asked) == 1


# -- the breaker


def test_a_breaker_opens_tries_once_and_closes() -> None:
    clock = FakeClock()
    breaker = Breaker(failures=2, seconds=10, clock=clock)
    breaker.failed()
    assert not breaker.is_open
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert (breaker.is_open, breaker.on_trial, breaker.wait()) == (True, True, 10)
    clock.at += 10
    assert (breaker.is_open, breaker.on_trial) == (False, True)
    breaker.failed()
    assert breaker.is_open
    clock.at += 10
    breaker.succeeded()
    assert (breaker.is_open, breaker.on_trial) == (False, False)
