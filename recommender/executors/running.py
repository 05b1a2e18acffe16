"""A restart command that outlived the recommender that started it, found again by pid and start time together.

After a `kill -9` the command goes on by itself. A second one beside it could stop what the first has just started, so
the next step waits for its end.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """A process: its pid, and when it was created (seconds since the epoch), which tells it from a later one."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "Running | None":
        """The process with this pid; None when it is over already."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def over(self) -> bool:
        """Whether it has ended, or is known to be another process by now."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() != self.created or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def await_end(self, seconds: float) -> None:
        """Return once it is over; one that is not within `seconds` is killed with its whole session."""
        deadline = time.monotonic() + seconds
        while not self.over():
            if time.monotonic() >= deadline:
                with suppress(ProcessLookupError):  # it ended just now
                    os.killpg(self.pid, signal.SIGKILL)
                return
            time.sleep(_POLL_SECONDS)
