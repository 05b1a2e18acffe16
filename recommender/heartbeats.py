"""How long the recommender has been silent: its loops, and the way on which alerts reach it.

Ages and not timestamps, so that a clock that differs from Prometheus's makes nothing look silent.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recommender.clock import Clock
from recommender.errors import StoreUnavailable
from recommender.store import Store
from recommender.store.store import WATCHDOG
from recommender.worker import Loop


class HeartbeatCollector(Collector):
    """Seconds since each loop last began a step, and since the Watchdog last came."""

    def __init__(self, loops: Sequence[Loop], store: Store, clock: Clock) -> None:
        self._loops = tuple(loops)
        self._store = store
        self._clock = clock
        self._started = clock.now()

    def describe(self) -> list[Metric]:
        """Nothing: the loops and the store are asked at scrapes only."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gauges; that of the Watchdog is absent when the store cannot be read."""
        idle = GaugeMetricFamily("optiinfra_loop_idle_seconds", "Time since a loop last began a step.", labels=["loop"])
        for loop in self._loops:
            idle.add_metric([loop.name], self._since(loop.last_turn()))
        yield idle
        try:
            heard = self._store.last_beat(WATCHDOG)
        except StoreUnavailable:
            return
        yield GaugeMetricFamily(
            "optiinfra_watchdog_silent_seconds",
            "Time since the Watchdog alert last came; since the start of this process where it never did.",
            # A recommender that was away heard nothing meanwhile, and Alertmanager is given its time to send again.
            value=self._since(max(heard or self._started, self._started)),
        )

    def _since(self, moment: datetime) -> float:
        return max((self._clock.now() - moment).total_seconds(), 0.0)
