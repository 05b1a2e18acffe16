"""What the ledger says as a whole: predicted against measured, by playbook, engine and metric. Pure."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from recommender.ledger.model import SiteResult
from recommender.ledger.shrink import RATIO_LEAST, RATIO_MOST

Group = tuple[str, str, str]  # playbook, engine, and metric or state


@dataclass(frozen=True, slots=True)
class Agreement:
    """Geometric means of the ratios of `count` effects, predicted and measured of the same ones."""

    predicted: float
    measured: float
    count: int


def agreements(results: Iterable[SiteResult]) -> dict[Group, Agreement]:
    """By playbook, engine and metric; effects of which nothing was predicted are left out."""
    pairs: dict[Group, list[tuple[float, float]]] = {}
    for one in results:
        if one.predicted is not None:
            key = (one.playbook, one.engine, one.metric)
            pairs.setdefault(key, []).append((_log(one.predicted), _log(one.ratio)))
    return {
        key: Agreement(_mean([one for one, _ in found]), _mean([one for _, one in found]), len(found))
        for key, found in sorted(pairs.items())
    }


def endings(results: Iterable[SiteResult]) -> dict[Group, int]:
    """How many measured changes ended how: by playbook, engine and the workflow's state."""
    kept = Counter((one.playbook, one.engine, one.ended.value) for one in results if one.ended is not None)
    return dict(sorted(kept.items()))


def _log(ratio: float) -> float:
    return math.log(min(max(ratio, RATIO_LEAST), RATIO_MOST))


def _mean(logs: list[float]) -> float:
    return math.exp(math.fsum(logs) / len(logs))
