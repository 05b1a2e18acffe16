"""The best that a work can be done: every configuration of a grid, played."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from demo.tuning.climb import SEEDS
from demo.tuning.configuration import Configuration
from demo.tuning.worth import Work, worth

SLOTS = (4, 8, 16, 32, 48, 64, 96, 128, 256)
STEP_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192)
FRACTIONS = (0.75, 0.81, 0.87, 0.93, 0.95)


@dataclass(frozen=True, slots=True)
class Best:
    """The best of a grid, and how many were tried."""

    configuration: Configuration
    goodput: float
    tried: int


def grid(work: Work) -> Iterator[Configuration]:
    """Every configuration that an engine would start with. The prefix cache matters only where prompts share heads."""
    caching = (True, False) if work.load.groups else (True,)
    for slots, tokens, fraction, cached in itertools.product(SLOTS, STEP_TOKENS, FRACTIONS, caching):
        if tokens >= slots:
            yield Configuration(slots, tokens, fraction, cached)


def best(work: Work, *, processes: int) -> Best:
    """Played on the first seed, and the best ones on all: the mean goodput of a fleet's replica."""
    candidates = list(grid(work))
    with ProcessPoolExecutor(processes) as pool:
        first = list(pool.map(_goodput, candidates, itertools.repeat(work), itertools.repeat(SEEDS[0]), chunksize=8))
        leading = sorted(zip(first, candidates, strict=True), key=lambda one: -one[0])[:12]
        means = [
            (sum(pool.map(_goodput, [each] * len(SEEDS), [work] * len(SEEDS), SEEDS)) / len(SEEDS), each)
            for _, each in leading
        ]
    goodput, configuration = max(means, key=lambda one: one[0])
    return Best(configuration, goodput, len(candidates))


def _goodput(configuration: Configuration, work: Work, seed: int) -> float:
    return worth(configuration, work, seed).goodput
