"""What black-box probes may spend: probes a minute, tokens an hour, at once, and how often one target is asked."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from exporters.blackbox.config import BudgetLimits

_MINUTE_SECONDS = 60.0
_HOUR_SECONDS = 3600.0


class BudgetSpent(Exception):
    """A probe may not be made now; the message says which limit stands against it, and for how long."""


class _Bucket:
    """A token bucket: starts full and fills again at an even rate. Not thread-safe by itself."""

    def __init__(self, capacity: float, seconds_to_fill: float, now: float) -> None:
        self._capacity = capacity
        self._rate = capacity / seconds_to_fill
        self._level = capacity
        self._at = now

    def seconds_until(self, amount: float, now: float) -> float:
        """How long until `amount` is there; zero when it is."""
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        return max((amount - self._level) / self._rate, 0.0)

    def take(self, amount: float) -> None:
        self._level -= amount


class Budget:
    """Limits that hold over all requests at once. `clock` gives monotonic seconds. Thread-safe.

    Tokens are counted as asked for (`max_tokens`), before anything is sent, so that no answer can exceed the budget.
    """

    def __init__(self, limits: BudgetLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        now = clock()
        # A limit below one a minute still lets one probe through, then waits its time.
        burst = max(limits.probes_per_minute, 1.0)
        self._probes = _Bucket(burst, _MINUTE_SECONDS * burst / limits.probes_per_minute, now)
        self._tokens = _Bucket(limits.tokens_per_hour, _HOUR_SECONDS, now)
        self._free = limits.concurrent_probes
        self._not_before: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def spend(self, target: Hashable, tokens: int, min_interval_seconds: float) -> Iterator[None]:
        """Hold a place for one probe of `target` that may generate `tokens`. Raises BudgetSpent, and takes nothing."""
        with self._lock:
            self._take(target, tokens, min_interval_seconds)
        try:
            yield
        finally:
            with self._lock:
                self._free += 1

    def _take(self, target: Hashable, tokens: int, min_interval_seconds: float) -> None:
        now = self._clock()
        # What may be asked again need not be remembered: the table stays as small as the rate allows.
        self._not_before = {key: at for key, at in self._not_before.items() if at > now}
        if target in self._not_before:
            raise BudgetSpent(f"this target was asked less than {min_interval_seconds:g} s ago (min_interval_seconds)")
        if self._free < 1:
            raise BudgetSpent(f"{self._limits.concurrent_probes} probes are under way (concurrent_probes)")
        if wait := self._probes.seconds_until(1, now):
            raise BudgetSpent(f"probes_per_minute is spent; again in {wait:.0f} s")
        if wait := self._tokens.seconds_until(tokens, now):
            raise BudgetSpent(f"tokens_per_hour is spent; again in {wait:.0f} s")
        self._probes.take(1)
        self._tokens.take(tokens)
        self._free -= 1
        self._not_before[target] = now + min_interval_seconds
