"""KV bytes, weights and pools against the figures of tuning §2.1, and what must hold of any model."""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.gpus import GPUS
from recommender.models import common_model
from recommender.sizing.dtypes import KV_DTYPES, WEIGHT_DTYPES
from recommender.sizing.memory import (
    concurrency_from_memory,
    kv_bytes_of_sequence,
    kv_bytes_per_token,
    kv_pool_tokens,
    model_weight_bytes,
    weight_bytes,
)
from recommender.sizing.model_facts import Attention, ModelFacts
from recommender.sizing.result import NotApplicable, Sized

KIB = 1024


def model(name: str) -> ModelFacts:
    """A row of the shipped table."""
    found = common_model(name)
    assert found is not None, name
    return found


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("meta-llama/Llama-2-7b-hf", 512),
        ("meta-llama/Llama-3.1-8B", 128),
        ("mistralai/Mistral-7B-v0.3", 128),
        ("mistralai/Mixtral-8x7B-v0.1", 128),
        ("Qwen/Qwen2.5-7B", 56),
        ("Qwen/Qwen3-8B", 144),
        ("Qwen/Qwen2.5-32B", 256),
        ("Qwen/Qwen3-32B", 256),
        ("Qwen/Qwen3-30B-A3B", 96),
        ("meta-llama/Llama-3.1-70B", 320),
        ("Qwen/Qwen3-235B-A22B", 188),
        ("meta-llama/Llama-3.1-405B", 504),
        ("openai/gpt-oss-20b", 48),
        ("openai/gpt-oss-120b", 72),
    ],
)
def test_kv_bytes_of_a_token_are_those_of_the_published_table_exactly(name: str, kib: int) -> None:
    assert kv_bytes_per_token(model(name), "bf16") == kib * KIB
    assert kv_bytes_per_token(model(name), "fp8") == kib * KIB / 2


def test_latent_attention_keeps_one_vector_on_every_rank() -> None:
    deepseek = model("deepseek-ai/DeepSeek-V3")
    assert kv_bytes_per_token(deepseek, "bf16") / KIB == pytest.approx(68.6, abs=0.05)  # printed with one decimal
    assert kv_bytes_per_token(deepseek, "fp8") / KIB == pytest.approx(34.3, abs=0.05)
    assert kv_bytes_per_token(deepseek, "bf16", tensor_parallel=8) == kv_bytes_per_token(deepseek, "bf16")
    assert kv_bytes_per_token(deepseek, "fp8_ds_mla") == 61 * 656


@pytest.mark.parametrize(
    ("name", "tokens", "ranks", "mib"),
    [
        ("meta-llama/Llama-3.1-8B", 16, 1, 2.0),
        ("Qwen/Qwen2.5-7B", 16, 1, 0.87),
        ("meta-llama/Llama-3.1-70B", 16, 4, 1.25),
        ("deepseek-ai/DeepSeek-V2-Lite", 64, 1, 1.9),
    ],
)
def test_block_sizes_that_vllm_published_follow_within_a_hundredth(
    name: str, tokens: int, ranks: int, mib: float
) -> None:
    block = tokens * kv_bytes_per_token(model(name), "bf16", tensor_parallel=ranks)
    assert block / 2**20 == pytest.approx(mib, rel=0.01)


def test_layers_with_a_window_keep_no_more_than_it() -> None:
    small = model("openai/gpt-oss-20b")
    assert kv_bytes_per_token(small, "bf16", context_tokens=128) == 48 * KIB
    assert kv_bytes_per_token(small, "bf16", context_tokens=131_072) / KIB == pytest.approx(24, rel=0.001)
    large = model("openai/gpt-oss-120b")
    assert kv_bytes_per_token(large, "bf16", context_tokens=131_072) / KIB == pytest.approx(36, rel=0.001)
    gemma = model("google/gemma-3-27b-it")  # 10 full layers, 52 with 1024 tokens; 16 heads of 128
    expected = 2 * 16 * 128 * 2 * (10 * 32_768 + 52 * 1024)
    assert kv_bytes_of_sequence(gemma, "bf16", 32_768) == pytest.approx(expected)


