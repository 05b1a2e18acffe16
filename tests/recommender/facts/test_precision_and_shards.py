"""Fewer bits and more GPUs: what is published of them, and what the memory formulas make of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.gpus import GPUS
from recommender.models import common_model
from recommender.sizing.footprint import kv_bytes_per_token
from recommender.sizing.model_facts import ModelFacts
from recommender.sizing.parallelism import (
    Parallelism,
    Traffic,
    legal_tensor_parallel,
    scaling_efficiency,
    tokens_by_degree,
)
from recommender.sizing.quantization import (
    Gain,
    bytes_saved,
    kv_break_even_tokens,
    kv_dtype_ratio,
    tokens_gained,
    weight_gain,
)
from recommender.sizing.result import NotApplicable, Sized


def model(name: str) -> ModelFacts:
    """A row of the shipped table."""
    found = common_model(name)
    assert found is not None
    return found


LLAMA = model("meta-llama/Llama-3.1-8B")


def figure(result: Sized | NotApplicable) -> float:
    """The value of a formula that applies."""
    assert isinstance(result, Sized), result
    return result.value


@pytest.mark.parametrize(
    ("gpu", "dtype", "gain"),
    [
        ("h100_sxm", "fp8", Gain.COMPUTE),
        ("l4", "fp8", Gain.COMPUTE),
        ("a100_80gb", "fp8", Gain.MEMORY),  # W8A16: compute capability below 8.9
        ("t4", "fp8", Gain.MEMORY),
        ("a100_80gb", "int8", Gain.COMPUTE),
        ("b200", "int8", Gain.MEMORY),
        ("b200", "nvfp4", Gain.COMPUTE),
        ("h200", "nvfp4", Gain.NONE),
        ("a10g", "int4", Gain.MEMORY),
        ("t4", "bf16", Gain.NONE),
        ("t4", "fp16", Gain.COMPUTE),
        ("h200", "turbo", Gain.NONE),
    ],
)
def test_what_a_type_gains_hangs_on_the_hardware(gpu: str, dtype: str, gain: Gain) -> None:
    assert weight_gain(GPUS[gpu], dtype) is gain


def test_eight_bits_halve_all_but_the_embeddings() -> None:
    quantized = LLAMA.parameters - LLAMA.kept_parameters
    assert bytes_saved(LLAMA, "bf16", "fp8") == pytest.approx(quantized)
    assert bytes_saved(LLAMA, "bf16", "fp8", ranks=2) == pytest.approx(quantized / 2)
    assert bytes_saved(LLAMA, "fp8", "bf16") == pytest.approx(-quantized)


def test_the_tokens_that_eight_bit_weights_gain_are_those_published() -> None:
    # tuning §2.1: 8B on an L4 19 k -> 72 k, on an H100 404 k -> 457 k, both printed in whole thousands.
    gained = figure(tokens_gained(LLAMA, "bf16", "fp8", kv_dtype="bf16"))
    assert gained == pytest.approx(72e3 - 19e3, abs=1000)
    assert gained == pytest.approx(457e3 - 404e3, abs=1000)
    assert isinstance(tokens_gained(LLAMA, "fp8", "bf16", kv_dtype="bf16"), NotApplicable)


def test_a_cache_of_fewer_bits_holds_more_tokens_in_the_same_bytes() -> None:
    assert kv_dtype_ratio(LLAMA, "bf16", "fp8") == 2
    assert kv_dtype_ratio(LLAMA, "bf16", "nvfp4") == pytest.approx(3.56, abs=0.005)
    assert kv_dtype_ratio(LLAMA, "fp8", "nvfp4") == pytest.approx(1.78, abs=0.005)


def test_break_even_of_eight_bit_kv_is_what_was_measured() -> None:
    assert figure(kv_break_even_tokens(GPUS["h100_sxm"])) == 7000
    assert figure(kv_break_even_tokens(GPUS["b200"])) == 4000
    assert isinstance(kv_break_even_tokens(GPUS["l4"]), NotApplicable)


def test_degrees_divide_the_heads_and_keep_kv_heads_whole() -> None:
    assert legal_tensor_parallel(LLAMA, 16) == (1, 2, 4, 8, 16)
    assert legal_tensor_parallel(model("Qwen/Qwen2.5-7B"), 8) == (1, 2, 4)  # 28 heads, 4 of keys; 7 splits none
    assert legal_tensor_parallel(model("Qwen/Qwen2.5-14B"), 8) == (1, 2, 4, 8)  # 40 heads, 8 of keys; not 5
    assert legal_tensor_parallel(model("deepseek-ai/DeepSeek-V3"), 8) == (1, 2, 4, 8)


@pytest.mark.parametrize(
    ("kind", "traffic", "published"),
    [
        (Parallelism.TENSOR, Traffic.BALANCED, (0.83, 0.61, 0.40)),
        (Parallelism.TENSOR, Traffic.PREFILL, (0.58, 0.33, 0.18)),
        (Parallelism.PIPELINE, Traffic.BALANCED, (1.04, 0.83, 0.57)),
        (Parallelism.PIPELINE, Traffic.PREFILL, (1.03, 0.96, 0.79)),
    ],
)
def test_scaling_over_pcie_is_what_is_published_and_nothing_between(
    kind: Parallelism, traffic: Traffic, published: tuple[float, ...]
) -> None:
    found = tuple(figure(scaling_efficiency(degree, kind, traffic, nvlink=False)) for degree in (2, 4, 8))
    assert found == published
    assert figure(scaling_efficiency(1, kind, traffic, nvlink=False)) == 1
    assert isinstance(scaling_efficiency(3, kind, traffic, nvlink=False), NotApplicable)
    assert isinstance(scaling_efficiency(2, kind, traffic, nvlink=True), NotApplicable)


def test_two_gpus_that_one_nearly_filled_hold_more_than_twice_the_tokens() -> None:
    # 13.9 times the blocks, as published, is what weights of 0.923 of the room beside the activations give.
    room = 80e9 * 0.9 - 3e9
    nearly_full = replace(LLAMA, parameters=0.923 * room / 2, active_parameters=0.923 * room / 2, kept_parameters=0.0)
    shape = {"device_bytes": 80e9, "memory_fraction": 0.9}
    found = tokens_by_degree(nearly_full, (1, 2), weight_dtype="bf16", kv_dtype="bf16", **shape)
    assert figure(found) == pytest.approx(13.9, rel=0.02)
    assert figure(tokens_by_degree(LLAMA, (1, 2), weight_dtype="bf16", kv_dtype="bf16", **shape)) > 2
    too_large = tokens_by_degree(
        model("meta-llama/Llama-3.1-70B"), (1, 2), weight_dtype="bf16", kv_dtype="bf16", **shape
    )
    assert isinstance(too_large, NotApplicable)
    assert too_large.reason.startswith("at 1:")


@given(st.integers(1, 64), st.sampled_from(["bf16", "fp8", "q8_0", "nvfp4"]))
def test_the_ranks_of_a_replica_hold_at_least_all_of_its_cache(degree: int, dtype: str) -> None:
    each = kv_bytes_per_token(LLAMA, dtype, tensor_parallel=degree)
    assert degree * each >= kv_bytes_per_token(LLAMA, dtype)
    assert each >= kv_bytes_per_token(LLAMA, dtype) / LLAMA.kv_heads
