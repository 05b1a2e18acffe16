"""A pipeline with a moved clock, a real store, and Prometheus's answers from the stub."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from recommender.contracts import PromQL
from recommender.executors import build
from recommender.intake.model import Incident
from recommender.inventory import Inventory
from recommender.model import WorkflowState
from recommender.pipeline import Pipeline
from recommender.prometheus import PrometheusClient
from recommender.rollout.states import move
from recommender.store import Store
from tests.recommender.foundation.stub_prometheus import (
    StubPrometheus,
)


@dataclass
class World:
    """A pipeline and what is around it."""

    store: Store
    prometheus: StubPrometheus
    clock: Any
    make_alert: Callable[..., Any]
    make_delivery: Callable[..., Any]
    inventory: Inventory
    latencies: list[float] = field(default_factory=list)
    keys: Iterator[int] = field(default_factory=count)

    def pipeline(
        self, inventory: Inventory | None = None, owner: str = "me", history: PromQL | None = None
    ) -> Pipeline:
        ids = count(1)
        return Pipeline(
            store=self.store,
            promql=PrometheusClient(self.prometheus.url),
            inventory=self.inventory if inventory is None else inventory,
            executors=build({}),
            clock=self.clock,
            owner=owner,
            ids=lambda: f"{owner}{next(ids)}",
            observe_latency=self.latencies.append,
            history=history,
        )

    def fire(self, fingerprint: str = "aaaa", **labels: str) -> None:
        alert = self.make_alert(fingerprint, starts_at=self.clock.now(), **labels)
        self.store.record(self.make_delivery(alert, key=f"k{next(self.keys)}"), self.clock.now(), 100)

    def incident(self) -> Incident:
        [found] = self.store.incidents()
        return found

    def states(self) -> list[str]:
        return [one.state.value for one in self.store.workflows()]

    def decide(self, trigger: str) -> None:
        [workflow] = self.store.workflows((WorkflowState.PENDING_APPROVAL,))
        moved, event = move(workflow, trigger, self.clock.now(), actor="ann", reason="because")
        self.store.save(moved, [event])
