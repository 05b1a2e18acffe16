"""The ladder of weights and KV: which step a GPU gains by, what it is expected to do by hand, and where it harms."""

from dataclasses import replace

import pytest

from recommender.gpus import GPUS
from recommender.metrics import VerificationMetric
from recommender.playbooks import Advice
from recommender.playbooks.precision import next_kv, next_weights
from recommender.sizing.footprint import model_weight_bytes
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    KV_BYTES,
    MODEL,
    ONE,
    advised,
    changed,
    context,
    evidence,
    facts,
    playbook,
    refused,
    size,
)

PRESSURE, DECODE, PREFILL, COST = (
    Bottleneck.KV_CACHE_PRESSURE,
    Bottleneck.DECODE_BANDWIDTH_BOUND,
    Bottleneck.PREFILL_BOUND,
    Bottleneck.COST_PER_TOKEN,
)
SEEN = {
    "replica:llm_kv_cache_usage:max2m": 0.99,
    "replica:llm_kv_cache_usage:avg2m": 0.95,
    "replica:llm_kv_cache_capacity_tokens": 390_000.0,
    "replica:llm_requests_running:max2m": 20.0,
    "replica:llm_request_prompt_tokens:mean_5m": 2000.0,
    "replica:llm_request_generation_tokens:mean_5m": 500.0,
    "replica:llm_kv_cache_memory_fraction": 0.9,
}
LLAMA_SETTINGS = {"kv_cache_memory_fraction": 0.9}


@pytest.mark.parametrize(
    ("now", "gpu", "engine", "new"),
    [
        ("bf16", "h100_sxm", "vllm", "fp8"),
        ("fp16", "l4", "sglang", "fp8"),
        ("bf16", "a100_80gb", "vllm", "int8"),  # compute capability 8.0: FP8 would save memory alone
        ("fp16", "t4", "tgi", "int8"),
        ("fp8", "h100_sxm", "vllm", "int4"),  # INT8 has as many bytes as FP8
        ("int8", "a100_80gb", "vllm", "int4"),
        ("fp8", "b200", "vllm", "nvfp4"),
        ("int4", "h100_sxm", "vllm", None),
        ("fp16", "rtx_4090", "llamacpp", "q8_0"),
        ("q8_0", "rtx_4090", "ollama", "q4_k_m"),
        ("q6_k", "rtx_4090", "llamacpp", "q4_k_m"),
        ("q4_k_m", "rtx_4090", "ollama", None),
    ],
)
def test_the_next_step_of_weights_is_what_the_gpu_gains_by(now: str, gpu: str, engine: str, new: str | None) -> None:
    assert next_weights(now, GPUS[gpu], engine) == new


def test_kv_goes_to_eight_bits_and_no_further() -> None:
    assert [next_kv(now, "vllm") for now in ("auto", "bf16", "fp8", "int8")] == ["fp8", "fp8", None, None]
    assert [next_kv(now, "llamacpp") for now in ("fp16", "int8")] == ["int8", None]


def test_weights_in_fp8_leave_room_for_kv_tokens() -> None:
    given = context(known=facts(), weight_quantization="none", **LLAMA_SETTINGS)
    change = changed(size(PRESSURE, "P02.8", evidence(SEEN), given))
    assert (change.old, change.new) == ("none", "fp8")
    assert change.inputs["kv_tokens_gained"] == pytest.approx(8e9 / KV_BYTES, abs=1)  # 16 GB - 8 GB, over kv_B
    assert change.feasibility is not None
    assert change.risk == "quality"


def test_a_type_that_needs_other_weights_is_advice() -> None:
    given = context(known=facts("a100_80gb", weight_dtype="int8"), weight_quantization="int8", **LLAMA_SETTINGS)
    text = advised(size(PRESSURE, "P02.8", evidence(SEEN), given))
    assert "int8 to int4" in text
    assert "a setting alone does not give it" in text
    blackwell = context(
        version="0.32.0", known=facts("b200", weight_dtype="fp8"), weight_quantization="none", **LLAMA_SETTINGS
    )
    assert "Next is nvfp4" in advised(size(PRESSURE, "P02.8", evidence(SEEN), blackwell))  # not from 8 bits, on load


def test_without_the_gpu_the_step_is_asked_for() -> None:
    outcome = size(PRESSURE, "P02.8", evidence(SEEN), context(weight_quantization="none"))
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} == {"gpu", "weight_dtype"}


def test_four_bits_bring_nothing_to_large_batches_or_prompts() -> None:
    given = context(known=facts(weight_dtype="fp8"), weight_quantization="fp8")
    busy = evidence(SEEN | {"replica:llm_requests_running:max2m": 64.0})
    assert "fades above 32" in refused(size(DECODE, "P06.3", busy, given))
    assert "no faster" in refused(size(PREFILL, "P05.5", evidence(SEEN), given))
    unknown = {name: value for name, value in SEEN.items() if name != "replica:llm_requests_running:max2m"}
    assert "unknown" in refused(size(DECODE, "P06.3", evidence(unknown), given))


