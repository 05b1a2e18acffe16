"""Agents by state, for Prometheus."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recommender.clock import Clock
from recommender.errors import StoreUnavailable
from recommender.registry.model import AgentState
from recommender.store import Store


class AgentsCollector(Collector):
    """`optiinfra_agents{state}`, as the store has them now."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: the store is asked at scrapes only."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One gauge a state; none when the store cannot be read."""
        try:
            agents = self._store.agents()
        except StoreUnavailable:
            return
        now = self._clock.now()
        states = Counter(agent.state(now) for agent in agents)
        found = GaugeMetricFamily(
            "optiinfra_agents", "Registered agents by the age of their last heartbeat.", labels=["state"]
        )
        for state in AgentState:
            found.add_metric([state.value], states[state])
        yield found
