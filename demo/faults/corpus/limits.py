"""What limits a batch: slots (B04), KV memory (B02), or nobody knows what (B03), and what looks like it."""

from collections.abc import Iterator

from demo.faults.corpus.recorded import SETUP, state
from demo.faults.corpus.shapes import (
    BUSY,
    LONG,
    ONSET,
    QUIET,
    SHORT,
    TOO_MUCH,
    changing,
    fault,
    lookalike,
    steady,
)
from demo.faults.fleet import Fleet, Replica, Way
from demo.faults.inference import WARM_UP_SECONDS, Phase, Run, Setup
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from exporters.catalog import Engine
from rules.catalog.alerts import Bottleneck

B = Bottleneck
# KV room for some six requests of 200 + 120 tokens, though the batch could hold sixteen.
SMALL_KV = Setup(slots=16, blocks=125)
LONG_ANSWERS = Load(rate=0.2, prompt=200, answer=120)
# A full batch holds about 82 % of the KV cache: neither room nor pressure, so no cause is known.
BETWEEN = Setup(slots=6, blocks=61)
MUCH_ALIKE = Load(rate=3.4, spread=0.1)


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _admission()
    yield from _kv()
    yield from _queue()
    yield from _lookalikes()


def _admission() -> Iterator[Scenario]:
    alert = "LLMAdmissionLimited"
    yield fault("admission-plateau", Fleet((Replica(changing(11, TOO_MUCH)),)), 11, alert)
    known = Replica(changing(12, Load(rate=3.0)), way=Way.DIRECT, limit=6)
    yield fault("admission-limit-known", Fleet((known,)), 12, alert)
    loop = changing(13, Load(clients=18), before=Load(clients=3))
    yield fault("admission-closed-loop", Fleet((Replica(loop, limit=6),)), 13, alert)
    pair = tuple(Replica(changing(seed, Load(rate=2.9))) for seed in (14, 15))
    yield fault("admission-two-replicas", Fleet(pair), 14, alert)
    for engine, way in ((Engine.SGLANG, Way.PROBED), (Engine.TENSORRT_LLM, Way.DIRECT)):
        told = Replica(changing(16, TOO_MUCH), engine, way)
        yield fault(f"admission-{engine.value}", Fleet((told,)), 16, alert)
    for way in Way:
        recorded = Replica(steady(1, setup=SETUP), way=way, pages=state("saturated", SHORT, 15.0, way))
        yield fault(f"admission-recorded-{way.value}", Fleet((recorded,)), 17, alert, onset=0.0)


def _kv() -> Iterator[Scenario]:
    alert = "LLMKVCachePressure"
    full = Load(rate=2.5, prompt=200, answer=120)
    yield fault("kv-full", Fleet((Replica(changing(21, full, before=LONG_ANSWERS, setup=SMALL_KV)),)), 21, alert)
    direct = Replica(changing(22, full, before=LONG_ANSWERS, setup=SMALL_KV), way=Way.DIRECT, limit=16)
    yield fault("kv-full-direct", Fleet((direct,)), 22, alert)
    growing = Load(clients=14, prompt=50, answer=260)
    grown = changing(23, growing, before=Load(clients=2, prompt=50, answer=120), setup=SMALL_KV)
    yield fault("kv-thrash", Fleet((Replica(grown),)), 23, alert, "LLMKVCacheThrash")
    pair = tuple(Replica(changing(s, full, before=LONG_ANSWERS, setup=SMALL_KV)) for s in (24, 25))
    yield fault("kv-two-replicas", Fleet(pair), 24, alert)
    for engine, way in ((Engine.SGLANG, Way.DIRECT), (Engine.TGI, Way.PROBED), (Engine.TENSORRT_LLM, Way.PROBED)):
        told = Replica(changing(26, full, before=LONG_ANSWERS, setup=SMALL_KV), engine, way)
        yield fault(f"kv-{engine.value}", Fleet((told,)), 26, alert)
    for way in Way:
        recorded = Replica(steady(1, setup=SETUP), way=way, pages=state("kv_pressure", SHORT, 15.0, way))
        yield fault(f"kv-recorded-sawtooth-{way.value}", Fleet((recorded,)), 27, alert, "LLMKVCacheThrash", onset=0.0)


def _queue() -> Iterator[Scenario]:
    """Requests wait, and what the engine tells names no cause."""
    alert = "LLMQueueBuildup"
    for number, (engine, way) in enumerate(
        ((Engine.LLAMACPP, Way.PROBED), (Engine.LLAMACPP, Way.DIRECT), (Engine.TGI, Way.DIRECT))
    ):
        told = Replica(changing(31 + number, TOO_MUCH), engine, way)
        yield fault(f"queue-{engine.value}-{way.value}", Fleet((told,)), 31, alert, looks_like=B.ADMISSION_LIMITED)
    between = changing(34, MUCH_ALIKE, setup=BETWEEN)
    yield fault("queue-kv-between", Fleet((Replica(between),)), 34, alert, looks_like=B.KV_CACHE_PRESSURE)
    pair = tuple(Replica(changing(seed, MUCH_ALIKE, setup=BETWEEN), way=Way.DIRECT) for seed in (35, 36))
    yield fault("queue-kv-between-direct", Fleet(pair), 35, alert, looks_like=B.KV_CACHE_PRESSURE)


def _lookalikes() -> Iterator[Scenario]:
    # A batch that is always full and a queue that is always empty: as many clients as slots.
    full = steady(41, Load(clients=6))
    for way in Way:
        replica = Replica(full, way=way, limit=6)
        yield lookalike(f"admission-full-no-queue-{way.value}", Fleet((replica,)), 41, B.ADMISSION_LIMITED)
    # A burst of two seconds, which fills the batch and a queue; p95 over five minutes keeps its objective.
    burst = Run((Phase(-WARM_UP_SECONDS, QUIET), Phase(ONSET - 1, Load(rate=6.0)), Phase(ONSET + 1, QUIET)), 42)
    for engine in (Engine.VLLM, Engine.SGLANG, Engine.LLAMACPP):
        yield lookalike(f"admission-burst-{engine.value}", Fleet((Replica(burst, engine),)), 42, B.ADMISSION_LIMITED)
    yield lookalike("queue-burst-tgi", Fleet((Replica(burst, Engine.TGI),)), 42, B.QUEUE_BUILDUP)
    # KV nearly full and nobody waits: five clients of a cache that holds six.
    for seed, engine in ((43, Engine.VLLM), (44, Engine.SGLANG), (45, Engine.TGI)):
        room = Setup(slots=16, blocks=112)
        steady_full = steady(seed, Load(clients=5, prompt=200, answer=120), room)
        yield lookalike(
            f"kv-full-batch-{engine.value}", Fleet((Replica(steady_full, engine),)), seed, B.KV_CACHE_PRESSURE
        )
    # Waves of load just under the limits.
    waves = Run(
        (Phase(-WARM_UP_SECONDS, QUIET), *(Phase(120.0 * n, BUSY if n % 2 else Load(rate=0.5)) for n in range(1, 12))),
        46,
    )
    yield lookalike("queue-waves", Fleet((Replica(waves),)), 46, B.QUEUE_BUILDUP, duration=LONG)
