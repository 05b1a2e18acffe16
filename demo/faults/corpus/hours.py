"""What takes hours to see: caches (B09), idle GPUs (B10), error budgets (B21). A scrape a minute."""

from collections.abc import Iterator

from demo.faults.corpus.shapes import (
    DAY,
    HOURS,
    HOURS_ONSET,
    MINUTE,
    SETUP,
    changing,
    fault,
    lookalike,
    steady,
)
from demo.faults.fleet import Fleet, Node, Replica, Way
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.inference import WARM_UP_SECONDS, Phase, Run, Setup
from demo.faults.perturb import Growing, Reads
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from rules.catalog.alerts import Bottleneck

B = Bottleneck
HELD = GpuLife(((0.0, GpuState(utilization=0, clock=0.2, power_watts=75, reasons=(("gpu_idle", 1.0),), dram=0)),))
LONG_UNIQUE = Load(rate=0.06, prompt=1600, answer=16)
LONG_SHARED = Load(rate=0.06, prompt=300, answer=16, shared=1500, groups=3)
ROOM = Setup(slots=6, blocks=2000, gamma_ms=0.02)


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _prefixes()
    yield from _external()
    yield from _idle()
    yield from _budgets()


def _prefixes() -> Iterator[Scenario]:
    alert = "LLMCacheInefficiency"
    short = Load(rate=0.06, prompt=200, answer=16)

    def story(name: str, fleet: Fleet, seed: int) -> Scenario:
        return fault(name, fleet, seed, alert, onset=HOURS_ONSET, duration=HOURS, interval=MINUTE)

    for seed, way in ((801, Way.PROBED), (802, Way.DIRECT)):
        pair = tuple(
            Replica(changing(seed + 40 * n, LONG_UNIQUE, before=short, at=HOURS_ONSET, setup=ROOM), way=way)
            for n in range(2)
        )
        yield story(f"cache-unshared-{way.value}", Fleet(pair), seed)
    off = Setup(slots=6, blocks=2000, gamma_ms=0.02, prefix_caching=False)
    switched = changing(803, LONG_SHARED, before=short, at=HOURS_ONSET, setup=off)
    yield story("cache-off", Fleet((Replica(switched),), knobs=(("prefix_caching", 0.0),)), 803)
    # Shared beginnings hit; a single replica has nobody to share with; short prompts are not worth it.
    for seed, load, replicas in ((804, LONG_SHARED, 2), (805, LONG_UNIQUE, 1), (806, short, 2)):
        fleet = Fleet(tuple(Replica(steady(seed + 40 * n, load, ROOM)) for n in range(replicas)))
        yield lookalike(f"cache-not-{seed}", fleet, seed, B.CACHE_INEFFICIENCY, duration=HOURS, interval=MINUTE)


def _external() -> Iterator[Scenario]:
    labels = (("engine", "vllm"), ("model", "tiny-llama"))
    healthy_key = ("llm_external_cache_healthy", labels)
    at = round(HOURS_ONSET / MINUTE)
    for seed in (811, 812):
        ill = Replica(steady(seed, QUIET_HOURS), changes=(Reads(healthy_key, 1.0, 0.0, at),))
        yield fault(
            f"external-cache-ill-{seed}",
            Fleet((ill,)),
            seed,
            "LLMExternalCacheUnhealthy",
            onset=HOURS_ONSET,
            duration=HOURS,
            interval=MINUTE,
        )

    def lookups(hits: float, since: int) -> tuple[Growing, ...]:
        query = Growing(("llm_external_cache_query_tokens_total", labels), since, 100.0, MINUTE)
        return query, Growing(("llm_external_cache_hit_tokens_total", labels), since, hits, MINUTE)

    for seed, since, hits in ((813, at, 2.0), (814, at, 5.0)):
        pair = tuple(Replica(steady(seed + 40 * n, LONG_UNIQUE, ROOM), changes=lookups(hits, since)) for n in range(2))
        yield fault(
            f"external-cache-misses-{seed}",
            Fleet(pair),
            seed,
            "LLMExternalCacheInefficiency",
            onset=HOURS_ONSET,
            duration=HOURS,
            interval=MINUTE,
            also=(B.CACHE_INEFFICIENCY,),
        )
    found = Replica(steady(815, LONG_SHARED, ROOM), changes=lookups(60.0, 0))
    yield lookalike("external-cache-hits", Fleet((found,)), 815, B.CACHE_INEFFICIENCY, duration=HOURS, interval=MINUTE)


QUIET_HOURS = Load(rate=0.1, answer=24)


def _idle() -> Iterator[Scenario]:
    node = Node(gpus=(HELD,))
    for seed, way in ((821, Way.PROBED), (822, Way.DIRECT), (823, Way.PROBED)):
        idle = Fleet((Replica(steady(seed, Load()), way=way),), (node,))
        yield fault(f"gpu-idle-{seed}", idle, seed, "GPUIdle", onset=0.0, duration=DAY, interval=MINUTE)
    # An off-peak trough: a request every quarter of an hour; a GPU that another program uses; one that nobody holds.
    rare = Fleet((Replica(steady(824, Load(rate=1 / 900, answer=8))),), (node,))
    yield lookalike("gpu-idle-rare-requests", rare, 824, B.GPU_IDLE, duration=DAY, interval=MINUTE)
    used = Node(gpus=(GpuLife(((0.0, GpuState(utilization=0.5)),)),))
    others = Fleet((Replica(steady(821, Load())),), (used,))
    yield lookalike("gpu-idle-other-program", others, 825, B.GPU_IDLE, duration=DAY, interval=MINUTE)
    empty = Node(gpus=(GpuLife(((0.0, GpuState(utilization=0, memory=0.01, clock=0.2, power_watts=70)),)),))
    nobody = Fleet((Replica(steady(821, Load())),), (empty,))
    yield lookalike("gpu-idle-not-held", nobody, 826, B.GPU_IDLE, duration=DAY, interval=MINUTE)


def _budgets() -> Iterator[Scenario]:
    # Steps of more than the objective's 100 ms: nearly every gap between tokens is late.
    for seed, way in ((831, Way.PROBED), (832, Way.DIRECT), (833, Way.PROBED)):
        slow = changing(seed, QUIET_HOURS, before=QUIET_HOURS, at=600.0, setup=SETUP, slower=2.6)
        yield fault(
            f"budget-fast-{seed}",
            Fleet((Replica(slow, way=way),)),
            seed,
            "LLMErrorBudgetBurnFast",
            onset=600.0,
            duration=HOURS,
            interval=MINUTE,
            also=(B.HIGH_LATENCY,),
        )
    # Two minutes of each eight the steps are too long: a quarter of the gaps between tokens, where a twentieth may be.
    for seed, way in ((834, Way.PROBED), (835, Way.DIRECT)):
        in_turns = (Phase(120.0 * turn, QUIET_HOURS, 1.0 if turn % 4 else 2.6) for turn in range(8, 190))
        now_and_then = Run((Phase(-WARM_UP_SECONDS, QUIET_HOURS), *in_turns), seed)
        yield fault(
            f"budget-slow-{seed}",
            Fleet((Replica(now_and_then, way=way),)),
            seed,
            "LLMErrorBudgetBurnSlow",
            onset=960.0,
            duration=DAY,
            interval=MINUTE,
            also=(B.HIGH_LATENCY,),
        )
    spent = steady(836, Load(rate=0.15, answer=8, failing=0.004))
    yield lookalike("budget-kept", Fleet((Replica(spent),)), 836, B.SLO_BURN, duration=DAY, interval=MINUTE)
