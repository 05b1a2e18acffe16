"""Tokens that cost more than in the week before (B24), and what looks like it.

A week is recorded, then comes a story of nine hours. Scraped and evaluated once in five minutes: once a minute, the
week alone would take ten minutes of CPU. The rules add up one sample a minute: of fewer, cost per token is what it is,
but they count a fifth of the tokens. What is too little to be judged is five times as much here; the stories have more.
"""

from collections.abc import Iterator
from dataclasses import replace

from demo.faults.corpus.shapes import MINUTE, changing, fault, lookalike, steady
from demo.faults.fleet import Fleet, Replica, Way
from demo.faults.inference import Setup
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from demo.faults.week import Week
from rules.catalog.alerts import Bottleneck

B = Bottleneck
_FIVE_MINUTES = 5 * MINUTE
_ONSET = 5400.0
_STORY = 32_400.0
_PRICE = 4.0
_ROOM = Setup(slots=6, blocks=2000, gamma_ms=0.02)
# Questions about few long documents: prompts find their beginning in the cache.
_DAY = Load(rate=0.1, prompt=300, answer=16, shared=6000, groups=3)
_FEWER = replace(_DAY, rate=_DAY.rate / 5)
_FEW = replace(_DAY, rate=_DAY.rate / 100)
_THREE_QUARTERS = replace(_DAY, rate=_DAY.rate * 0.75)
_EXTRACTS = replace(_DAY, shared=1000)


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _dearer()
    yield from _replicas_added()
    yield from _as_ever()
    yield from _unknown()


def week(replicas: int, quiet: Load = _DAY) -> Week:
    """A week of so many replicas, with `quiet` in nine hours of each day: the second of the story to its tenth."""
    rates = [_tokens(_DAY), *[_tokens(quiet)] * 9, *[_tokens(_DAY)] * 14]
    return Week(_PRICE * replicas, tuple(replicas * rate for rate in rates))


def _tokens(load: Load) -> float:
    return load.rate * (load.prompt + load.shared + load.answer)


def _serving(
    seed: int, after: Load, *, replicas: int = 2, way: Way = Way.PROBED, price: float | None = _PRICE
) -> tuple[Replica, ...]:
    runs = (changing(seed + 20 * n, after, before=_DAY, at=_ONSET, setup=_ROOM) for n in range(replicas))
    return tuple(Replica(run, way=way, price=price) for run in runs)


def _dear(name: str, replicas: tuple[Replica, ...], seed: int, before: Week) -> Scenario:
    whole = fault(
        name, Fleet(replicas), seed, "LLMCostPerTokenHigh", onset=_ONSET, duration=_STORY, interval=_FIVE_MINUTES
    )
    return replace(whole, week=before)


def _not_dear(name: str, replicas: tuple[Replica, ...], seed: int, before: Week | None) -> Scenario:
    whole = lookalike(name, Fleet(replicas), seed, B.COST_PER_TOKEN, duration=_STORY, interval=_FIVE_MINUTES)
    return replace(whole, week=before)


def _dearer() -> Iterator[Scenario]:
    # In the daytime a fifth of the traffic comes, on the same replicas; or as much, with extracts of the documents.
    for seed, replicas, way in ((921, 2, Way.PROBED), (922, 3, Way.DIRECT)):
        fewer = _serving(seed, _FEWER, replicas=replicas, way=way)
        yield _dear(f"cost-traffic-falls-{way.value}", fewer, seed, week(replicas))
    for seed, way in ((923, Way.PROBED), (924, Way.DIRECT)):
        yield _dear(f"cost-prompts-shrink-{way.value}", _serving(seed, _EXTRACTS, way=way), seed, week(2))


def _replicas_added() -> Iterator[Scenario]:
    # Two more, which nobody needs; the same traffic comes to all of them.
    half = replace(_DAY, rate=_DAY.rate / 2)
    for seed, way in ((925, Way.PROBED), (926, Way.DIRECT)):
        joined = tuple(Replica(steady(seed + 20 * n, half, _ROOM), way=way, price=_PRICE, joins=_ONSET) for n in (2, 3))
        yield _dear(f"cost-replicas-added-{way.value}", (*_serving(seed, half, way=way), *joined), seed, week(2))


def _as_ever() -> Iterator[Scenario]:
    # The traffic of the first fault, on a service that has it so each day; others of which there is little to say.
    yield _not_dear("cost-same-hour-last-week", _serving(921, _FEWER), 931, week(2, quiet=_FEWER))
    yield _not_dear("cost-next-to-no-tokens", _serving(932, _FEW), 932, week(2))
    yield _not_dear("cost-a-third-more", _serving(933, _THREE_QUARTERS), 933, week(2))


def _unknown() -> Iterator[Scenario]:
    # The first fault, of which nobody can know: a service of today, and one whose prices were taken from the inventory.
    yield _not_dear("cost-week-unknown", _serving(921, _FEWER), 934, None)
    yield _not_dear("cost-price-unknown", _serving(921, _FEWER, price=None), 935, week(2))
