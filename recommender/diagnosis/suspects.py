"""Symptoms without a cause that is confirmed: which causes they could have, and which of these are ruled out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from recommender.diagnosis.answer import Answer
from recommender.diagnosis.chains import effects_of
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.discriminators import DISCRIMINATORS
from recommender.diagnosis.relations import Effect, rank
from recommender.diagnosis.shared import answering
from recommender.model import CheckWeight, Evidence, Finding
from rules.catalog import Bottleneck

_DEVICES = (Bottleneck.GPU_THERMAL_THROTTLE, Bottleneck.HOST_CPU_SATURATION)
# The decision tree of B07 (tuning §1): what to look for, by what is late.
_OF: Mapping[Effect, tuple[Bottleneck, ...]] = {
    Effect.QUEUE: (Bottleneck.KV_CACHE_PRESSURE, Bottleneck.ADMISSION_LIMITED),
    Effect.FIRST_TOKEN: (Bottleneck.KV_CACHE_PRESSURE, Bottleneck.ADMISSION_LIMITED, Bottleneck.PREFILL_BOUND),
    Effect.NEXT_TOKEN: (*_DEVICES, Bottleneck.DECODE_BANDWIDTH_BOUND, Bottleneck.REPLICA_STRAGGLER),
    Effect.RATE: (*_DEVICES, Bottleneck.KV_CACHE_PRESSURE, Bottleneck.GPU_POWER_LIMIT),
}


@dataclass(frozen=True, slots=True)
class Suspects:
    """`excluded`: classes that are ruled out on every replica, and by what. `open`: answers that are not known."""

    excluded: tuple[tuple[Bottleneck, str], ...]
    open: tuple[Answer, ...]


def suspects_of(evidence: Evidence, symptoms: Iterable[Finding]) -> Suspects:
    """What could be behind these symptoms; nothing where they are of errors or of cost."""
    effects = {effect for finding in symptoms for effect in effects_of(evidence, finding)}
    classes = sorted({one for effect in effects for one in _OF.get(effect, ())}, key=rank)
    excluded, unknown = [], []
    for bottleneck in classes:
        against, lacking = _judged(evidence, bottleneck)
        if against:
            excluded.append((bottleneck, against))
        unknown += lacking
    return Suspects(tuple(excluded), tuple(unknown))


def _judged(evidence: Evidence, bottleneck: Bottleneck) -> tuple[str, list[Answer]]:
    """What rules the class out on every replica that answers, else the defining answers that are not known."""
    up = answering(evidence)
    against, lacking = [], []
    for instance in up:
        answers = list(_defining(evidence, bottleneck, instance))
        no = [answer for answer in answers if answer.agrees is False]
        against += no[:1]
        lacking += [] if no else [answer for answer in answers if answer.agrees is None]
    return (against[0].text, []) if up and len(against) == len(up) else ("", lacking)


def _defining(evidence: Evidence, bottleneck: Bottleneck, instance: str) -> Iterator[Answer]:
    for one in DISCRIMINATORS[bottleneck](Scope(evidence, instance)):
        if one.weight is CheckWeight.DEFINING:
            yield one.answer
