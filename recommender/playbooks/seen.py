"""What was read of the replicas of a finding: the worst of them, and whether anything forbids experiments."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from recommender.figures import figure
from recommender.model import Ask, Evidence, Finding
from recommender.playbooks.base import PlanContext
from recommender.playbooks.scope import affected
from rules.catalog import Bottleneck


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading: where, what, and the query that gives it again."""

    instance: str
    value: float
    query: str


def worst(
    evidence: Evidence,
    finding: Finding,
    name: str,
    pick: Callable[[Iterable[float]], float] = max,
) -> Seen | None:
    """The highest (or with `min` the lowest) reading of a signal among the replicas of a finding; None when unknown."""
    found = [
        Seen(instance, reading.value, reading.query)
        for instance in affected(evidence, finding)
        if (reading := evidence.replica_readings.get(instance, {}).get(name)) is not None and reading.value is not None
    ]
    if not found:
        return None
    chosen = pick(each.value for each in found)
    return next(each for each in found if each.value == chosen)


def value(
    evidence: Evidence, finding: Finding, name: str, pick: Callable[[Iterable[float]], float] = max
) -> float | None:
    """The same as a number."""
    seen = worst(evidence, finding, name, pick)
    return None if seen is None else seen.value


def nodes_of(finding: Finding, evidence: Evidence, context: PlanContext) -> tuple[str, ...]:
    """Names of the nodes that the replicas of a finding run on, as the inventory has them, sorted."""
    instances = affected(evidence, finding)
    return tuple(sorted({each.node for each in context.replicas if each.node and each.instance in instances}))


@dataclass(frozen=True, slots=True)
class Crowd:
    """Engines on the fullest node of a finding: replicas of the service, and of other services."""

    own: int
    others: int

    @property
    def all(self) -> int:
        """All of them."""
        return self.own + self.others


def crowd(evidence: Evidence, finding: Finding, context: PlanContext) -> Crowd:
    """How many engines share a node, by what Prometheus and the inventory know; one at least."""
    found = [Crowd(1, 0)]
    for instance in affected(evidence, finding):
        placed = evidence.placements.get(instance)
        declared = next((each.node for each in context.replicas if each.instance == instance), None)
        own = sum(each.node == declared for each in context.replicas) if declared is not None else 1
        neighbours = 1 if placed is None else 1 + len(placed.neighbours)
        found.append(Crowd(max(own, neighbours), 0 if placed is None else len(placed.others)))
    return max(found, key=lambda each: (each.all, each.own))


def burning(evidence: Evidence) -> str:
    """Why nothing may be tried that only saves money: an error budget burns (P21). Empty when none is known to burn."""
    if any(each.bottleneck is Bottleneck.SLO_BURN for each in evidence.confirmed):
        return "an error budget burns: no experiment before that is over (tuning P21)"
    return ""


def filling(evidence: Evidence) -> str:
    """Why no place for requests may be taken away: the service is forecast to be full (P22). Empty when it is not."""
    if any(each.bottleneck is Bottleneck.PREDICTED_SATURATION for each in evidence.confirmed):
        return "demand is forecast to fill the service: with fewer places it is full sooner (P22 adds replicas)"
    return ""


_LITTLE_REUSE = 0.2  # P05 no. 1: r* less hits, below which prefixes are hardly worth routing by


def little_reuse(hits: float | None, context: PlanContext) -> str:
    """Why prefixes bring little: most prompt tokens are new. Empty where that is not known."""
    reuse = context.tuning.prefix_reuse_ratio
    if hits is None or reuse is None or reuse - hits > _LITTLE_REUSE:
        return ""
    return (
        f"{figure(hits, 'ratio')} of prompt tokens hit, and no more than {figure(reuse, 'ratio')} were seen before: "
        "hardly anything is computed twice"
    )


def ask(context: PlanContext, key: str, needed_for: str) -> Ask:
    """What a team can tell in the inventory, at `key` of the service ("tuning.inlet_celsius")."""
    return Ask(fact=key.rpartition(".")[2], needed_for=needed_for, how=f"set services.{context.service}.{key}")
