"""What the ledger says as a whole: predicted against measured, by playbook, engine and metric. Pure."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from recommender.ledger.model import Effect
from recommender.ledger.shrink import RATIO_LEAST, RATIO_MOST
from recommender.model import WorkflowState

Group = tuple[str, str, str]  # playbook, engine, and metric or state


@dataclass(frozen=True, slots=True)
class Agreement:
    """Geometric means of the ratios of `count` effects, predicted and measured of the same ones."""

    predicted: float
    measured: float
    count: int


def agreements(effects: Iterable[Effect]) -> dict[Group, Agreement]:
    """By playbook, engine and metric; effects of which nothing was predicted are left out."""
    pairs: dict[Group, list[tuple[float, float]]] = {}
    for one in effects:
        if one.predicted_mid is not None:
            key = (one.playbook, one.engine, one.metric)
            pairs.setdefault(key, []).append((_log(one.predicted_mid), _log(one.ratio)))
    return {
        key: Agreement(_mean([one for one, _ in found]), _mean([one for _, one in found]), len(found))
        for key, found in sorted(pairs.items())
    }


def endings(effects: Iterable[Effect]) -> dict[Group, int]:
    """How many measured changes ended how: by playbook, engine and the workflow's state."""
    kept = Counter((one.playbook, one.engine, str(WorkflowState(one.state))) for one in effects if one.promised)
    return dict(sorted(kept.items()))


def _log(ratio: float) -> float:
    return math.log(min(max(ratio, RATIO_LEAST), RATIO_MOST))


def _mean(logs: list[float]) -> float:
    return math.exp(math.fsum(logs) / len(logs))
