"""Replicas of one service among each other: stragglers and imbalance (B11), and what looks like them."""

from collections.abc import Iterator

from demo.faults.corpus.shapes import LONG, QUIET, TOO_MUCH, WARM_ONSET, changing, fault, lookalike, steady
from demo.faults.fleet import Fleet, Node, Replica, Way
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from exporters.catalog import Engine
from rules.catalog.alerts import Bottleneck

B = Bottleneck
NODES = (Node(), Node(), Node(), Node())


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _stragglers()
    yield from _imbalance()
    yield from _lookalikes()


def _slow(seed: int, slower: float, load: Load = QUIET) -> Replica:
    return Replica(changing(seed, load, before=load, at=WARM_ONSET, slower=slower))


def _stragglers() -> Iterator[Scenario]:
    alert = "LLMReplicaStraggler"
    for seed, slower, ways in (
        (501, 1.9, (Way.PROBED, Way.PROBED)),
        (502, 2.2, (Way.DIRECT, Way.DIRECT)),
    ):
        slow = Replica(_slow(seed, slower).run, way=ways[0], node=1)
        quick = Replica(steady(seed + 50), way=ways[1], node=2)
        yield fault(
            f"straggler-of-two-{seed}", Fleet((slow, quick), NODES[:2]), seed, alert, onset=WARM_ONSET, duration=LONG
        )
    for seed, slower in ((503, 1.6), (504, 1.8)):
        others = tuple(Replica(steady(n), node=n) for n in (1, 2, 3))
        slow = Replica(_slow(seed, slower).run, node=4)
        yield fault(
            f"straggler-of-four-{seed}", Fleet((*others, slow), NODES), seed, alert, onset=WARM_ONSET, duration=LONG
        )
    # Behind a balancer that looks at the load: the slow one has as many requests as the others and fewer tokens.
    even = Load(clients=3)
    slow = _slow(505, 1.9, even)
    others = tuple(Replica(steady(seed, even), node=node) for node, seed in ((2, 555), (3, 556)))
    fleet = Fleet((slow, *others), NODES[:3])
    yield fault("straggler-even-load", fleet, 505, alert, onset=WARM_ONSET, duration=LONG)
    sglang = (
        Replica(_slow(506, 2.0).run, Engine.SGLANG),
        Replica(steady(557), Engine.SGLANG, node=2),
    )
    yield fault("straggler-sglang", Fleet(sglang, NODES[:2]), 506, alert, onset=WARM_ONSET, duration=LONG)


def _imbalance() -> Iterator[Scenario]:
    alert = "LLMReplicaImbalance"
    little = Load(rate=0.3)
    for seed, others, way in ((511, 1, Way.PROBED), (512, 3, Way.PROBED), (513, 1, Way.DIRECT)):
        full = Replica(changing(seed, TOO_MUCH, before=QUIET, at=WARM_ONSET), way=way)
        idle = tuple(
            Replica(changing(560 + n, little, before=QUIET, at=WARM_ONSET), way=way, node=n + 2) for n in range(others)
        )
        yield fault(
            f"imbalance-one-of-{others + 1}-{seed}",
            Fleet((full, *idle), NODES[: others + 1]),
            seed,
            alert,
            onset=WARM_ONSET,
            duration=LONG,
            also=(B.ADMISSION_LIMITED,),
        )
    loops = (
        Replica(changing(514, Load(clients=20), before=Load(clients=2), at=WARM_ONSET)),
        Replica(steady(515, Load(clients=2)), node=2),
    )
    yield fault(
        "imbalance-ten-to-one",
        Fleet(loops, NODES[:2]),
        514,
        alert,
        onset=WARM_ONSET,
        duration=LONG,
        also=(B.ADMISSION_LIMITED,),
    )
    sglang = (
        Replica(changing(516, TOO_MUCH, at=WARM_ONSET), Engine.SGLANG),
        Replica(changing(517, little, at=WARM_ONSET), Engine.SGLANG, node=2),
    )
    yield fault(
        "imbalance-sglang",
        Fleet(sglang, NODES[:2]),
        516,
        alert,
        onset=WARM_ONSET,
        duration=LONG,
        also=(B.ADMISSION_LIMITED,),
    )


def _lookalikes() -> Iterator[Scenario]:
    # Ten to one, and nobody waits: sessions or prefixes that stay where they are.
    for seed, count in ((521, 2), (522, 4)):
        busy = Replica(steady(seed, Load(rate=1.2)))
        rest = tuple(Replica(steady(seed + 40 + n, Load(rate=0.12)), node=n + 2) for n in range(count - 1))
        fleet = Fleet((busy, *rest), NODES[:count])
        yield lookalike(f"imbalance-ten-to-one-nobody-waits-{count}", fleet, seed, B.REPLICA_IMBALANCE, duration=LONG)
    # More load makes tokens slower by itself.
    loaded = (Replica(steady(524, Load(rate=1.4))), Replica(steady(525, Load(rate=0.5)), node=2))
    yield lookalike("straggler-more-load", Fleet(loaded, NODES[:2]), 524, B.REPLICA_STRAGGLER, duration=LONG)
    # Even replicas, many of them.
    even = tuple(Replica(steady(1 + n % 3), node=n + 1) for n in range(4))
    yield lookalike("straggler-even", Fleet(even, NODES), 526, B.REPLICA_STRAGGLER, duration=LONG)
