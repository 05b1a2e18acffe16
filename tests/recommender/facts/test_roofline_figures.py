"""What MFU and MBU are counted against without a `roofline`: the model and the hardware of the inventory."""

import pytest

from recommender.inventory import ServiceConfig, parse_inventory
from recommender.roofline_figures import roofline_figures


def service(text: str) -> ServiceConfig:
    """The one service of an inventory."""
    return parse_inventory(f"services:\n  chat: {{engine: vllm, {text}}}\n").services["chat"]


LLAMA = "model: meta-llama/Llama-3.1-8B-Instruct, settings: {kv_cache_dtype: auto}"


def test_they_follow_from_the_model_and_its_hardware_as_one_would_write_them() -> None:
    figures = "active_parameters: 8030261248, weight_bytes: 16060522496, kv_bytes_per_token: 131072"
    written = service(f"roofline: {{gpu: h100_sxm, {figures}}}")
    derived = service(f"{LLAMA}, hardware: {{gpu: h100_sxm, gpus_per_replica: 1}}")
    assert roofline_figures("chat", derived) == roofline_figures("chat", written)


def test_all_gpus_of_a_replica_count_and_so_do_copies_of_kv_heads() -> None:
    sharded = service(
        "model: Qwen/Qwen2.5-7B-Instruct, settings: {kv_cache_dtype: fp8, tensor_parallel_size: 8}, "
        "hardware: {gpu: h200, gpus_per_replica: 8, weight_dtype: fp8}"
    )
    figures = roofline_figures("chat", sharded)
    assert figures["flops_per_second"] == pytest.approx(8 * 1979e12)
    assert figures["bytes_per_second"] == pytest.approx(8 * 4.8e12)
    assert figures["kv_bytes_per_token"] == 2 * 28 * 1024  # 4 KV heads on 8 ranks: twice 28 KiB


@pytest.mark.parametrize(
    "text",
    [
        "model: unheard-of, hardware: {gpu: h200, gpus_per_replica: 1}, settings: {kv_cache_dtype: auto}",
        LLAMA,
        "model: Qwen/Qwen3-30B-A3B, hardware: {gpu: h200, gpus_per_replica: 1}, settings: {kv_cache_dtype: auto}",
        f"{LLAMA}, hardware: {{gpu: h200}}",
        "model: meta-llama/Llama-3.1-8B-Instruct, hardware: {gpu: h200, gpus_per_replica: 1}",
        f"{LLAMA}, hardware: {{gpu: h200, gpus_per_replica: 1, weight_dtype: int8}}",  # W8A8 or W8A16
        f"{LLAMA}, hardware: {{gpu: b200, gpus_per_replica: 1, weight_dtype: nvfp4}}",  # no sheet row of FP4
    ],
)
def test_an_unknown_figure_gives_none(text: str) -> None:
    assert roofline_figures("chat", service(text)) == {}


def test_weights_of_eight_bits_are_computed_in_sixteen_where_the_gpu_has_no_more() -> None:
    on_ampere = service(f"{LLAMA}, hardware: {{gpu: a100_80gb, gpus_per_replica: 1, weight_dtype: fp8}}")
    assert roofline_figures("chat", on_ampere)["flops_per_second"] == 312e12
