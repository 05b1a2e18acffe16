"""Runs the commands under honcho: one log file each, the story on the terminal, and nothing left behind.

honcho starts every process in a process group of its own, ends all when one ends or a signal comes, and kills what
has not ended after five seconds.
"""

import contextlib
import multiprocessing
import os
import queue
import shlex
import signal
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import psutil
from honcho.manager import Manager

from demo.paths import Paths
from demo.stack import Command
from demo.state import Process, State

STORY = "story"
TAIL_LINES = 15


class _Printer:
    """honcho's printer interface: lines go to files, the story's also to the terminal."""

    def __init__(self, logs: Callable[[str], Path], terminal: TextIO) -> None:
        self.width = 0  # honcho sets it
        self._logs = logs
        self._terminal = terminal
        self._files: dict[str, TextIO] = {}

    def write(self, message: Any) -> None:  # noqa: ANN401 - honcho has no types
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else str(message.data)
        if message.name == STORY:
            with contextlib.suppress(BrokenPipeError):  # nobody reads the terminal any more
                self._terminal.write(text)
                self._terminal.flush()
        file = self._files.get(message.name)
        if file is None:
            file = self._files[message.name] = self._logs(message.name).open("w", encoding="utf-8")
        file.write(text)
        file.flush()

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _Manager(Manager):  # type: ignore[misc] # honcho has no types
    """honcho's manager, which cannot end a process whose start it has not yet heard of: that has to wait."""

    events: Any

    def __init__(self, printer: _Printer, started: Callable[[str, int], None]) -> None:
        super().__init__(printer=printer)
        self.events = _Events(self.events, self._asked, self._heard)
        self.first_end: tuple[str, int] | None = None
        self._report_start = started
        self._starting: set[str] = set()
        self._announced: set[str] = set()  # honcho knows their pids once it asks for the next event
        self._end_when_started = False

    def add(self, command: Command, cwd: Path) -> None:
        # honcho runs a shell; exec replaces it, so that signals reach the program itself.
        line = f"exec {shlex.join(command.arguments)}"
        self.add_process(command.name, line, env={**os.environ, **command.environment}, cwd=str(cwd))
        self._starting.add(command.name)

    def terminate(self) -> None:
        if self._starting:
            self._end_when_started = True
        else:
            super().terminate()

    def _asked(self) -> None:
        """Called when honcho has dealt with every event so far and asks for the next."""
        self._starting -= self._announced
        self._announced.clear()

    def _heard(self, message: Any | None) -> None:  # noqa: ANN401 - honcho has no types
        """Called with every event before honcho acts on it, and with None when there was none for a moment."""
        if message is None:
            if self._end_when_started and not self._starting:
                self.terminate()
        elif message.type == "start":
            self._announced.add(message.name)
            self._report_start(message.name, message.data["pid"])
        elif message.type == "stop" and self.first_end is None:
            self.first_end = (message.name, message.data["returncode"])


class _Events:
    """honcho's event queue, overheard."""

    def __init__(self, events: Any, asked: Callable[[], None], heard: Callable[[Any | None], None]) -> None:  # noqa: ANN401 - honcho has no types
        self._events = events
        self._asked = asked
        self._heard = heard

    def get(self, timeout: float) -> Any:  # noqa: ANN401 - honcho has no types
        self._asked()
        try:
            message = self._events.get(timeout=timeout)
        except queue.Empty:
            self._heard(None)
            raise
        self._heard(message)
        return message

    def put(self, message: Any) -> None:  # noqa: ANN401 - honcho has no types
        self._events.put(message)


def supervise(commands: Sequence[Command], paths: Paths, terminal: TextIO, *, cwd: Path) -> int:
    """Run until one process ends or SIGINT, SIGTERM or SIGHUP comes; returns the exit status for the shell.

    The end of the story is the demo's own end, with its status. Any other process that ends is a failure: the tail of
    its log is shown.
    """
    # honcho hands its queue to children by fork; other start methods would pickle it.
    multiprocessing.set_start_method("fork", force=True)
    printer = _Printer(paths.log, terminal)
    children: dict[str, Process] = {}

    def started(name: str, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children[name] = Process.of(pid)
        State(Process.of(os.getpid()), children).write(paths.state)

    manager = _Manager(printer, started)
    for command in commands:
        manager.add(command, cwd)
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    State(Process.of(os.getpid())).write(paths.state)
    try:
        manager.loop()
    finally:
        _sweep(children)
        printer.close()
        paths.state.unlink(missing_ok=True)
    if manager.first_end is None or manager.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}:
        return int(manager.returncode or 0)
    name, status = manager.first_end
    if name == STORY:
        return status if status >= 0 else 1
    terminal.write(_obituary(name, status, paths.log(name)))
    return status if status > 0 else 1


def _sweep(children: dict[str, Process]) -> None:
    """Kill whatever is left, for example after an error in the supervisor itself: process groups and descendants."""
    for child in children.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _obituary(name: str, status: int, log: Path) -> str:
    with contextlib.suppress(OSError), log.open(encoding="utf-8", errors="replace") as file:
        tail = "".join(f"  {line.rstrip()}\n" for line in deque(file, maxlen=TAIL_LINES))
        return f"\n{name} ended with status {status}, so everything was ended. The end of {log}:\n{tail}"
    return f"\n{name} ended with status {status} and wrote nothing, so everything was ended.\n"