def test_the_end_of_the_ladder_is_told() -> None:
    given = context(known=facts(weight_dtype="int4"), weight_quantization="int4")
    assert "end of the ladder" in refused(size(PRESSURE, "P02.8", evidence(SEEN), given))


def test_nothing_is_tried_to_save_money_while_a_budget_burns() -> None:
    burning = evidence(SEEN, confirmed=(Bottleneck.SLO_BURN,))
    given = context(known=facts(), weight_quantization="none", **LLAMA_SETTINGS)
    assert "error budget burns" in refused(size(COST, "P24.3", burning, given))
    assert changed(size(COST, "P24.3", evidence(SEEN), given)).new == "fp8"
    assert changed(size(PRESSURE, "P02.8", burning, given)).new == "fp8"  # that cures the cause


def test_the_step_of_decode_is_the_bytes_that_it_reads() -> None:
    given = context(known=facts(), weight_quantization="none", **LLAMA_SETTINGS)
    change = changed(size(DECODE, "P06.3", evidence(SEEN), given))
    effects = playbook(DECODE, "P06.3").effects
    assert effects is not None
    seen = evidence({**SEEN, "replica:llm_requests_running:avg2m": 20.0})
    goal = effects(change, seen, ONE, given).must_improve
    # Arithmetic of 20 requests takes 0.7 ms where reading weights takes 6.8: it is no bound.
    model, kv = given.facts.model, 0.95 * 390_000 * KV_BYTES / 0.88
    assert model is not None
    weights, fewer = (model_weight_bytes(model, dtype) / 0.70 for dtype in ("bf16", "fp8"))
    fast, slow = ((share + kv) / (weights + kv) for share in (fewer, 0.75 * weights))
    assert goal.metric == VerificationMetric.ITL_P95_SECONDS
    assert (goal.high, goal.mid, goal.low) == pytest.approx((fast, (fast + slow) / 2, slow), abs=0.001)
    assert goal.low < 1


def test_kv_in_eight_bits_doubles_the_tokens() -> None:
    given = context(known=facts(), kv_cache_dtype="auto", **LLAMA_SETTINGS)
    change = changed(size(PRESSURE, "P02.7", evidence(SEEN), given))
    assert (change.old, change.new, change.risk) == ("auto", "fp8", "quality")
    assert "390,000 to about 780,000 tokens" in change.formula
    assert change.feasibility is not None


@pytest.mark.parametrize(("engine", "flag"), [("llamacpp", "--cache-type-k"), ("ollama", "OLLAMA_KV_CACHE_TYPE")])
def test_engines_with_slots_keep_kv_in_q8(engine: str, flag: str) -> None:
    given = context(
        engine,
        known=facts("l4", weight_dtype="q4_k_m", kv_dtype="fp16"),
        kv_cache_dtype="fp16",
        context_tokens=8192,
        max_model_length_tokens=4096,
        max_running_requests=2,
    )
    change = changed(size(PRESSURE, "P02.7", evidence(SEEN), given))
    assert change.new == "int8"  # their q8_0
    assert change.flag.startswith(flag)
    assert change.feasibility is not None
    assert change.feasibility.before is not None
    assert change.feasibility.after is not None
    assert change.feasibility.before - change.feasibility.after == pytest.approx(
        8192 * KV_BYTES * (1 - 8.5 / 16), rel=0.01
    )


def test_kv_stays_in_sixteen_bits_where_eight_harm_or_bring_nothing() -> None:
    short = evidence(SEEN | {"replica:llm_kv_cache_usage:avg2m": 0.4})
    given = context(known=facts(), kv_cache_dtype="auto")
    assert "2500 tokens long and KV is not full" in refused(size(DECODE, "P06.4", short, given))
    assert changed(size(DECODE, "P06.4", evidence(SEEN), given)).new == "fp8"  # KV is full
    wide = facts(model=replace(MODEL, head_dim=256))
    assert "heads of 256" in refused(
        size(PRESSURE, "P02.7", evidence(SEEN), context(known=wide, kv_cache_dtype="auto"))
    )
    old = context(known=facts("a100_80gb"), kv_cache_dtype="auto")
    assert "does not run fp8" in refused(size(PRESSURE, "P02.7", evidence(SEEN), old))
    done = context(known=facts(kv_dtype="fp8"), kv_cache_dtype="fp8")
    assert "cost answers more" in refused(size(PRESSURE, "P02.7", evidence(SEEN), done))


def test_what_memory_is_for_must_show_in_preemptions_or_tokens() -> None:
    given = context(known=facts(), kv_cache_dtype="auto")
    change = changed(size(PRESSURE, "P02.7", evidence(SEEN), given))
    effects = playbook(PRESSURE, "P02.7").effects
    assert effects is not None
    assert effects(change, evidence(SEEN), ONE, given).must_improve.metric == "generation_tokens_per_second"
    thrash = evidence(SEEN | {"replica:llm_preemptions_per_request:ratio_rate5m": 0.2})
    assert effects(change, thrash, ONE, given).must_improve.metric == "preemptions_per_request"
