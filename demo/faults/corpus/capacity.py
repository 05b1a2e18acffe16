"""Too little capacity soon (B22), too much for a day (B23), and what looks like it."""

from collections.abc import Iterator

from demo.faults.corpus.shapes import MINUTE, fault, lookalike, steady
from demo.faults.fleet import Fleet, Replica
from demo.faults.inference import WARM_UP_SECONDS, Phase, Run, Setup
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from rules.catalog.alerts import Bottleneck

B = Bottleneck
_RISE = 2700.0
_RISE_ONSET = 300.0
_DAYS = 95_400.0
_FIVE_MINUTES = 5 * MINUTE
# A large batch of quick steps, so that chance is small beside growth.
WIDE = Setup(slots=24, alpha_ms=80.0, beta_ms=0.5)


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _soon()
    yield from _too_much()


def rising(seed: int, low: float, high: float) -> Run:
    """Traffic that grows from `low` to `high` requests a second, a little every half minute, until the end."""
    steps = round((_RISE - _RISE_ONSET) / 30)
    growth = (
        Phase(_RISE_ONSET + 30 * step, Load(rate=low + (high - low) * step / steps)) for step in range(1, steps + 1)
    )
    return Run((Phase(-WARM_UP_SECONDS, Load(rate=low)), *growth), seed, WIDE)


def _soon() -> Iterator[Scenario]:
    for seed in (901, 902, 903):
        fleet = Fleet((Replica(rising(seed, 1.0, 6.0), limit=24),))
        yield fault(f"capacity-soon-{seed}", fleet, seed, "LLMPredictedSaturation", onset=_RISE_ONSET, duration=_RISE)
    # Growth to half of what is there.
    little = Fleet((Replica(rising(904, 1.0, 2.6), limit=24),))
    yield lookalike("capacity-soon-not", little, 904, B.PREDICTED_SATURATION, duration=_RISE)


def _too_much() -> Iterator[Scenario]:
    quiet = Load(rate=0.01)
    for seed, replicas in ((911, 3), (912, 3), (913, 4)):
        fleet = Fleet(tuple(Replica(steady(seed + 20 * n, quiet), limit=6) for n in range(replicas)))
        yield fault(
            f"capacity-spare-{seed}",
            fleet,
            seed,
            "LLMOverProvisioned",
            onset=0.0,
            duration=_DAYS,
            interval=_FIVE_MINUTES,
        )
    # Two that could be one: the last but one stays, for it may fail.
    pair = Fleet(tuple(Replica(steady(911 + 20 * n, quiet), limit=6) for n in range(2)))
    yield lookalike("capacity-spare-pair", pair, 914, B.OVER_PROVISIONED, duration=_DAYS, interval=_FIVE_MINUTES)
