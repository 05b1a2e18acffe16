"""What the load generator will send: Poisson arrivals of requests with log-normal lengths, all from one seed."""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

VOCABULARY = 4096
PATIENCE_PER_TOKEN = 0.05
"""Seconds that every client grants each token that it asked for: who wants a long answer waits longer."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution of lengths, given by its mean (tokens) and its coefficient of variation."""

    mean: float
    variation: float
    limit: int

    def draw(self, rng: random.Random) -> int:
        """One length, at least 1 and at most `limit`."""
        sigma2 = math.log(1 + self.variation**2)
        drawn = rng.lognormvariate(math.log(self.mean) - sigma2 / 2, math.sqrt(sigma2))
        return max(1, min(self.limit, round(drawn)))


@dataclass(frozen=True, slots=True)
class Traffic:
    """A workload. `rate` in requests a second; `patience` in seconds: how much longer than a brisk answer would take
    (`PATIENCE_PER_TOKEN`) a client waits on average."""

    rate: float
    prompt: Lengths
    output: Lengths
    patience: float = 8.0
    shared_prefix: int = 0
    """Tokens that begin the prompts of one group alike."""
    prefix_groups: int = 1
    stream_share: float = 0.0
    backlog: int = 0
    """Requests that come at time 0, as if the load had been running for a while."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to send at `at` seconds after the start."""

    at: float
    prompt: tuple[int, ...]
    max_tokens: int
    patience: float
    stream: bool
    pick: float
    """Uniform in [0, 1): which of the replicas then healthy gets it."""


def arrivals(traffic: Traffic, seed: int) -> Iterator[Arrival]:
    """Yield requests for ever in order of time; equal arguments yield equal requests.

    The patience of clients is uniform around its mean: if all gave up after the same time, they would leave a
    first-come-first-served queue just before they are served, and their tokens would be wasted.
    """
    rng = random.Random(seed)
    prefixes = [_tokens(rng, traffic.shared_prefix) for _ in range(traffic.prefix_groups)]
    at = 0.0
    for index in itertools.count():
        if index >= traffic.backlog:
            at += rng.expovariate(traffic.rate)
        output = traffic.output.draw(rng)
        yield Arrival(
            at=at,
            prompt=(*rng.choice(prefixes), *_tokens(rng, traffic.prompt.draw(rng))),
            max_tokens=output,
            patience=traffic.patience * rng.uniform(0.5, 1.5) + PATIENCE_PER_TOKEN * output,
            stream=rng.random() < traffic.stream_share,
            pick=rng.random(),
        )


def _tokens(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(rng.choices(range(VOCABULARY), k=count))
