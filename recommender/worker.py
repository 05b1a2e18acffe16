"""Loops beside the HTTP server: each does steps while there is work, then sleeps until it is woken or polls."""

import threading
from collections.abc import Callable
from datetime import datetime

import structlog

from recommender.clock import Clock
from recommender.errors import RecommenderError

_LOG = structlog.get_logger(__name__)


class Loop:
    """Runs `step` in a thread of its own. `step` returns whether there may be more to do at once.

    An error is counted by `on_error`, logged when its text changes, and followed by a pause; it never ends the loop.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        clock: Clock,
        interval_seconds: float,
        on_error: Callable[[str], None],
    ) -> None:
        self.name = name
        self._step = step
        self._clock = clock
        self._interval = interval_seconds
        self._on_error = on_error
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._last_error = self._last_logged = ""
        self._last_turn = clock.now()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be work: do not wait for the next poll."""
        self._wake.set()

    def stop(self, timeout_seconds: float) -> bool:
        """Finish the step under way and end; False when it takes longer than the timeout."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def last_turn(self) -> datetime:
        """When the loop last began a step."""
        return self._last_turn

    def last_error(self) -> str:
        """What the last step failed with; empty when it did not."""
        return self._last_error

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            if not self.turn():
                self._wake.wait(self._interval)

    def turn(self) -> bool:
        """Do one step; whether there may be more to do at once. Raises nothing."""
        self._last_turn = self._clock.now()
        try:
            more = self._step()
        except Exception as exc:  # noqa: BLE001 - the edge of a loop: whatever happened, the next step is tried
            self._on_error(self.name)
            text = f"{type(exc).__name__}: {exc}"
            if text != self._last_logged:
                _LOG.exception("loop_step_failed", loop=self.name)
            self._last_logged = text
            # Health shows it to anybody; only our own errors are written for that.
            ours = isinstance(exc, RecommenderError)
            self._last_error = str(exc) if ours else f"{type(exc).__name__}; the log says more"
            return False
        self._last_error = self._last_logged = ""
        return more
