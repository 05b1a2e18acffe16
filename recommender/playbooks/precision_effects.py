"""What fewer bits for weights or KV are expected to do: from the bytes that a step reads, else what is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

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
from recommender.playbooks.proofs import CAPACITY, kv_bytes_of_token
from recommender.sizing.dtypes import WEIGHT_DTYPES
from recommender.sizing.footprint import model_weight_bytes
from recommender.sizing.roofline import efficiency

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
    """ITL'/ITL = (W'/e_w + KV'/e_kv)/(W/e_w + KV/e_kv) (P06 no. 3), from the bytes that a step reads."""
    facts, each = context.facts, kv_bytes_of_token(context)
    usage, capacity = evidence.value("replica:llm_kv_cache_usage:avg2m", canary), evidence.value(CAPACITY, canary)
    known = facts.model is not None and facts.weight_dtype is not None and facts.tensor_parallel is not None
    if not known or not each or usage is None or capacity is None:
        if change.knob == "kv_cache_dtype":
            kv = _Range(1.0, 0.54, "tuning §2.7: the part of a step that reads KV takes 0.54 of the time")
            return _from(VerificationMetric.ITL_P95_SECONDS, Direction.LOWER, kv, context)
        return _from(
            VerificationMetric.ITL_P95_SECONDS, Direction.LOWER, _ITL_OF_WEIGHTS[bits(str(change.new))], context
        )
    return predicted(
        VerificationMetric.ITL_P95_SECONDS,
        Direction.LOWER,
        _step_ratio(change, usage * capacity * each, context),
        "tuning P06 no. 3: (W'/e_w + KV'/e_kv)/(W/e_w + KV/e_kv)",
    )


def _step_ratio(change: Change, kv: float, context: PlanContext) -> float:
    """Time of a step after over before, by the bytes that it reads and what of the bandwidth is reached (§2.2)."""
    facts = context.facts
    if facts.model is None or facts.weight_dtype is None or facts.tensor_parallel is None:
        return 1.0
    weights = partial(model_weight_bytes, facts.model, ranks=facts.tensor_parallel)
    capability = 0.0 if facts.gpu is None else facts.gpu.compute_capability
    now = efficiency(capability, facts.kv_dtype, facts.model.parameters)
    before = weights(facts.weight_dtype) / now.weights + kv / now.kv
    if change.knob == "kv_cache_dtype":
        then = efficiency(capability, str(change.new), facts.model.parameters)
        return (weights(facts.weight_dtype) / then.weights + kv / 2 / then.kv) / before
    return (weights(str(change.new)) / now.weights + kv / now.kv) / before
