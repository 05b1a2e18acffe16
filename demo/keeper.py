"""`python -m demo.keeper PIDFILE -- COMMAND…`: keeps one process running, as systemd would on a real machine.

SIGHUP restarts the command, SIGTERM and SIGINT end it and the keeper, and a command that dies by itself is started
again after a pause that doubles up to a limit. The pid file names keeper and command, as JSON.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_LIMIT_SECONDS = 30.0
STABLE_SECONDS = 60.0
"""A command that ran this long starts again without the pauses that earlier crashes earned."""
TERMINATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Pids:
    """What the pid file says; `child` is None while the command is not running, `starts` counts its starts."""

    keeper: int
    child: int | None
    starts: int

    def write(self, path: Path) -> None:
        """Replace the file at once, so that a reader never sees half of it."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Pids":
        """Read the file; raises OSError when it is not there and ValueError when it is no pid file."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            child = found["child"]
            return cls(int(found["keeper"]), None if child is None else int(child), int(found["starts"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a keeper's pid file") from error


class Keeper:
    """Runs the command; signals and the command's end arrive as events in one queue."""

    def __init__(self, command: Sequence[str], pid_file: Path, *, monotonic: Callable[[], float]) -> None:
        self._command = list(command)
        self._pid_file = pid_file
        self._monotonic = monotonic
        self._events: queue.SimpleQueue[str | subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._backoff = BACKOFF_FIRST_SECONDS
        self._starts = 0

    def request(self, event: str) -> None:
        """Ask for `restart` or `stop`; safe in a signal handler."""
        self._events.put(event)

    def run(self) -> int:
        """Keep the command running until `stop`; returns the exit status."""
        try:
            event = "restart"
            while event != "stop":
                event = self._run_once()
        finally:
            self._pid_file.unlink(missing_ok=True)
        return 0

    def _run_once(self) -> str:
        """Start the command and wait for what ends it."""
        started = self._monotonic()
        try:
            child = subprocess.Popen(self._command)
        except OSError as error:
            self._say(f"cannot start {self._command[0]}: {error.strerror}")
            return self._pause()
        self._starts += 1
        self._publish(child.pid)
        threading.Thread(target=self._watch, args=(child,), daemon=True).start()
        event = self._next_event(child)
        if event is not child:
            self._end(child)
            self._publish(None)
            self._backoff = BACKOFF_FIRST_SECONDS
            return str(event)
        self._publish(None)
        if self._monotonic() - started >= STABLE_SECONDS:
            self._backoff = BACKOFF_FIRST_SECONDS
        self._say(f"the command ended with status {child.returncode}; starting it again in {self._backoff:g} s")
        return self._pause()

    def _next_event(self, child: subprocess.Popen[bytes]) -> str | subprocess.Popen[bytes]:
        """Return the next signal, or `child` when it has ended; news of an earlier child is dropped."""
        while True:
            event = self._events.get()
            if isinstance(event, str) or event is child:
                return event

    def _pause(self) -> str:
        """Wait out the back-off; a restart or stop that is asked for meanwhile takes effect at once."""
        deadline = self._monotonic() + self._backoff
        self._backoff = min(BACKOFF_LIMIT_SECONDS, 2 * self._backoff)
        while (left := deadline - self._monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(event, str):
                return event
        return "restart"

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        child.wait()
        self._events.put(child)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(timeout=TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            self._say(f"the command did not end within {TERMINATE_SECONDS:g} s; killing it")
            child.kill()
            child.wait()

    def _publish(self, child: int | None) -> None:
        Pids(os.getpid(), child, self._starts).write(self._pid_file)

    def _say(self, text: str) -> None:
        print(f"keeper: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser("demo.keeper", description=__doc__, allow_abbrev=False)
    parser.add_argument("pid_file", type=Path)
    parser.add_argument("command", nargs="+", help="the command and its arguments, after --")
    options = parser.parse_args()
    keeper = Keeper(options.command, options.pid_file, monotonic=time.monotonic)
    signal.signal(signal.SIGHUP, lambda *_: keeper.request("restart"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.request("stop"))
    return keeper.run()


if __name__ == "__main__":
    sys.exit(main())
