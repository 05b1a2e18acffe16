"""Which finding follows from which, and the chain from a symptom back to the root."""

from collections.abc import Iterable, Mapping

from recommender.diagnosis.relations import DOES, IS, SPREADS, Effect, before
from recommender.diagnosis.symptoms import broken_promises, queues_for_first_token
from recommender.model import Evidence, Finding
from recommender.model import FindingRole as Role
from rules.catalog import Bottleneck, BottleneckKind

Edges = Mapping[Bottleneck, tuple[Bottleneck, ...]]

_LATE = {"ttft_p95_seconds": Effect.FIRST_TOKEN, "itl_p95_seconds": Effect.NEXT_TOKEN}
_KILLS = "node:host_oom_kills:increase30m"


def is_symptom(finding: Finding) -> bool:
    """Whether it only says that something is slow or fails."""
    return finding.kind is BottleneckKind.SYMPTOM


def edges(evidence: Evidence, findings: Iterable[Finding]) -> Edges:
    """Finding -> those that follow from it directly. What is rejected, doubtful or harmless explains nothing."""
    held = [one for one in findings if one.role is not Role.REJECTED]
    causes = [one for one in held if one.role is None]
    return {
        cause.bottleneck: tuple(other.bottleneck for other in held if _explains(evidence, cause, other))
        for cause in causes
    }


def reach(edges: Edges, start: Bottleneck) -> frozenset[Bottleneck]:
    """All that follows from `start`, directly or not."""
    found: set[Bottleneck] = set()
    ahead = [start]
    while ahead:
        ahead += (follows := [one for one in edges.get(ahead.pop(), ()) if one not in found])
        found.update(follows)
    return frozenset(found)


def longest(edges: Edges, start: Bottleneck) -> tuple[Bottleneck, ...]:
    """The longest chain from `start`; the first in order of precedence among equals. There are no circles."""
    chains = [longest(edges, follows) for follows in edges.get(start, ())]
    return (start, *max(chains, key=len, default=()))


def _explains(evidence: Evidence, cause: Finding, other: Finding) -> bool:
    if cause is other or not before(_key(cause), _key(other)):
        return False
    if cause.bottleneck is Bottleneck.REPLICA_IMBALANCE and other.instances and not _spared(evidence, other):
        return False  # what holds everywhere is no matter of how requests are spread
    return not _does(evidence, cause).isdisjoint(effects_of(evidence, other)) and _touch(cause, other)


def _spared(evidence: Evidence, finding: Finding) -> bool:
    """Whether it does not hold on some replica that answers."""
    up = {instance for instance in evidence.replica_readings if evidence.value("replica:llm_up", instance) == 1}
    return bool(up - set(finding.instances))


def _key(finding: Finding) -> tuple[bool, Bottleneck]:
    return is_symptom(finding), finding.bottleneck


def _does(evidence: Evidence, cause: Finding) -> frozenset[Effect]:
    does = DOES.get(cause.bottleneck, frozenset())
    match cause.bottleneck:
        case Bottleneck.HOST_MEMORY_PRESSURE if any(evidence.value(_KILLS, one) for one in cause.instances):
            return does | {Effect.DOWN}
        case Bottleneck.HIGH_LATENCY:  # what breaks the promise spends the budget
            return does | _late(evidence)
        case Bottleneck.QUEUE_BUILDUP if queues_for_first_token(evidence) is False:
            return does - {Effect.FIRST_TOKEN}
    return does


def effects_of(evidence: Evidence, finding: Finding) -> frozenset[Effect]:
    """What a finding is an effect of: which latency is late, which promise is broken."""
    match finding.bottleneck:
        case Bottleneck.HIGH_LATENCY:
            return _late(evidence)
        case Bottleneck.SLO_BURN:
            broken = broken_promises(evidence)
            late = frozenset(effect for promise, effect in _LATE.items() if promise in broken)
            late |= {Effect.ERRORS} if "error_ratio" in broken else frozenset()
            late |= set(_LATE.values()) if "request_duration_p95_seconds" in broken else frozenset()
            return late or frozenset({*_LATE.values(), Effect.ERRORS})  # a burn outlasts what spends the budget
        case Bottleneck.REQUEST_ERRORS if is_symptom(finding):
            return frozenset({Effect.ABORTS, Effect.FIRST_TOKEN})
    return IS.get(finding.bottleneck, frozenset())


def _late(evidence: Evidence) -> frozenset[Effect]:
    """Which latency is over its objective; both where that cannot be told."""
    kinds = {kind for one in evidence.confirmed if one.bottleneck is Bottleneck.HIGH_LATENCY for kind in one.kinds}
    told = frozenset(effect for promise, effect in _LATE.items() if promise in (kinds or broken_promises(evidence)))
    return told or frozenset(_LATE.values())


def _touch(cause: Finding, other: Finding) -> bool:
    """Whether the one is where the other is; what is a service's, or sends requests elsewhere, is everywhere.

    Of a symptom a part is enough. A cause on more replicas than the other has a reason of its own.
    """
    if not cause.instances or not other.instances or cause.bottleneck in SPREADS:
        return True
    there = set(cause.instances)
    return not there.isdisjoint(other.instances) if is_symptom(other) else there.issuperset(other.instances)
