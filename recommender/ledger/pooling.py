"""How much each group of results weighs for one engine and GPU: exact posterior weights on a tree of normals. Pure.

The tree: what is common to a playbook; under it its engines; under each its GPUs. A level adds its variance to
whatever passes through it. Groups are leaves with a measured mean; the root has the prior. Going up, a leaf's mean is
a measurement of its parent; going down, what is known of the parent is the child's prior. Every weight is a product of
shares of precision, so it is positive, and with the prior's the weights add up to one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Leaf = tuple[str, str | None]  # engine and GPU; an unknown GPU is one group, and never the one that is asked for


@dataclass(frozen=True, slots=True)
class Levels:
    """Variance that each level adds."""

    common: float  # of the root's prior
    engine: float
    gpu: float


@dataclass(frozen=True, slots=True)
class _Belief:
    """A variance, and the weights of the leaves in the mean that has it; what they lack of one is the prior's."""

    variance: float
    weights: Mapping[Leaf, float]

    def passed(self, level: float) -> "_Belief":
        return _Belief(self.variance + level, self.weights)


def leaf_weights(variances: Mapping[Leaf, float], levels: Levels, engine: str, gpu: str | None) -> dict[Leaf, float]:
    """Each leaf's weight in what is known of (`engine`, `gpu`), from the variances of the leaves' means, above 0."""
    up = {leaf: _Belief(variance, {leaf: 1.0}) for leaf, variance in variances.items()}
    asked = (engine, gpu) if gpu is not None else None
    elsewhere = [
        _merged([up[leaf].passed(levels.gpu) for leaf in up if leaf[0] == name]).passed(levels.engine)
        for name in sorted({leaf[0] for leaf in up} - {engine})
    ]
    of_playbook = _merged([_Belief(levels.common, {}), *elsewhere])
    siblings = [up[leaf].passed(levels.gpu) for leaf in up if leaf[0] == engine and leaf != asked]
    of_engine = _merged([of_playbook.passed(levels.engine), *siblings])
    own = [up[leaf] for leaf in up if leaf == asked]
    return dict(_merged([of_engine.passed(levels.gpu), *own]).weights)


def _merged(beliefs: Sequence[_Belief]) -> _Belief:
    """Independent beliefs of one quantity as one: each weighs by its precision."""
    precision = math.fsum(1 / belief.variance for belief in beliefs)
    weights = {
        leaf: weight / belief.variance / precision for belief in beliefs for leaf, weight in belief.weights.items()
    }
    return _Belief(1 / precision, weights)
