"""Requests in an engine under Poisson arrivals: a birth-death process whose service rate depends on the batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from recommender.sizing.batch import Batch

_EXACT = 48  # batches that are each worked out; between larger ones rates are interpolated
_GROWTH = 1.15
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, slots=True)
class Population:
    """Time averages of an open loop below its limit. `queue` is for exponential service: see Sakasegawa's factor."""

    mean: float
    running: float
    queue: float
    full: float  # probability that an arrival finds every slot taken
    busy: float  # probability that an arrival finds a step in progress
    high: float  # batch that 95 % of the tokens are made in at most


def population_of(batch: Callable[[float], Batch], limit: float, arrivals: float) -> Population:
    """The stationary distribution: p(k) = p(k-1)·lambda/rate(k), geometric above the limit.

    `batch(k)` is the batch of k requests, `limit` the largest one, `arrivals` below its rate. A limit that is not
    whole is the mean of a batch that changes between two.
    """
    top = max(1, math.ceil(limit - 1e-9))
    curve = _Curve(batch, limit)
    weights, running = [1.0], [0.0]
    for k in range(1, top + 1):
        rate, in_batch = curve.at(min(k, limit))
        weights.append(weights[-1] * arrivals / rate)
        running.append(in_batch)
        if weights[-1] > 1e100:  # noqa: PLR2004 - floats end at 1e308
            weights = [weight / 1e100 for weight in weights]
        if rate > arrivals and weights[-1] < _NEGLIGIBLE * max(weights):
            break
    ratio = arrivals / curve.at(limit)[0]
    beyond = weights[-1] * ratio / (1 - ratio) if len(weights) == top + 1 else 0.0
    found = weights[-1] + beyond if len(weights) == top + 1 else 0.0
    total = math.fsum(weights) + beyond
    in_batch = math.fsum(w * r for w, r in zip(weights, running, strict=True)) + beyond * running[-1]
    queue = beyond / (1 - ratio)
    people = math.fsum(w * k for k, w in enumerate(weights)) + beyond * top + queue
    return Population(
        mean=people / total,
        running=in_batch / total,
        queue=queue / total,
        full=found / total,
        busy=1 - weights[0] / total,
        high=_high(weights, running, beyond),
    )


def _high(weights: list[float], running: list[float], beyond: float) -> float:
    parts = [weight * batch for weight, batch in zip(weights, running, strict=True)]
    parts[-1] += beyond * running[-1]
    total, part = math.fsum(parts), 0.0
    for value, batch in zip(parts, running, strict=True):
        part += value
        if part >= 0.95 * total:
            return batch
    return running[-1]


class _Curve:
    """Rate and batch over the number of slots, worked out where they bend most."""

    def __init__(self, batch: Callable[[float], Batch], limit: float) -> None:
        nodes = [float(k) for k in range(1, _EXACT + 1) if k < limit]
        while nodes and nodes[-1] >= _EXACT and nodes[-1] * _GROWTH < limit:
            nodes.append(math.floor(nodes[-1] * _GROWTH))
        self._nodes = [*nodes, limit]
        found = [batch(node) for node in self._nodes]
        self._values = [(one.requests_per_second, one.running) for one in found]
        self._index = 0

    def at(self, slots: float) -> tuple[float, float]:
        """Requests per second and requests in the batch; asked in rising order."""
        while self._index < len(self._nodes) - 1 and self._nodes[self._index] < slots:
            self._index += 1
        node, value = self._nodes[self._index], self._values[self._index]
        if node <= slots or self._index == 0:
            return value
        before, lower = self._nodes[self._index - 1], self._values[self._index - 1]
        share = (slots - before) / (node - before)
        return lower[0] + share * (value[0] - lower[0]), lower[1] + share * (value[1] - lower[1])
