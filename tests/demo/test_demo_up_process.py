"""`python -m demo up` and `down` with the real stack: it comes up, says so, and leaves nothing behind."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from demo.errors import DemoError
from demo.paths import ROOT, Paths
from demo.ports import Ports, refuse_taken
from demo.state import State

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def free_offset() -> int:
    """An offset at which every port of the demo is free, engines included; outside the ephemeral range."""
    for offset in random.sample(range(11000, 22000, 10), 200):
        ports = Ports.from_environment({"DEMO_PORT_OFFSET": str(offset)})
        try:
            refuse_taken([*dataclasses.asdict(ports).items(), *(("engine", ports.engine + more) for more in (1, 2))])
        except DemoError:
            continue
        return offset
    raise AssertionError("no free ports")


class Up:
    """A demo under test; its output is read by a thread, so that it never blocks."""

    def __init__(self, run: Path, *arguments: str) -> None:
        self.paths = Paths(run)
        offset = free_offset()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPTIINFRA_", "DEMO_"))},
            "OPTIINFRA_DEMO_DIR": str(run),
            "DEMO_PORT_OFFSET": str(offset),
        }
        self.ports = Ports.from_environment(self.environment)
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo", "up", *arguments],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "demo", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def tree(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def get(self, server: str, path: str) -> requests.Response | None:
        with requests.Session() as session:
            session.trust_env = False
            try:
                return session.get(f"{self.ports.url(server)}{path}", timeout=5)
            except requests.ConnectionError:
                return None

    def close(self) -> None:
        if self.process.poll() is None:
            self.call("down")
        self.process.wait(timeout=40)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def output(self) -> str:
        return "".join(self.lines)


def until(condition: Callable[[], object], up: Up, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert up.process.poll() is None, f"the demo ended:\n{up.output}"
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s:\n{up.output}"
        time.sleep(0.1)


@pytest.fixture(name="start")
def _start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path / "run", *arguments))
        return started[-1]

    yield start
    for up in started:
        up.close()


def assert_nothing_is_left(up: Up, tree: list[psutil.Process]) -> None:
    gone, alive = psutil.wait_procs(tree, timeout=10)
    assert not alive, [process.cmdline() for process in alive]
    assert len(gone) == len(tree)
    refuse_taken([*dataclasses.asdict(up.ports).items(), *(("engine", up.ports.engine + more) for more in (1, 2))])
    assert State.read(up.paths.state) is None


def test_the_whole_stack_serves_shows_traffic_and_ends_with_down(start: Callable[..., Up]) -> None:
    up = start()
    until(lambda: "chat: running 24" in up.output, up)

    targets = up.get("prometheus", "/api/v1/targets?state=active")
    assert targets is not None
    jobs = {target["labels"]["job"] for target in targets.json()["data"]["activeTargets"]}
    assert jobs >= {"llm-probe", "node", "recommender", "prometheus", "alertmanager"}
    for server, path in (
        ("alertmanager", "/-/ready"),
        ("exporter", "/healthz"),
        ("recommender", "/openapi/openapi.json"),
    ):
        answer = up.get(server, path)
        assert answer is not None
        assert answer.ok, (server, answer.status_code)
    assert f"{up.paths.tokens.parent}/tokens/<role>" in up.output

    again = up.call("up")
    assert again.returncode == 1
    assert "runs already" in again.stderr

    tree = up.tree()
    assert len(tree) > 12
    assert up.call("down").stdout == "the demo has ended\n"
    assert_nothing_is_left(up, tree)
    assert up.process.wait(timeout=10) == 0


def test_ctrl_c_leaves_nothing_running_even_early_in_the_start(start: Callable[..., Up]) -> None:
    up = start()
    until(lambda: (state := State.read(up.paths.state)) and len(state.children) >= 3, up)
    tree = up.tree()
    up.process.send_signal(signal.SIGINT)

    assert up.process.wait(timeout=40) == 0
    assert_nothing_is_left(up, tree)


def test_with_an_own_inventory_no_engine_is_simulated_and_its_services_are_watched(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    inventory = tmp_path / "mine.yml"
    inventory.write_text("services: {api: {engine: vllm, replicas: [{url: 'http://127.0.0.1:9', node: here}]}}\n")
    up = start("--inventory", str(inventory))
    until(lambda: "api: running ?" in up.output, up)

    state = State.read(up.paths.state)
    assert state is not None
    assert set(state.children) == {"exporter", "recommender", "prometheus", "alertmanager", "story"}
    assert up.process.poll() is None


def test_a_taken_port_is_a_message_and_not_a_start(start: Callable[..., Up], tmp_path: Path) -> None:
    first = start()
    until(lambda: (state := State.read(first.paths.state)) and len(state.children) == 9, first)
    until(lambda: first.get("prometheus", "/-/ready"), first)
    other = {**first.environment, "OPTIINFRA_DEMO_DIR": str(tmp_path / "other")}
    second = subprocess.run(
        [sys.executable, "-m", "demo", "up"],
        env=other,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert f"{first.ports.prometheus} (prometheus) is held by prometheus (process " in second.stderr
    assert "OPTIINFRA_PROMETHEUS_PORT" in second.stderr
    assert not (tmp_path / "other").exists()
