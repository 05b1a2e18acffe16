"""Engines that are away or hang (B20), requests that fail (B25), and what looks like it."""

from collections.abc import Iterator

from demo.faults.corpus.shapes import (
    LONG,
    ONSET,
    QUIET,
    SETUP,
    changing,
    fault,
    lookalike,
    steady,
)
from demo.faults.fleet import Fleet, Replica, Way
from demo.faults.inference import Setup
from demo.faults.perturb import Down, Frozen, Growing, Missed, Reads
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from exporters.catalog import Engine
from rules.catalog.alerts import Bottleneck

B = Bottleneck
_AT = round(ONSET / 15)
_NEVER = 10_000


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _down()
    yield from _frozen()
    yield from _errors()
    yield from _lookalikes()


def _down() -> Iterator[Scenario]:
    away = Down(_AT, _NEVER)
    for seed, engine, way in (
        (601, Engine.VLLM, Way.PROBED),
        (602, Engine.VLLM, Way.DIRECT),
        (603, Engine.LLAMACPP, Way.PROBED),
    ):
        only = Replica(steady(1 + seed % 3), engine, way, changes=(away,))
        yield fault(f"down-only-{engine.value}-{way.value}", Fleet((only,)), seed, "LLMServiceDown")
    for seed, count in ((604, 2), (605, 4)):
        one = Replica(steady(1), changes=(away,))
        rest = tuple(Replica(steady(1 + n % 3)) for n in range(1, count))
        yield fault(f"down-one-of-{count}", Fleet((one, *rest)), seed, "LLMTargetDown")


def _frozen() -> Iterator[Scenario]:
    hung = (Frozen(_AT),)
    for seed, engine, way in (
        (611, Engine.VLLM, Way.PROBED),
        (612, Engine.VLLM, Way.DIRECT),
        (613, Engine.SGLANG, Way.PROBED),
        (614, Engine.TGI, Way.DIRECT),
        (615, Engine.LLAMACPP, Way.PROBED),
        (616, Engine.SGLANG, Way.DIRECT),
    ):
        one = Replica(steady(seed, Load(rate=1.6)), engine, way, changes=_hung(engine, hung))
        beside = Replica(steady(1), engine, way)
        fleet = Fleet((one, beside) if seed % 2 else (one,))
        yield fault(f"frozen-{engine.value}-{way.value}", fleet, seed, "LLMEngineFrozen")


def _hung(engine: Engine, hung: tuple[Frozen, ...]) -> tuple[Frozen, ...]:
    return (Frozen(_AT, batch="tgi_batch_current_size"),) if engine is Engine.TGI else hung


def _errors() -> Iterator[Scenario]:
    for seed, share, way in ((621, 0.04, Way.PROBED), (622, 0.03, Way.DIRECT), (623, 0.04, Way.PROBED)):
        run = changing(seed, Load(rate=1.2, failing=share))
        yield fault(f"errors-{seed}", Fleet((Replica(run, way=way),)), seed, "LLMRequestErrors", duration=LONG)
    pair = tuple(Replica(changing(seed, Load(rate=1.0, failing=0.25))) for seed in (624, 625))
    yield fault("errors-many", Fleet(pair), 624, "LLMRequestErrors", "LLMRequestErrorsHigh")
    rejected = ("llm_requests_rejected_total", _labels("vllm", reason="max_num_queued_reqs"))
    direct = ("vllm:admission_rejections_total", (("model_name", "tiny-llama"), ("reason", "max_num_queued_reqs")))
    for seed, way, key in ((626, Way.PROBED, rejected), (627, Way.DIRECT, direct)):
        refusing = Replica(steady(1), way=way, changes=(Growing(key, _AT, 0.3),))
        yield fault(f"errors-rejected-{way.value}", Fleet((refusing,)), seed, "LLMRequestsRejected")
    # Clients leave after six seconds without a token; why the first token is late is not known (KV between).
    between = Setup(slots=6, blocks=61)
    leaving = changing(628, Load(rate=5.0, patience=6.0, spread=0.1), setup=between)
    yield fault("errors-aborts", Fleet((Replica(leaving),)), 628, "LLMRequestAborts", duration=LONG)


