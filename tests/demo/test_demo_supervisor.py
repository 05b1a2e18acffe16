"""The supervisor with real children: whatever ends it, nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.errors import DemoError
from demo.paths import Paths
from demo.state import State, down, refuse_second

PROGRAM = """
import sys
from pathlib import Path
from demo.paths import ROOT, Paths
from demo.stack import Command
from demo.supervisor import supervise

run, *named = sys.argv[1:]
paths = Paths(Path(run))
paths.logs.mkdir(parents=True)
commands = [Command(*pair) for pair in zip(named[::2], [(sys.executable, "-u", "-c", text) for text in named[1::2]])]
sys.exit(supervise(commands, paths, sys.stdout, cwd=ROOT))
"""
# A Ctrl-C in the very instant in which the last start is told, when honcho does not know that process's pid yet.
INTERRUPTED = (
    """
import os, signal
from demo import supervisor
write = supervisor.State.write

def interrupted(state, path):
    write(state, path)
    if len(state.children) == 2:
        os.kill(os.getpid(), signal.SIGINT)

supervisor.State.write = interrupted
"""
    + PROGRAM
)
SERVER = "import time; print('serving'); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('serving'); time.sleep(600)"
# A child with a child of its own, as the keeper is; the grandchild must not survive either.
PARENT = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print('child', p.pid); time.sleep(600)"
)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.02)


class Demo:
    """A supervisor under test, in a session of its own."""

    def __init__(self, run: Path, **programs: str) -> None:
        self.paths = Paths(run)
        named = [part for pair in programs.items() for part in pair]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(run), *named], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.programs = programs

    def pids(self) -> list[int]:
        """Supervisor and children, once all run."""
        until(lambda: (state := State.read(self.paths.state)) and len(state.children) == len(self.programs))
        state = State.read(self.paths.state)
        assert state is not None
        leaders = [state.supervisor.pid, *(child.pid for child in state.children.values())]
        logs = [self.paths.log(name) for name in self.programs]
        until(lambda: all(log.exists() and log.read_text() for log in logs))
        return [*leaders, *(one.pid for pid in leaders[1:] for one in psutil.Process(pid).children(recursive=True))]

    def output(self) -> str:
        output, _ = self.process.communicate(timeout=30)
        return output


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(name="start")
def _start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(**programs: str) -> Demo:
        started.append(Demo(tmp_path / "run", **programs))
        return started[-1]

    yield start
    for demo in started:
        down(demo.paths.state)
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_and_their_children(start: Callable[..., Demo], number: signal.Signals) -> None:
    demo = start(server=SERVER, keeper=PARENT, story=SERVER)
    pids = demo.pids()
    assert len(pids) == 5
    os.kill(demo.process.pid, number)
    demo.output()

    assert demo.process.returncode == 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
    assert not any(alive(pid) for pid in pids)
    assert not demo.paths.state.exists()


def test_a_process_that_ignores_sigterm_is_killed(start: Callable[..., Demo]) -> None:
    demo = start(server=STUBBORN, story=SERVER)
    pids = demo.pids()
    demo.process.terminate()
    demo.output()

    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("status", [0, 3])
def test_the_end_of_the_story_ends_the_demo_with_its_status(start: Callable[..., Demo], status: int) -> None:
    demo = start(server=SERVER, story=f"print('all is told'); raise SystemExit({status})")
    output = demo.output()

    assert output == "all is told\n"
    assert demo.process.returncode == status


@pytest.mark.parametrize("status", [0, 7])
def test_a_process_that_ends_by_itself_is_a_failure_that_shows_its_log(start: Callable[..., Demo], status: int) -> None:
    demo = start(server=f"print('cannot bind'); raise SystemExit({status})", story=SERVER)
    output = demo.output()

    assert demo.process.returncode == (status or 1)
    assert f"server ended with status {status}, so everything was ended" in output
    assert "  cannot bind\n" in output


def test_only_the_story_is_on_the_terminal_and_everything_is_in_logs(start: Callable[..., Demo]) -> None:
    demo = start(server=SERVER, story="import time; print('once'); time.sleep(600)")
    demo.pids()
    demo.process.terminate()

    assert demo.output() == "once\n"
    assert demo.paths.log("server").read_text() == "serving\n"
    assert demo.paths.log("story").read_text() == "once\n"


def test_down_ends_the_demo_of_another_terminal_and_a_second_start_is_refused(start: Callable[..., Demo]) -> None:
    demo = start(server=SERVER, story=SERVER)
    pids = demo.pids()
    with pytest.raises(DemoError, match=f"runs already .process {demo.process.pid}"):
        refuse_second(demo.paths.state)

    assert down(demo.paths.state) == "the demo has ended"
    assert not any(alive(pid) for pid in pids)
    assert down(demo.paths.state) == "no demo runs"
    refuse_second(demo.paths.state)


def test_down_ends_what_a_killed_supervisor_left(start: Callable[..., Demo]) -> None:
    demo = start(server=SERVER, keeper=PARENT, story=SERVER)
    pids = demo.pids()
    demo.process.kill()
    demo.process.wait()
    assert any(alive(pid) for pid in pids)
    with pytest.raises(DemoError, match="make down"):
        refuse_second(demo.paths.state)

    assert down(demo.paths.state) == "the demo has ended"
    until(lambda: not any(alive(pid) for pid in pids))


def test_a_state_file_of_a_process_that_is_another_by_now_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "demo.pid"
    path.write_text(f'{{"supervisor": {{"pid": {os.getpid()}, "started": 1.0}}, "children": {{}}}}')

    refuse_second(path)
    assert down(path) == "no demo runs"


def test_a_signal_while_the_last_start_is_told_ends_everything_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "run"), "one", SERVER, "two", PARENT]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 128 + signal.SIGINT, said
    assert State.read(Paths(tmp_path / "run").state) is None
