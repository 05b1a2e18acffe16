"""A circuit breaker: after failures on end, leave the other side alone for a while, then try once.

pybreaker reads the wall clock by itself, so its waiting cannot be tested without patching or sleeping, and it keeps a
lock and a storage for many callers where there is one thread.
"""

from collections.abc import Callable


class Breaker:
    """Opens after `failures` on end for `seconds`; one failure of the trial that follows opens it again.

    `clock` gives monotonic seconds. For one thread that reports; any may read.
    """

    def __init__(self, *, failures: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing should be tried now."""
        return self.wait() > 0

    @property
    def on_trial(self) -> bool:
        """Whether the next call decides if it opens again."""
        return self._failures >= self._limit

    def wait(self) -> float:
        """Seconds until the next try; zero when one may be made now."""
        return 0.0 if self._open_until is None else max(self._open_until - self._clock(), 0.0)

    def succeeded(self) -> None:
        """A call went well."""
        self._failures = 0
        self._open_until = None

    def failed(self) -> None:
        """A call failed."""
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = self._clock() + self._seconds