def _labels(engine: str, **others: str) -> tuple[tuple[str, str], ...]:
    return (("engine", engine), ("model", "tiny-llama"), *others.items())


def _lookalikes() -> Iterator[Scenario]:
    # A restart of half a minute, once and of each replica in turn.
    for seed, way in ((631, Way.PROBED), (632, Way.DIRECT)):
        restarted = Replica(steady(1), way=way, changes=(Down(_AT, _AT + 3),))
        yield lookalike(f"down-restart-{way.value}", Fleet((restarted,)), seed, B.TARGET_DOWN, duration=LONG)
        rolled = tuple(
            Replica(steady(1 + n % 3), way=way, changes=(Down(_AT + 8 * n, _AT + 8 * n + 3),)) for n in range(4)
        )
        yield lookalike(f"down-roll-out-{way.value}", Fleet(rolled), seed, B.TARGET_DOWN, duration=LONG)
    # The exporter, not the engine, is away for a minute and a half.
    silent = Replica(steady(1), changes=(Missed(tuple(range(_AT, _AT + 6))),))
    yield lookalike("down-exporter-away", Fleet((silent,)), 633, B.TARGET_DOWN)
    # Idle: nothing runs, nothing comes; and a request now and then.
    for seed, engine in enumerate((Engine.VLLM, Engine.SGLANG, Engine.TGI, Engine.LLAMACPP), start=634):
        yield lookalike(
            f"frozen-idle-{engine.value}", Fleet((Replica(steady(1, Load()), engine),)), seed, B.ENGINE_FROZEN
        )
        rare = steady(seed, Load(rate=0.02))
        yield lookalike(f"frozen-rare-{engine.value}", Fleet((Replica(rare, engine),)), seed, B.ENGINE_FROZEN)
    # Saturated: every slot taken by long answers, which TGI and llama.cpp count when they end.
    for seed, engine in enumerate((Engine.VLLM, Engine.TGI, Engine.LLAMACPP), start=641):
        long_answers = steady(seed, Load(clients=6, answer=900), SETUP)
        fleet = Fleet((Replica(long_answers, engine),))
        yield lookalike(f"frozen-long-answers-{engine.value}", fleet, seed, B.ENGINE_FROZEN)
    # One prompt of half a minute: no step ends meanwhile, and nothing else runs.
    slow = Setup(slots=2, blocks=3000, step_tokens=16384, gamma_ms=4.0)
    objectives = (("ttft_p95_seconds", 120.0), ("itl_p95_seconds", 60.0))
    prefill = Replica(steady(645, Load(rate=0.012, prompt=6000, answer=20), slow))
    yield lookalike("frozen-long-prefill", Fleet((prefill,), objectives=objectives), 645, B.ENGINE_FROZEN)
    # An engine that sleeps with a request in its batch.
    awake = ("llm_engine_awake", _labels("vllm"))
    asleep = Replica(steady(646, Load(rate=1.6)), changes=(Frozen(_AT), Reads(awake, 1.0, 0.0, _AT)))
    yield lookalike("frozen-asleep", Fleet((asleep,)), 646, B.ENGINE_FROZEN)
    # Users stop quick answers; and one request of many fails.
    for seed, share in ((647, 0.003), (648, 0.002)):
        fleet = Fleet((Replica(steady(seed, Load(rate=1.0, failing=share))),))
        yield lookalike(f"errors-few-{seed}", fleet, seed, B.REQUEST_ERRORS)
    few = Fleet((Replica(changing(649, QUIET, before=Load(rate=0.05, failing=0.3))),))
    yield lookalike("errors-accident", few, 649, B.REQUEST_ERRORS)
