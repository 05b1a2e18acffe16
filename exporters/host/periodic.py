"""Readings on a cadence of their own, off the scrape path."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from exporters.errors import ReadError
from exporters.families import FamilySet

# A sample may be late by as many intervals before it is too old to be given.
_STALE_INTERVALS = 3
_STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Sample:
    """What a reading gave, or why it gave nothing, and when (monotonic seconds)."""

    families: FamilySet | Exception
    at: float


class Periodic:
    """A collector that gives the last sample of a reading that a thread of its own takes at a fixed interval.

    A reading that hangs (`/proc/<pid>/cmdline` waits for a process that is stuck in the kernel) costs that thread;
    scrapes then get no sample rather than an old one.
    """

    def __init__(
        self,
        read: Callable[[], FamilySet],
        *,
        interval_seconds: float,
        first_seconds: float,
        timer: Callable[[], float],
    ) -> None:
        """`timer` gives monotonic seconds; a scrape waits at most `first_seconds` for the first sample."""
        self._read = read
        self._interval = interval_seconds
        self._first_seconds = first_seconds
        self._timer = timer
        self._sample: _Sample | None = None
        self._first = threading.Event()
        self._stop = threading.Event()
        # A daemon: the exporter must be able to stop while a reading hangs.
        self._thread = threading.Thread(target=self._run, name="periodic", daemon=True)

    def start(self) -> "Periodic":
        """Begin sampling."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End sampling after the reading that is under way; one that hangs is not waited for."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def __call__(self) -> FamilySet:
        """Give the last sample or raise what it raised; `ReadError` when there is none or it is too old."""
        self._first.wait(self._first_seconds)
        sample = self._sample
        if sample is None:
            raise ReadError("no sample yet: the first reading is still under way")
        age = self._timer() - sample.at
        if age > _STALE_INTERVALS * self._interval:
            raise ReadError(f"the last sample is {age:.0f} s old: a reading is still under way")
        if isinstance(sample.families, Exception):
            raise sample.families
        return sample.families

    def _run(self) -> None:
        while True:
            self._take()
            if self._stop.wait(self._interval):
                return

    def _take(self) -> None:
        try:
            families: FamilySet | Exception = self._read()
        except Exception as error:  # noqa: BLE001 - handed to the scrapes, which raise it again
            families = error
        self._sample = _Sample(families, self._timer())
        self._first.set()