def test_a_linear_layer_keeps_nothing_of_a_token() -> None:
    hybrid = replace(model("Qwen/Qwen3-8B"), linear_layers=27)
    assert kv_bytes_per_token(hybrid, "bf16") == 36 * KIB  # 9 of 36 layers
    assert kv_bytes_per_token(replace(hybrid, linear_layers=36), "bf16") == 0
    refused = kv_pool_tokens(replace(hybrid, linear_layers=36), device_bytes=80e9, weight_dtype="bf16", kv_dtype="bf16")
    assert isinstance(refused, NotApplicable)


def test_four_bits_with_block_scales_are_3_56_times_smaller_than_sixteen() -> None:
    llama = model("meta-llama/Llama-3.1-8B")
    bf16, fp8, fp4 = (kv_bytes_per_token(llama, name) for name in ("bf16", "fp8", "nvfp4"))
    assert bf16 / fp4 == pytest.approx(3.56, abs=0.005)
    assert fp8 / fp4 == pytest.approx(1.78, abs=0.005)
    assert kv_bytes_per_token(llama, "q8_0") / fp8 == pytest.approx(34 / 32)
    assert kv_bytes_per_token(llama, "int8_per_token_head") == 2 * 32 * 8 * (128 + 4)  # an FP32 scale a head


class Worked(NamedTuple):
    """A worked example of tuning §2.1: what it is of, and the tokens and requests that it prints in three digits."""

    model: str
    gpu: str
    weights: str
    kv: str
    tokens: float
    short: int  # requests of 2,500 tokens
    long: int  # of 8,500
    ranks: int = 1
    rest: float = 3e9


WORKED = [
    Worked("meta-llama/Llama-3.1-8B", "h100_sxm", "bf16", "bf16", 404e3, 161, 47),
    Worked("meta-llama/Llama-3.1-8B", "h100_sxm", "fp8", "bf16", 457e3, 182, 53),
    Worked("meta-llama/Llama-3.1-8B", "h100_sxm", "fp8", "fp8", 914e3, 365, 107),
    Worked("meta-llama/Llama-3.1-8B", "l4", "bf16", "bf16", 19e3, 7, 2),
    Worked("meta-llama/Llama-3.1-8B", "l4", "fp8", "bf16", 72e3, 29, 8),
    Worked("meta-llama/Llama-3.1-8B", "l4", "fp8", "fp8", 145e3, 57, 17),
    # The text says 10 GB for the 70B; the printed figures are those of 3 GB on one GPU, and of 10 GB over four.
    Worked("meta-llama/Llama-3.1-70B", "h200", "fp8", "bf16", 158e3, 63, 18),
    Worked("meta-llama/Llama-3.1-70B", "h200", "fp8", "fp8", 317e3, 126, 37),
    Worked("meta-llama/Llama-3.1-70B", "h100_sxm", "bf16", "bf16", 418e3, 167, 49, ranks=4, rest=2.5e9),
]


@pytest.mark.parametrize("case", WORKED)
def test_worked_examples_follow_within_two_hundredths(case: Worked) -> None:
    pool = kv_pool_tokens(
        model(case.model),
        device_bytes=GPUS[case.gpu].memory_bytes,
        weight_dtype=case.weights,
        kv_dtype=case.kv,
        tensor_parallel=case.ranks,
        activations=case.rest,
    )
    assert isinstance(pool, Sized)
    assert pool.value == pytest.approx(case.tokens, rel=0.02)
    for each, printed in ((2500, case.short), (8500, case.long)):
        requests = concurrency_from_memory(pool.value, each, fill=1.0)
        assert isinstance(requests, Sized)
        assert requests.value == pytest.approx(printed, abs=max(1, 0.02 * printed))


def test_concurrency_leaves_a_tenth_of_the_cache_free() -> None:
    held = concurrency_from_memory(100_000, 1000)
    assert isinstance(held, Sized)
    assert held.value == 90
    assert isinstance(concurrency_from_memory(None, 1000), NotApplicable)
    assert isinstance(concurrency_from_memory(100_000, None), NotApplicable)


def test_an_unknown_fact_gives_no_tokens_and_weights_that_do_not_fit_none_either() -> None:
    llama = model("meta-llama/Llama-3.1-70B")
    assert isinstance(kv_pool_tokens(llama, device_bytes=None, weight_dtype="fp8", kv_dtype="fp8"), NotApplicable)
    no_room = kv_pool_tokens(llama, device_bytes=80e9, weight_dtype="bf16", kv_dtype="bf16")
    assert isinstance(no_room, NotApplicable)
    assert "leave nothing" in no_room.reason


