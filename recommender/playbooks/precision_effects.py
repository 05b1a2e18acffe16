"""What fewer bits for weights or KV are expected to do: from the bytes that a step reads, else what is published."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation
from recommender.playbooks.base import PlanContext
from recommender.playbooks.effects import (
    Effects,
    error_guard,
    fewer_preemptions,
    itl_guard,
    predicted,
    published,
    ttft_guard,
)
from recommender.playbooks.proofs import CAPACITY
from recommender.service_roofline import roofline_of
from recommender.sizing import NotApplicable
from recommender.sizing.dtypes import WEIGHT_DTYPES, kv_dtype_of, weight_dtype_of
from recommender.sizing.load import StepModel
from recommender.sizing.ranges import Steps
from recommender.sizing.step_effects import Point, kv_cache, weights

SIXTEEN_BITS = frozenset({"fp32", "bf16", "fp16"})
EIGHT_BITS = frozenset({"fp8", "int8", "q8_0"})


class Purpose(StrEnum):
    """What fewer bits are for: it says which effect must show and what speaks against a step."""

    MEMORY = "memory"
    DECODE = "decode"
    PREFILL = "prefill"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class _Range:
    """Published ratios new/old: the pessimistic end, then the optimistic one."""

    low: float
    high: float
    source: str


_ITL_OF_WEIGHTS: Mapping[int, _Range] = {
    8: _Range(0.75, 0.6, "tuning P06 no. 3: 8-bit weights take 0.6 to 0.75 of the time of a token"),
    4: _Range(0.6, 0.4, "tuning P06 no. 3: 4-bit weights take 0.4 to 0.6 of the time of a token, to a batch of 16"),
}
_TTFT = _Range(0.7, 0.6, "tuning P05 no. 5: FP8 products took 30 to 40 % off TTFT")
_THROUGHPUT = _Range(1.37, 1.6, "tuning §2.7: W8A8 gave 1.37 to 1.6 times the throughput")
_KV_THROUGHPUT = _Range(1.20, 1.56, "tuning P02 no. 7: 20 to 56 % more tokens a second where KV was the limit")


def bits(dtype: str) -> int:
    """Whole bits of a number of this type, without those of scales."""
    return int(WEIGHT_DTYPES[dtype].bits)


def effects(purpose: Purpose, change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    """The metric that the purpose of the change names must improve; the latencies beside it must not get worse."""
    goal = _goal(purpose, change, evidence, canary, context)
    guards = [error_guard(context)]
    if goal.metric != VerificationMetric.ITL_P95_SECONDS:
        guards.append(itl_guard(context))
    if goal.metric != VerificationMetric.TTFT_P95_SECONDS:
        guards.append(ttft_guard(context))
    return Effects(expected=(goal,), must_improve=goal, guards=tuple(guards))


def _goal(purpose: Purpose, change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Expectation:
    if purpose is Purpose.DECODE:
        return _itl(change, evidence, canary, context)
    if purpose is Purpose.PREFILL:
        return _from(VerificationMetric.TTFT_P95_SECONDS, Direction.LOWER, _TTFT, context)
    if purpose is Purpose.MEMORY and evidence.value("replica:llm_preemptions_per_request:ratio_rate5m", canary):
        return fewer_preemptions(context)
    found = _KV_THROUGHPUT if change.knob == "kv_cache_dtype" or purpose is Purpose.MEMORY else _THROUGHPUT
    return _from(VerificationMetric.GENERATION_TOKENS_RATE, Direction.HIGHER, found, context)


def _from(metric: VerificationMetric, direction: Direction, found: _Range, context: PlanContext) -> Expectation:
    return published(metric, direction, (found.low, found.high), found.source, context)


def _itl(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Expectation:
    """What a step takes after over before: by the roofline of the two types, at worst as published (P06 no. 3)."""
    told = _step_ratios(change, evidence, canary, context)
    if told is None:
        if change.knob == "kv_cache_dtype":
            kv = _Range(1.0, 0.54, "tuning §2.7: the part of a step that reads KV takes 0.54 of the time")
            return _from(VerificationMetric.ITL_P95_SECONDS, Direction.LOWER, kv, context)
        return _from(
            VerificationMetric.ITL_P95_SECONDS, Direction.LOWER, _ITL_OF_WEIGHTS[bits(str(change.new))], context
        )
    return predicted(VerificationMetric.ITL_P95_SECONDS, Direction.LOWER, *told)


def _step_ratios(
    change: Change, evidence: Evidence, canary: str, context: PlanContext
) -> tuple[tuple[float, float, float], str] | None:
    """Time of a step after over before, at best, likely and at worst, with its source; None where facts are missing."""
    facts = context.facts
    knob = "kv_dtype" if change.knob == "kv_cache_dtype" else "weight_dtype"
    new = kv_dtype_of(str(change.new), context.engine) if knob == "kv_dtype" else weight_dtype_of(str(change.new))
    before = roofline_of(facts)
    after = roofline_of(replace(facts, kv_dtype=new) if knob == "kv_dtype" else replace(facts, weight_dtype=new))
    usage, capacity = evidence.value("replica:llm_kv_cache_usage:avg2m", canary), evidence.value(CAPACITY, canary)
    running = evidence.value("replica:llm_requests_running:avg2m", canary)
    if isinstance(before, NotApplicable) or isinstance(after, NotApplicable):
        return None
    if usage is None or capacity is None or running is None:
        return None
    at, held = Point(max(1.0, running), usage * capacity / max(1.0, running)), usage * capacity
    steps = Steps.of(*before.step_models(), error=0.0)
    if knob == "kv_dtype":
        effect = kv_cache(before, after, steps.likely[0], at=at)
    else:
        widths = WEIGHT_DTYPES[facts.weight_dtype or ""].bits, WEIGHT_DTYPES[new or ""].bits
        effect = weights(before, after, widths, at=at, fitted=False)
    now = _seconds(steps.likely, at, held)
    then = effect.on(steps)
    ends = (_seconds(models, at, held) / now for models in (then.fast, then.likely, then.slow))
    fast, likely, slow = ends
    return (fast, likely, slow), effect.source


def _seconds(models: Iterable[StepModel], at: Point, held: float) -> float:
    return max(model.seconds(at.running, 0.0, held) for model in models)
