"""Keeper and restart with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.keeper import Pids

# Writes a line per start, so that a test can count them; ends at SIGTERM like any well-behaved server.
SLEEPER = "import os,sys,time; open(sys.argv[1],'a').write(f'{os.getpid()}\\n'); time.sleep(600)"
CRASHER = "import os,sys; open(sys.argv[1],'a').write(f'{os.getpid()}\\n'); sys.exit(3)"


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.02)


class Kept:
    """A keeper under test."""

    def __init__(self, directory: Path, program: str) -> None:
        self.pid_file = directory / "engine.pid"
        self.starts_file = directory / "starts"
        command = [sys.executable, "-c", program, str(self.starts_file)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo.keeper", str(self.pid_file), "--", *command], stderr=subprocess.PIPE, text=True
        )

    def starts(self) -> list[int]:
        return [int(line) for line in self.starts_file.read_text().split()] if self.starts_file.exists() else []

    def child(self) -> int | None:
        return Pids.read(self.pid_file).child if self.pid_file.exists() else None

    def restart(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "demo.restart", str(self.pid_file), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(name="keep")
def _keep(tmp_path: Path) -> Iterator[Callable[[str], Kept]]:
    kept: list[Kept] = []

    def start(program: str) -> Kept:
        kept.append(Kept(tmp_path, program))
        return kept[-1]

    yield start
    for one in kept:
        family = [one.process.pid, *one.starts()]
        if one.process.poll() is None:
            one.process.terminate()
        try:
            one.process.communicate(timeout=15)
        finally:
            for pid in family:
                if psutil.pid_exists(pid):
                    os.kill(pid, signal.SIGKILL)


def test_restart_ends_the_old_process_before_it_reports_a_new_one(keep: Callable[[str], Kept]) -> None:
    kept = keep(SLEEPER)
    until(kept.starts)
    [first] = kept.starts()
    done = kept.restart()

    assert (done.returncode, done.stderr) == (0, "")
    assert not psutil.pid_exists(first)
    until(lambda: len(kept.starts()) == 2)
    assert kept.child() == kept.starts()[1]


def test_sigterm_ends_the_command_and_the_keeper_and_removes_the_pid_file(keep: Callable[[str], Kept]) -> None:
    kept = keep(SLEEPER)
    until(kept.starts)
    kept.process.terminate()

    assert kept.process.wait(timeout=15) == 0
    assert not psutil.pid_exists(kept.starts()[0])
    assert not kept.pid_file.exists()


def test_a_command_that_crashes_is_started_again_with_growing_pauses(keep: Callable[[str], Kept]) -> None:
    kept = keep(CRASHER)
    until(lambda: len(kept.starts()) >= 3)
    kept.process.terminate()
    _, errors = kept.process.communicate(timeout=15)

    assert "ended with status 3; starting it again in 0.5 s" in errors
    assert "starting it again in 1 s" in errors


def test_a_restart_during_the_pause_after_a_crash_takes_effect_at_once(keep: Callable[[str], Kept]) -> None:
    kept = keep(CRASHER)
    until(lambda: len(kept.starts()) == 3)  # the next pause is 2 s
    until(lambda: kept.child() is None)
    before = time.monotonic()

    assert kept.restart().returncode == 0
    assert time.monotonic() - before < 1.9


def test_a_keeper_that_cannot_start_its_command_says_so_and_stays(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.keeper", str(tmp_path / "x.pid"), "--", "/nowhere/engine"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "cannot start /nowhere/engine: No such file or directory" in process.stderr.readline()
    process.terminate()
    process.communicate(timeout=15)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is the engine's keeper running?"),
        ("not json", "is not a keeper's pid file"),
        ('{"keeper": 1}', "is not a keeper's pid file"),
        pytest.param(
            json.dumps({"keeper": os.getpid(), "child": None, "starts": 1}),
            f"process {os.getpid()} is not a keeper",
            id="another process",  # the same name in every worker
        ),
        (json.dumps({"keeper": 2**22 + 5, "child": None, "starts": 1}), "does not run any more"),
    ],
)
def test_restart_refuses_a_pid_file_that_names_no_keeper(tmp_path: Path, content: str | None, message: str) -> None:
    pid_file = tmp_path / "engine.pid"
    if content is not None:
        pid_file.write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "demo.restart", str(pid_file)], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
