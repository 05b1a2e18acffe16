"""One labelled story: what is done to a fleet, when, and what has to be said of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from demo.faults.fleet import Clock, Fleet, recordings
from demo.faults.series import Recording
from demo.faults.week import WEEK_SECONDS, Week
from rules.catalog.alerts import ALERTS, Bottleneck, BottleneckKind


class Kind(StrEnum):
    """What a scenario is there for."""

    FAULT = "fault"
    LOOKALIKE = "look-alike"  # healthy, and much like a fault
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story. Times in seconds of virtual time.

    `alerts` must fire, and the first of them names the class that is done to the fleet. `also`: classes that belong to
    the same story, beside the symptoms that every cause has. `looks_like`: the class that it is nearest to and is not.
    `onset`: when the fault begins; what fires before it is false. `week`: what was recorded before the story began,
    which is at 0 all the same.
    """

    name: str
    kind: Kind
    fleet: Fleet
    seed: int
    duration: float
    onset: float | None = None
    interval: float = 15.0
    alerts: tuple[str, ...] = ()
    also: frozenset[Bottleneck] = frozenset()
    looks_like: Bottleneck | None = None
    week: Week | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.alerts if name not in ALERTS]
        if unknown:
            raise ValueError(f"{self.name}: no such alerts: {', '.join(unknown)}")
        if (self.kind is Kind.FAULT) != bool(self.alerts) or bool(self.alerts) != (self.onset is not None):
            raise ValueError(f"{self.name}: a fault, and nothing else, has alerts and an onset")

    @property
    def injected(self) -> Bottleneck | None:
        """The class that is done to the fleet; None where all is well."""
        return ALERTS[self.alerts[0]].bottleneck if self.alerts else None

    @property
    def clock(self) -> Clock:
        """The scrapes of its whole duration, the first and the last moment included."""
        return Clock(round(self.duration / self.interval) + 1, self.interval)

    @property
    def lead(self) -> float:
        """Seconds of evaluation before the story begins."""
        return WEEK_SECONDS if self.week is not None else 0.0

    def input_series(self) -> Iterator[dict[str, str]]:
        """All that Prometheus has of it, in promtool's notation: second 0 of the story comes after the lead."""
        if self.week is not None:
            yield from self.week.input_series(self.name, self.interval)
        before = round(self.lead / self.interval)
        for recording in self.recordings():
            yield from recording.later(before).input_series()

    def recordings(self) -> Iterator[Recording]:
        """Everything that is scraped; the service is called as the scenario is."""
        return recordings(self.fleet, self.name, self.clock, self.seed)

    def owns(self, service: str, node: str) -> bool:
        """Whether an alert with these labels (one may be empty) is about this scenario."""
        return service == self.name or (not service and node.rpartition("-n")[0] == self.name)


def reseeded(scenario: Scenario, shift: int) -> Scenario:
    """The same story with other chance: every seed moved by `shift`."""
    replicas = tuple(replace(one, run=replace(one.run, seed=one.run.seed + shift)) for one in scenario.fleet.replicas)
    return replace(scenario, seed=scenario.seed + shift, fleet=replace(scenario.fleet, replicas=replicas))


def is_judged(alert: str) -> bool:
    """Whether an alert says something of the fleet, not of the monitoring itself."""
    return ALERTS[alert].kind is not BottleneckKind.META
