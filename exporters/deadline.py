"""Keeps a reading that can hang (a wedged driver, a dead disk) from hanging the scrape."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from exporters.errors import ReadError
from exporters.families import FamilySet


class TimeLimited:
    """A collector that runs in a thread of its own and is given up on after a limit.

    At most one reading is under way: scrapes that meet one share it, and while one is overdue no other is started,
    so a driver that never answers costs one thread and one failed collector, not the page.
    """

    def __init__(self, read: Callable[[], FamilySet], *, limit_seconds: float, timer: Callable[[], float]) -> None:
        """`timer` gives monotonic seconds."""
        self._read = read
        self._limit = limit_seconds
        self._timer = timer
        self._lock = threading.Lock()
        self._pending: Future[FamilySet] | None = None
        self._started = 0.0

    def __call__(self) -> FamilySet:
        """Give the reading, or raise `ReadError` when it is not done within the limit."""
        reading, left = self._under_way()
        if left <= 0 or not wait([reading], timeout=left).done:
            raise ReadError(f"no answer within {self._limit:g} s; nothing more is asked until that reading ends")
        return reading.result()

    def _under_way(self) -> tuple[Future[FamilySet], float]:
        with self._lock:
            now = self._timer()
            if self._pending is None or self._pending.done():
                self._pending = Future()
                self._started = now
                # A daemon: the exporter must be able to stop while a driver call hangs.
                threading.Thread(target=self._fill, args=(self._pending,), daemon=True).start()
            return self._pending, self._limit - (now - self._started)

    def _fill(self, reading: Future[FamilySet]) -> None:
        try:
            reading.set_result(self._read())
        except Exception as error:  # noqa: BLE001 - handed to the waiting scrape, which raises it again
            reading.set_exception(error)
