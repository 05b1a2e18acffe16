"""The proof that a change fits: bytes of one GPU before and after, for each engine's own way of sharing memory."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.facts import ServiceFacts
from recommender.feasibility import prove, setup_of
from recommender.gpus import GPUS
from recommender.model import Feasibility
from recommender.models import common_model
from recommender.sizing.memory import ENGINE_MEMORY, MemorySetup, kv_capacity_after, memory_proof
from recommender.sizing.told_capacity import conflict

LLAMA = common_model("meta-llama/Llama-3.1-8B")
KV = 131_072  # bytes of a token
WEIGHTS = 2 * 8_030_261_248
H100 = MemorySetup("vllm", 80e9, LLAMA, "bf16", "bf16", 1, memory_fraction=0.90, longest_request_tokens=8192)
FACTS = ServiceFacts(model=LLAMA, gpu=GPUS["h100_sxm"], tensor_parallel=1, weight_dtype="bf16", kv_dtype="bf16")


def proof(before: MemorySetup, told: float | None = None, **change: Any) -> Feasibility:
    """The proof of a change of these fields."""
    return memory_proof(before, replace(before, **change), kv_capacity_tokens=told)


def test_vllms_fraction_is_of_the_device_and_holds_everything() -> None:
    raised = proof(H100, memory_fraction=0.93)
    assert raised.fits is True
    assert (raised.before, raised.after, raised.limit) == (72e9, 74.4e9, 76e9)
    kv = [(80e9 * f - WEIGHTS - 3e9) / KV for f in (0.90, 0.93)]
    assert f"{kv[0]:,.0f} to {kv[1]:,.0f} tokens" in raised.text
    assert proof(H100, memory_fraction=0.96).fits is False  # above 0.95 (P02 no. 4)


def test_sglangs_fraction_leaves_activations_out() -> None:
    static = replace(H100, engine="sglang", memory_fraction=0.88)
    raised = proof(static, memory_fraction=0.95)
    assert raised.fits is True
    assert raised.after == pytest.approx(0.95 * 80e9 + 3e9)
    assert proof(static, memory_fraction=0.97).fits is False


def test_tensorrts_fraction_is_of_what_weights_leave() -> None:
    remainder = replace(H100, engine="tensorrt_llm")
    raised = proof(remainder, memory_fraction=0.95)
    left = 80e9 - WEIGHTS - 3e9
    assert raised.before == pytest.approx(WEIGHTS + 3e9 + 0.90 * left)
    assert raised.after == pytest.approx(WEIGHTS + 3e9 + 0.95 * left)
    assert raised.fits is True


def test_tgi_takes_nine_tenths_of_the_fraction_that_it_is_given() -> None:
    tgi = replace(H100, engine="tgi", memory_fraction=1.0)
    lowered = proof(tgi, memory_fraction=0.95)
    assert lowered.before == pytest.approx(0.90 * 80e9)
    assert lowered.after == pytest.approx(0.95 * 0.90 * 80e9)
    assert lowered.fits is True


@pytest.mark.parametrize("engine", ["llamacpp", "ollama"])
def test_slots_take_their_whole_context_from_the_start(engine: str) -> None:
    slots = MemorySetup(engine, 24e9, LLAMA, "q4_k_m", "fp16", 1, slots=4, context_tokens=32_768)
    weights = 8_030_261_248 * 4.8944 / 8
    wider = proof(slots, slots=8, context_tokens=65_536)
    assert wider.before == pytest.approx(weights + 3e9 + 32_768 * KV)
    assert wider.after == pytest.approx(weights + 3e9 + 65_536 * KV)
    assert wider.limit == 24e9 - 2**30
    assert wider.fits is True
    assert proof(slots, slots=16, context_tokens=131_072).fits is False
    assert proof(slots, kv_dtype="q8_0").after == pytest.approx(weights + 3e9 + 32_768 * KV * 17 / 32)
    assert proof(replace(slots, context_tokens=None), kv_dtype="q8_0").missing == ("context_tokens",)


def test_what_the_engine_tells_of_its_cache_measures_the_rest() -> None:
    told = 390_000
    raised = proof(H100, told, memory_fraction=0.93)
    assert f"{told:,} to {told + 0.03 * 80e9 / KV:,.0f} tokens" in raised.text


@pytest.mark.parametrize(
    ("told", "allowed"),
    [
        (540_000, False),  # 70.8 of 72 GB: no room for the weights
        (475_000, False),  # 62.3 GB, of which weights of a tenth less would leave 57.6
        (455_000, True),
        (390_000, True),
        (325_000, True),  # 42.6 GB: 10 GB of activations and some blocks
        (300_000, False),  # 39.3 GB: 16 GB more than weights take are not theirs
        (2_000, False),
    ],
)
def test_a_capacity_that_contradicts_the_facts_proves_nothing(told: float, allowed: bool) -> None:
    found = proof(H100, told, memory_fraction=0.93)
    assert (found.fits is not None) is allowed
    assert ("is not what is known" in found.text) is not allowed
    assert ("kv_capacity" in found.missing) is not allowed
    after = kv_capacity_after(H100, replace(H100, memory_fraction=0.93), kv_capacity_tokens=told)
    assert (after is not None) is allowed


def test_a_cache_of_a_told_size_is_what_was_told_whatever_the_share() -> None:
    assert proof(replace(H100, kv_cache_tokens=2_000), 2_000, kv_cache_tokens=4_000).fits is not None
    assert proof(replace(H100, kv_cache_bytes=10e9), 10e9 / KV, kv_cache_bytes=11e9).fits is True
    assert proof(replace(H100, kv_cache_bytes=10e9), 5e9 / KV, kv_cache_bytes=11e9).missing == ("kv_capacity",)
    assert conflict(replace(H100, memory_fraction=None), 2_000) == ""  # what is unknown contradicts nothing
    assert conflict(H100, None) == ""


def test_absolute_bytes_go_before_the_fraction() -> None:
    fixed = proof(H100, kv_cache_bytes=60e9)
    assert fixed.after == pytest.approx(WEIGHTS + 3e9 + 60e9)
    assert fixed.fits is False
    assert proof(H100, kv_cache_bytes=55e9).fits is True


def test_a_limit_of_tokens_frees_what_it_does_not_use() -> None:
    limited = proof(replace(H100, engine="sglang"), kv_cache_tokens=100_000.0)
    assert limited.after == pytest.approx(WEIGHTS + 3e9 + 100_000 * KV)
    assert limited.fits is True


def test_smaller_types_and_more_ranks_make_room_for_tokens() -> None:
    eight_bits = proof(H100, kv_dtype="fp8")
    assert eight_bits.fits is True
    tokens = (80e9 * 0.9 - WEIGHTS - 3e9) / KV
    assert f"{tokens:,.0f} to {2 * tokens:,.0f} tokens" in eight_bits.text
    assert proof(H100, weight_dtype="fp8").fits is True
    two = proof(H100, tensor_parallel=2)
    assert f"to {(80e9 * 0.9 - WEIGHTS / 2 - 3e9) / (KV / 2):,.0f} tokens" in two.text
    assert proof(replace(H100, device_bytes=24e9), weight_dtype="fp32").fits is False


def test_a_cache_that_cannot_hold_the_longest_request_does_not_fit() -> None:
    lowered = proof(replace(H100, device_bytes=24e9, memory_fraction=0.9), memory_fraction=0.83)
    assert lowered.fits is False
    assert "longest request" in lowered.text
    assert proof(H100, longest_request_tokens=1_000_000).fits is False


def test_an_engine_that_runs_below_its_models_length_has_a_limit_that_is_not_known() -> None:
    small = replace(H100, device_bytes=24e9, longest_request_tokens=None)  # 19k tokens, the model is for 131k
    assert proof(small, memory_fraction=0.93).fits is True  # more than what serves today
    lowered = proof(small, memory_fraction=0.88)
    assert lowered.fits is None
    assert lowered.missing == ("max_model_length_tokens",)


def test_without_a_model_a_larger_share_can_be_proven_and_a_smaller_one_cannot() -> None:
    bare = MemorySetup("vllm", 80e9, memory_fraction=0.90)
    assert proof(bare, memory_fraction=0.93).fits is True
    lowered = proof(bare, memory_fraction=0.85)
    assert lowered.fits is None
    assert "model" in lowered.missing


def test_what_is_missing_is_named() -> None:
    assert proof(replace(H100, device_bytes=None), memory_fraction=0.93).missing == ("gpu",)
    assert proof(replace(H100, memory_fraction=None), kv_dtype="fp8").missing == ("kv_cache_memory_fraction",)
    unknown = proof(replace(H100, engine="dynamo"), memory_fraction=0.93)
    assert (unknown.fits, unknown.missing) == (None, ("engine",))


fractions = st.floats(0.05, 1.0)


@given(fractions, fractions, st.sampled_from(sorted(ENGINE_MEMORY)), st.sampled_from([24e9, 80e9, 141e9]))
def test_what_fits_is_within_the_limit_or_no_more_than_what_runs(
    old: float, new: float, engine: str, device: float
) -> None:
    before = replace(H100, engine=engine, memory_fraction=old, device_bytes=device, slots=4, context_tokens=8192.0)
    found = proof(before, memory_fraction=new)
    if found.fits:
        assert found.after is not None
        assert found.limit is not None
        assert found.before is not None
        assert found.after <= found.limit or found.after <= found.before
    assert found == proof(before, memory_fraction=new)


def test_a_knob_is_proven_from_the_facts_and_the_settings() -> None:
    settings = {"kv_cache_memory_fraction": 0.90, "max_model_length_tokens": 8192}
    raised = prove("vllm", FACTS, settings, "kv_cache_memory_fraction", 0.93)
    assert raised is not None
    assert raised.fits is True
    assert raised.after == pytest.approx(74.4e9)
    assert prove("vllm", FACTS, settings, "max_running_requests", 64) is None
    eight = prove("vllm", FACTS, settings, "kv_cache_dtype", "fp8_e4m3")
    assert eight is not None
    assert eight.fits is True
    unknown = prove("vllm", FACTS, settings, "kv_cache_dtype", "turboquant_4bit")
    assert unknown is not None
    assert unknown.fits is None
    assert "kv_dtype" in unknown.missing
    quantized = prove("vllm", FACTS, settings, "weight_quantization", "fp8")
    assert quantized is not None
    assert quantized.fits is True
    shards = prove("vllm", FACTS, settings, "tensor_parallel_size", 2)
    assert shards is not None
    assert shards.fits is True


def test_slots_of_ollama_have_the_length_of_one_request_each() -> None:
    setup = setup_of("ollama", FACTS, {"max_running_requests": 4, "max_model_length_tokens": 8192})
    assert setup.context_tokens == 32_768
    more = prove(
        "ollama",
        replace(FACTS, weight_dtype="q4_k_m"),
        {"max_running_requests": 4, "max_model_length_tokens": 8192},
        "max_running_requests",
        16,
    )
    assert more is not None
    assert more.fits is True
    assert more.before is not None
    assert more.after == pytest.approx(more.before + 12 * 8192 * KV)


def test_eight_bits_of_llama_cpp_are_eight_and_a_half() -> None:
    settings = {"max_running_requests": 4, "context_tokens": 32_768}
    facts = replace(FACTS, weight_dtype="q4_k_m", kv_dtype="fp16")
    halved = prove("llamacpp", facts, settings, "kv_cache_dtype", "int8")
    assert halved is not None
    assert halved.before is not None
    assert halved.after == pytest.approx(halved.before - 32_768 * KV * 15 / 32)