def test_weights_of_published_checkpoints_follow() -> None:
    # llama.cpp's own sizes of Llama-3.1-8B, and those of gpt-oss's model card: printed with two and one decimals.
    llama = model("meta-llama/Llama-3.1-8B")
    sizes = {"q4_k_m": 4.58, "q5_k_m": 5.33, "q6_k": 6.14, "q8_0": 7.95, "q4_0": 4.34, "bf16": 14.96}
    for name, gib in sizes.items():
        assert model_weight_bytes(llama, name) / 2**30 == pytest.approx(gib, abs=0.006), name
    for name, gib in (("openai/gpt-oss-20b", 12.8), ("openai/gpt-oss-120b", 60.8)):
        assert model_weight_bytes(model(name), "mxfp4") / 2**30 == pytest.approx(gib, rel=0.005), name
    assert model_weight_bytes(llama, "fp8") < model_weight_bytes(llama, "bf16")


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'gptq' is not a known type"):
        weight_bytes(1e9, "gptq")
    with pytest.raises(ValueError, match="'turbo' is not a known type"):
        kv_bytes_per_token(model("Qwen/Qwen3-8B"), "turbo")


@st.composite
def models(draw: st.DrawFn) -> ModelFacts:
    """Any model: heads in groups, some layers with a window, some with a constant state, or latent attention."""
    layers = draw(st.integers(1, 200))
    kv_heads = draw(st.integers(1, 64))
    sliding = draw(st.integers(0, layers))
    latent = draw(st.booleans())
    parameters = draw(st.floats(1e6, 1e12))
    return ModelFacts(
        name="any",
        layers=layers,
        hidden_size=draw(st.integers(1, 20_000)),
        heads=kv_heads * draw(st.integers(1, 16)),
        kv_heads=kv_heads,
        head_dim=draw(st.integers(1, 512)),
        attention=Attention.MLA if latent else Attention.GQA,
        latent_dim=draw(st.integers(1, 2048)) if latent else None,
        rope_dim=draw(st.integers(0, 256)) if latent else None,
        sliding_window=draw(st.integers(1, 8192)) if sliding else None,
        sliding_layers=sliding,
        linear_layers=draw(st.integers(0, layers - sliding)),
        parameters=parameters,
        active_parameters=parameters,
        vocab_size=draw(st.integers(1, 300_000)),
        max_length=None,
        weight_dtype="bf16",
        source="drawn",
        kept_parameters=draw(st.floats(0, 1)) * parameters,
    )


@given(models(), st.sampled_from(sorted(KV_DTYPES)), st.integers(1, 16), st.integers(1, 200_000))
def test_bytes_of_a_token_are_never_negative_and_ranks_and_windows_never_add_any(
    any_model: ModelFacts, dtype: str, ranks: int, context: int
) -> None:
    whole = kv_bytes_per_token(any_model, dtype)
    assert math.isfinite(whole)
    assert whole >= 0
    assert (whole == 0) == (any_model.linear_layers == any_model.layers)
    assert kv_bytes_per_token(any_model, dtype, tensor_parallel=2 * ranks) <= kv_bytes_per_token(
        any_model, dtype, tensor_parallel=ranks
    )
    kept = kv_bytes_of_sequence(any_model, dtype, context)
    assert kept <= whole * context * (1 + 1e-12)
    assert kv_bytes_of_sequence(any_model, dtype, context + 1) >= kept * (1 - 1e-12)


@given(models())
def test_a_layer_more_never_takes_less_and_eight_bits_are_half_of_sixteen(any_model: ModelFacts) -> None:
    deeper = replace(any_model, layers=any_model.layers + 1)
    assert kv_bytes_per_token(deeper, "bf16") > kv_bytes_per_token(any_model, "bf16")
    assert kv_bytes_per_token(any_model, "fp8") == kv_bytes_per_token(any_model, "bf16") / 2


@given(models(), st.sampled_from(sorted(WEIGHT_DTYPES)), st.integers(1, 64))
def test_weights_are_positive_and_no_type_takes_more_than_fp32(any_model: ModelFacts, dtype: str, ranks: int) -> None:
    one = model_weight_bytes(any_model, dtype)
    assert 0 < one <= model_weight_bytes(any_model, "fp32") * (1 + 1e-9)
    assert model_weight_bytes(any_model, dtype, ranks=ranks) == pytest.approx(one / ranks)
