"""How certain a class is: coverage (what is known of what it asks) times agreement (what agrees of what is known).

Tuning §4.4. The condition in Prometheus counts as one that agrees. A defining check that disagrees makes the agreement
zero, however many others agree: that is the look-alike. A hint that is unknown is no gap in the coverage, since most
sites do not know it. Whether it does harm here makes it no more and no less certain, but decides what it explains.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recommender.diagnosis.answer import Discriminator
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.discriminators import DISCRIMINATORS, condition
from recommender.model import Check, CheckWeight, Confirmation, Evidence, Finding
from recommender.model import FindingRole as Role
from rules.catalog import ALERTS, Bottleneck, BottleneckKind

CONFIDENCE_FLOOR = 0.6  # tuning §4.4: below it a recommendation is suppressed

_REQUIRED = frozenset({CheckWeight.DEFINING, CheckWeight.EXPECTED})
_KINDS = {bottleneck: alert.kind for alert in reversed(ALERTS.values()) for bottleneck in (alert.bottleneck,)}
_BESIDE = ("node:", "gpu:")
_NAMED = 4  # places that are named before the rest are counted


@dataclass(frozen=True, slots=True)
class _Judgement:
    discriminators: tuple[Discriminator, ...]
    coverage: float
    agreement: float
    against: Discriminator | None  # the defining check that disagrees
    harmless: Discriminator | None  # the harm that there is not

    @property
    def confidence(self) -> float:
        return self.coverage * self.agreement


def consider(evidence: Evidence, bottleneck: Bottleneck, held: list[Confirmation]) -> Finding:
    """The bottleneck with its checks on the replica where they agree best, and the replicas where they agree.

    Its role is provisional: REJECTED, DOUBTFUL or HARMLESS where that is so, else None.
    """
    places = sorted({instance for one in held for instance in one.instances})
    scopes: list[str | None] = [*places] or [None]
    judged = {instance: _judge(DISCRIMINATORS[bottleneck](Scope(evidence, instance))) for instance in scopes}
    best = max(judged.values(), key=lambda one: (one.confidence, one.harmless is None))
    believed = tuple(i for i in places if judged[i].confidence >= CONFIDENCE_FLOOR)
    instances = believed or tuple(places)
    counted = [one for one in best.discriminators if one.answer.agrees is not None or one.weight in _REQUIRED]
    checks = (condition(held[0]), *(one.check() for one in counted))
    return Finding(
        bottleneck=bottleneck,
        kind=_kind(bottleneck, held),
        confidence=best.confidence,
        instances=instances,
        checks=checks,
        role=_provisional(best),
        coverage=best.coverage,
        agreement=best.agreement,
        agrees=tuple(check.text for check in checks[1:] if check.agrees is True),
        disagrees=tuple(_with_meaning(check) for check in checks[1:] if check.agrees is False),
        unknown=tuple(one.answer.text for one in best.discriminators if one.answer.agrees is None),
        nodes=tuple(sorted({node for one in held for node in one.nodes})),
        gpus=tuple(dict.fromkeys(gpu for one in held for gpu in one.gpus)),
        notes=tuple(_notes(evidence, best, {i: judged[i] for i in places}, instances)),
    )


def _judge(discriminators: tuple[Discriminator, ...]) -> _Judgement:
    required = known = 1  # the condition
    agreeing = answered = 1
    against = harmless = None
    for one in discriminators:
        agrees = one.answer.agrees
        if one.weight is CheckWeight.HARM:
            harmless = one if agrees is False else harmless
            continue
        if one.weight in _REQUIRED:
            required += 1
            known += agrees is not None
        if agrees is not None:
            answered += 1
            agreeing += agrees
        if agrees is False and one.weight is CheckWeight.DEFINING:
            against = against or one
    agreement = 0.0 if against is not None else agreeing / answered
    return _Judgement(discriminators, known / required, agreement, against, harmless)


def _provisional(judged: _Judgement) -> Role | None:
    if judged.against is not None:
        return Role.REJECTED
    if judged.confidence < CONFIDENCE_FLOOR:
        return Role.DOUBTFUL
    return Role.HARMLESS if judged.harmless is not None else None


def _kind(bottleneck: Bottleneck, held: Iterable[Confirmation]) -> BottleneckKind:
    if bottleneck is Bottleneck.REQUEST_ERRORS and {kind for one in held for kind in one.kinds} == {"abort"}:
        return BottleneckKind.SYMPTOM  # clients give up: whatever makes them wait is the cause
    return _KINDS[bottleneck]


def _with_meaning(check: Check) -> str:
    return f"{check.text} (that would be {check.otherwise})" if check.otherwise else check.text


def _notes(
    evidence: Evidence, best: _Judgement, judged: dict[str, _Judgement], instances: tuple[str, ...]
) -> Iterator[str]:
    if best.against is not None:
        yield f"Rejected, it looks like {best.against.otherwise}: {best.against.answer.text}."
    elif best.harmless is not None:
        yield f"It does no harm here, like {best.harmless.otherwise}."
    if best.against is None:
        yield from _look_alikes(judged)
    read = {
        signal
        for one in best.discriminators
        for signal in one.answer.signals
        if signal.startswith(_BESIDE) and one.answer.scope.value(signal) is not None
    }
    if any(signal.startswith("gpu:") for signal in read):
        yield from _whose_gpus(evidence, instances)
    if read:
        yield from _who_else(evidence, instances)


def _look_alikes(judged: dict[str, _Judgement]) -> Iterator[str]:
    """Where the condition holds and it is a look-alike, though it is believed elsewhere."""
    apart = [(instance, one.against) for instance, one in judged.items() if one.against is not None]
    if apart:
        shown = "; ".join(f"{instance} ({against.answer.text})" for instance, against in apart[:_NAMED])
        yield f"Not on {shown}{_more(len(apart))}."


def _whose_gpus(evidence: Evidence, instances: tuple[str, ...]) -> Iterator[str]:
    """A GPU that is read for a replica may be a neighbour's: what is not known is said."""
    placed = [evidence.placements[instance] for instance in instances if instance in evidence.placements]
    guessed = sorted({one.node for one in placed if one.node and one.gpus_are_its_own is False})
    if guessed:
        yield (
            f"Which GPUs of {', '.join(guessed[:_NAMED])}{_more(len(guessed))} are whose is not known: the worst of a "
            "node counts. Name those of each replica in the inventory (gpus)."
        )


def _who_else(evidence: Evidence, instances: tuple[str, ...]) -> Iterator[str]:
    placed = [evidence.placements[instance] for instance in instances if instance in evidence.placements]
    others = sorted({f"{other} on {one.node}" for one in placed for other in one.others})
    if others:
        yield f"Other services run there too: {', '.join(others[:_NAMED])}{_more(len(others))}."


def _more(count: int) -> str:
    return f" and {count - _NAMED} more" if count > _NAMED else ""
