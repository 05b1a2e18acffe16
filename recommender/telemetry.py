"""The recommender's own metrics: counters kept here, gauges read from the store and the inventory at each scrape.

A gauge that cannot be read is absent, never zero; `optiinfra_component_up` then says which part is down.
"""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recommender.clock import Clock
from recommender.contracts import Executor
from recommender.errors import StoreUnavailable
from recommender.health import Health, Status
from recommender.intake.model import ReceiptOutcome
from recommender.inventory import Inventory
from recommender.model import WorkflowState
from recommender.replica_knobs import replica_knobs
from recommender.rollout.states import TERMINAL
from recommender.roofline_figures import roofline_figures
from recommender.store import Store

_LATENCY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Telemetry:
    """Counters and histograms, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._notifications = Counter(
            "optiinfra_webhook_notifications_total",
            "Alert notifications by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._alerts = Counter(
            "optiinfra_webhook_alerts_total", "Alerts in notifications.", ["status"], registry=self.registry
        )
        self._latency = Histogram(
            "optiinfra_alert_to_plan_seconds",
            "From the receipt of an alert to its plan.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._loop_errors = Counter(
            "optiinfra_loop_errors_total", "Steps that failed.", ["loop"], registry=self.registry
        )
        self._http_errors = Counter(
            "optiinfra_http_errors_total", "Requests that failed by our fault.", registry=self.registry
        )
        for outcome in ReceiptOutcome:  # so that a rate sees the first one
            self._notifications.labels(outcome.value)

    def notification(self, outcome: ReceiptOutcome) -> None:
        """A notification was answered."""
        self._notifications.labels(outcome.value).inc()

    def alerts(self, status: str, count: int) -> None:
        """`count` alerts of a notification were `firing`, `resolved` or `invalid`."""
        self._alerts.labels(status).inc(count)

    def planned(self, seconds: float) -> None:
        """A plan was made this long after its alert came."""
        self._latency.observe(seconds)

    def loop_error(self, loop: str) -> None:
        """A step of a loop failed."""
        self._loop_errors.labels(loop).inc()

    def http_error(self) -> None:
        """A request failed in a way that nobody foresaw."""
        self._http_errors.inc()


class StoreCollector(Collector):
    """Workflows by state and the backlog, as the store has them now."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Nothing: the store is asked at scrapes only."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gauges; none when the store cannot be read."""
        try:
            states, backlog = self._store.count_by_state(), self._store.backlog()
            in_flight = self._store.in_flight()
        except StoreUnavailable:
            return
        current = GaugeMetricFamily("optiinfra_workflows", "Workflows by state.", labels=["state"])
        for state in WorkflowState:
            current.add_metric([state.value], states.get(state, 0))
        yield current
        active = GaugeMetricFamily(
            "optiinfra_workflows_in_flight", "Workflows of a service that are being carried out.", labels=["service"]
        )
        for service, count in sorted(in_flight.items()):
            active.add_metric([service], count)
        yield active
        finished = Metric("optiinfra_workflows_finished", "Workflows that are over, by how they ended.", "counter")
        for state in sorted(TERMINAL):
            finished.add_sample("optiinfra_workflows_finished_total", {"state": state.value}, states.get(state, 0))
        yield finished
        yield GaugeMetricFamily(
            "optiinfra_intake_backlog", "Alerts that nobody has looked at yet.", value=backlog.incidents
        )
        oldest = backlog.oldest_received_at
        age = 0.0 if oldest is None else max((self._clock.now() - oldest).total_seconds(), 0.0)
        yield GaugeMetricFamily(
            "optiinfra_intake_oldest_pending_seconds", "Age of the oldest alert of the backlog.", value=age
        )


class HealthCollector(Collector):
    """Which parts work, and what runs here."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def describe(self) -> list[Metric]:
        """Nothing: parts are tried at scrapes only."""
        return []

    def collect(self) -> Iterator[Metric]:
        """1 or 0 a part; absent where nothing is known."""
        up = GaugeMetricFamily("optiinfra_component_up", "Whether a part works.", labels=["component"])
        for part in self._health.components():
            if part.status is not Status.UNKNOWN:
                up.add_metric([part.name], float(part.status is Status.UP))
        yield up
        labels = {"version": version("optiinfra"), "python": platform.python_version()}
        build = GaugeMetricFamily("optiinfra_build_info", "What runs here; always 1.", labels=list(labels))
        build.add_metric(list(labels.values()), 1.0)
        yield build


class InventoryCollector(Collector):
    """What the inventory and the engines' configuration say, for rules to compare with."""

    def __init__(self, inventory: Inventory, executors: Mapping[str, Executor]) -> None:
        self._inventory = inventory
        self._executors = executors

    def describe(self) -> list[Metric]:
        """Nothing: configuration files are read at scrapes only."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Objectives that the inventory sets, what replicas cost, and each replica's knobs that are numbers."""
        objectives = GaugeMetricFamily(
            "optiinfra_objective", "Objective of a service.", labels=["service", "objective"]
        )
        knobs = GaugeMetricFamily(
            "optiinfra_replica_knob",
            "Setting of a replica: from its configuration file, else the inventory, else a default that surely holds.",
            labels=["service", "instance", "knob"],
        )
        rooflines = GaugeMetricFamily(
            "optiinfra_roofline",
            "What a replica of a service computes for a token, and what its GPUs can do, as the inventory says.",
            labels=["service", "fact"],
        )
        costs = GaugeMetricFamily(
            "optiinfra_replica_cost_per_hour",
            "Price of an hour of a replica, in the currency of the inventory.",
            labels=["service", "instance"],
        )
        for name, service in self._inventory.services.items():
            for fact, figure in roofline_figures(name, service).items():
                rooflines.add_metric([name, fact], figure)
            for objective, value in service.objectives.declared().items():
                objectives.add_metric([name, objective], value)
            for target in self._inventory.targets(name):
                if service.cost is not None:
                    costs.add_metric([name, target.instance], service.cost.replica_hour)
                executor = self._executors.get(service.executor.type)
                for knob, setting in sorted(replica_knobs(service, target, executor).items()):
                    if isinstance(setting, bool | int | float):
                        knobs.add_metric([name, target.instance, knob], float(setting))
        yield objectives
        yield rooflines
        yield knobs
        yield costs
