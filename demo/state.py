"""Who runs the demo: `run/demo.pid`, and how to end it from another terminal."""

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from demo.errors import DemoError

STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is not mistaken for a later one with the same pid."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Identify a running process; raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time())

    def runs(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor and its children by name; each child leads a process group of its own."""

    supervisor: Process
    children: Mapping[str, Process] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the file at once."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> "State | None":
        """The state, or None when there is no readable file."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            children = {name: Process(**child) for name, child in found["children"].items()}
            return cls(Process(**found["supervisor"]), children)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def refuse_second(path: Path) -> None:
    """Raise DemoError while a demo with this state file runs."""
    state = State.read(path)
    if state is None:
        return
    if state.supervisor.runs():
        raise DemoError(f"the demo runs already (process {state.supervisor.pid}); end it with: make down")
    if any(child.runs() for child in state.children.values()):
        raise DemoError("processes of a demo that was killed still run; end them with: make down")


def down(path: Path) -> str:
    """End the demo and whatever a killed one left; returns what was done. Raises DemoError when something stays."""
    state = State.read(path)
    if state is None:
        return "no demo runs"
    everything = [state.supervisor, *state.children.values()]
    if not any(process.runs() for process in everything):
        path.unlink(missing_ok=True)
        return "no demo runs"
    if state.supervisor.runs():
        os.kill(state.supervisor.pid, signal.SIGTERM)
        _wait(everything, STOP_SECONDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in state.children.values():
            if child.runs():
                os.killpg(child.pid, number)
        if _wait(everything, STOP_SECONDS / 2):
            path.unlink(missing_ok=True)
            return "the demo has ended"
    left = ", ".join(str(process.pid) for process in everything if process.runs())
    raise DemoError(f"these processes did not end: {left}")


def _wait(processes: list[Process], seconds: float) -> bool:
    """Whether all have ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while any(process.runs() for process in processes):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True
