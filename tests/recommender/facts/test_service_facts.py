"""Facts of a service: who says them, in which order, what a contradiction does, and what is asked for."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recommender.errors import ConfigError
from recommender.facts import ServiceFacts, facts_of
from recommender.gpus import GPUS, Link, gpu_of_product
from recommender.inventory import ServiceConfig, parse_inventory
from recommender.model import Evidence, Fact, KnobValue, Reading

CAPTURES = Path(__file__).parents[2] / "data" / "captures" / "nvidia_gpu_exporter"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS = (
    "model",
    "gpu",
    "gpus_per_replica",
    "tensor_parallel",
    "weight_dtype",
    "kv_dtype",
    "price_per_replica_hour",
)


def service(text: str) -> ServiceConfig:
    """The one service of an inventory, given the entries below its name."""
    return parse_inventory(f"services:\n  chat: {{engine: vllm, {text}}}\n").services["chat"]


def evidence(told: dict[str, str] | None = None, readings: dict[str, float] | None = None, **more: str) -> Evidence:
    """Evidence in which one replica tells these words and readings; `more` are words of a second replica."""
    words = {"10.0.0.1:8000": told or {}, "10.0.0.2:8000": more}
    return Evidence(
        service="chat",
        at=AT,
        replica_readings={
            "10.0.0.1:8000": {
                name: Reading(name=name, query=name, value=value, instance="10.0.0.1:8000")
                for name, value in (readings or {}).items()
            }
        },
        replica_facts={
            instance: {
                name: Fact(name=name, value=value, query=f"info of {name}", instance=instance)
                for name, value in facts.items()
            }
            for instance, facts in words.items()
            if facts
        },
    )


def asked(facts: ServiceFacts) -> dict[str, str]:
    """How each missing fact can be given."""
    return {ask.fact: ask.how for ask in facts.asks}


def test_nothing_known_gives_no_fact_and_asks_for_each_by_a_key_of_the_inventory() -> None:
    facts = facts_of(None, evidence())
    assert facts == ServiceFacts(asks=facts.asks)
    assert tuple(asked(facts)) == FIELDS
    for how in asked(facts).values():
        assert "services.chat." in how


def test_following_every_ask_leaves_none() -> None:
    facts = facts_of(
        service(
            "model: Qwen/Qwen3-8B-FP8, hardware: {gpu: l40s, gpus_per_replica: 2}, cost: {per_replica_hour: 3}, "
            "settings: {kv_cache_dtype: auto, tensor_parallel_size: 2}"
        ),
        evidence(),
    )
    assert facts.asks == ()
    assert facts.model is not None
    assert facts.gpu is GPUS["l40s"]
    assert (facts.gpus_per_replica, facts.tensor_parallel, facts.price_per_replica_hour) == (2, 2, 3.0)
    assert (facts.model.name, facts.weight_dtype, facts.kv_dtype) == ("Qwen/Qwen3-8B-FP8", "fp8", "bf16")
    assert set(facts.sources) == set(FIELDS)


def test_an_ask_says_why_what_is_given_already_is_not_enough() -> None:
    facts = facts_of(service("model: our-own-8b, settings: {kv_cache_dtype: auto}"), evidence())
    assert asked(facts)["model"].startswith("the table does not have our-own-8b: set services.chat.model_config")
    assert asked(facts)["kv_dtype"].startswith("it is auto, which is what the model computes in: give the model, or")


def test_what_engines_and_devices_tell_needs_no_inventory() -> None:
    told = {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "kv_cache_dtype": "fp8_e4m3",
        "quantization": "fp8",
        "gpu_name": "NVIDIA H100 80GB HBM3",
    }
    facts = facts_of(None, evidence(told, {"replica:llm_tensor_parallel_size": 2}))
    assert facts.model is not None
    assert facts.gpu is GPUS["h100_sxm"]
    assert (facts.model.layers, facts.tensor_parallel, facts.weight_dtype, facts.kv_dtype) == (28, 2, "fp8", "fp8")
    assert facts.sources["gpu"] == "10.0.0.1:8000 (info of gpu_name)"


def test_one_gpu_a_replica_leaves_no_choice_of_ranks() -> None:
    assert facts_of(service("hardware: {gpus_per_replica: 1}"), evidence()).tensor_parallel == 1
    assert facts_of(service("hardware: {gpus_per_replica: 2}"), evidence()).tensor_parallel is None


@pytest.mark.parametrize(
    ("text", "told", "fact", "both"),
    [
        ("hardware: {gpu: l4}", {"gpu_name": "NVIDIA H200"}, "gpu", ("h200", "l4")),
        ("settings: {kv_cache_dtype: bf16}", {"kv_cache_dtype": "fp8"}, "kv_dtype", ("fp8", "bf16")),
        ("hardware: {weight_dtype: int4}", {"quantization": "fp8"}, "weight_dtype", ("fp8", "int4")),
        ("model: Qwen/Qwen3-8B", {"model": "Qwen/Qwen3-4B"}, "model", ("Qwen/Qwen3-4B", "Qwen/Qwen3-8B")),
        (
            "cost: {per_gpu_hour: 2, gpus_per_replica: 4}, hardware: {gpus_per_replica: 2}",
            {},
            "gpus_per_replica",
            ("2", "4"),
        ),
    ],
)
def test_a_contradiction_gives_no_fact_and_names_both(
    text: str, told: dict[str, str], fact: str, both: tuple[str, str]
) -> None:
    facts = facts_of(service(text), evidence(told))
    assert getattr(facts, fact) is None
    for each in both:
        assert f"says {each}" in asked(facts)[fact]
    assert fact not in facts.sources


def test_replicas_that_differ_contradict_each_other() -> None:
    facts = facts_of(None, evidence({"gpu_name": "NVIDIA H200"}, gpu_name="NVIDIA L4"))
    assert facts.gpu is None
    assert "10.0.0.2:8000" in asked(facts)["gpu"]


def test_a_configuration_file_goes_before_the_table_and_must_agree_with_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    shape = {
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 4096,
        "max_position_embeddings": 4096,
        "torch_dtype": "bfloat16",
    }
    path.write_text(json.dumps(shape), encoding="utf-8")
    facts = facts_of(service(f"model: tiny, model_config: {path}"), evidence({"kv_cache_dtype": "auto"}))
    assert facts.model is not None
    assert (facts.model.layers, facts.weight_dtype, facts.kv_dtype) == (4, "bf16", "bf16")
    assert str(path) in facts.sources["model"]
    contradicted = facts_of(service(f"model: Qwen/Qwen3-8B, model_config: {path}"), evidence())
    assert contradicted.model is None
    path.write_text('{"model_type": "llama4"}', encoding="utf-8")
    refused = facts_of(service(f"model: Qwen/Qwen3-8B, model_config: {path}"), evidence())
    assert refused.model is None
    assert "'llama4'" in asked(refused)["model"]


def test_an_engines_word_that_leaves_the_width_open_is_no_type() -> None:
    open_word = facts_of(service("model: Qwen/Qwen2.5-7B-Instruct"), evidence({"quantization": "gptq"}))
    assert open_word.weight_dtype is None
    assert "weight_dtype" in asked(open_word)
    named = facts_of(service("model: Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8"), evidence({"quantization": "gptq"}))
    assert named.weight_dtype == "int8"
    nothing = facts_of(service("model: Qwen/Qwen2.5-7B-Instruct"), evidence({"quantization": "None"}))
    assert nothing.weight_dtype == "bf16"


def test_a_tag_names_the_shape_and_its_engine_the_type() -> None:
    facts = facts_of(None, evidence({"model": "llama3.1:8b", "quantization": "Q4_K_M"}))
    assert facts.model is not None
    assert (facts.model.parameters, facts.weight_dtype) == (8_030_261_248, "q4_k_m")
    assert facts_of(None, evidence({"model": "llama3.1:8b"})).weight_dtype is None


def test_memory_is_what_the_driver_counts() -> None:
    free_and_used = {"gpu:gpu_memory_free_bytes": 8.552e9, "gpu:gpu_memory_used:ratio": 0.9}
    facts = facts_of(None, evidence({"gpu_name": "NVIDIA H100 80GB HBM3"}, free_and_used))
    assert facts.gpu is not None
    assert facts.gpu.memory_bytes == pytest.approx(85.52e9)
    assert facts.gpu.bytes_per_second == GPUS["h100_sxm"].bytes_per_second


def test_a_slice_of_a_gpu_is_not_the_gpu() -> None:
    slice_of = {"gpu:gpu_memory_free_bytes": 5e9, "gpu:gpu_memory_used:ratio": 0.5}
    facts = facts_of(service("hardware: {gpu: h100_sxm}"), evidence({}, slice_of))
    assert facts.gpu is None
    assert "counts 10 GB" in asked(facts)["gpu"]
    assert "gpu" not in facts.sources


def test_a_product_without_a_row_is_named_and_the_inventory_may_say_which_is_close() -> None:
    told = evidence({"gpu_name": "NVIDIA A100 80GB PCIe"})
    assert facts_of(None, told).gpu is None
    assert "NVIDIA A100 80GB PCIe has no row in the table of GPUs" in asked(facts_of(None, told))["gpu"]
    assert facts_of(service("hardware: {gpu: a100_80gb}"), told).gpu is GPUS["a100_80gb"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("model_confg: x", "unknown key 'model_confg' in services.chat; did you mean 'model_config'?"),
        ("hardware: {gpus: 2}", "unknown key 'gpus' in services.chat.hardware; did you mean 'gpu'?"),
        ("hardware: {gpu: h1000}", "'h1000' is not a known GPU; use one of t4, l4,"),
        ("hardware: {weight_dtype: gptq}", "'gptq' is not a known type of weights; use one of fp32, bf16,"),
        ("hardware: {gpus_per_replica: 0}", "services.chat.hardware.gpus_per_replica"),
        ("model_config: ''", "services.chat.model_config"),
    ],
)
def test_a_mistake_in_the_inventory_is_told_with_its_line_and_mend(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=r"inventory.yml line 2: ") as caught:
        service(text)
    assert error in str(caught.value)


def test_a_hostile_name_is_no_known_model_and_reaches_no_ask() -> None:
    hostile = '"} or vector(1) #\n{{ .Labels }}; rm -rf /'
    facts = facts_of(None, evidence({"model": hostile, "gpu_name": hostile, "quantization": hostile}))
    assert (facts.model, facts.gpu, facts.weight_dtype) == (None, None, None)
    assert hostile not in " ".join(asked(facts).values())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100_sxm"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA A100-SXM4-80GB", "a100_80gb"),
        ("A100-SXM4-40GB", "a100_40gb"),
        ("Tesla T4", "t4"),
        ("NVIDIA H100 PCIe", "h100_pcie"),
        ("NVIDIA GeForce RTX 4090", "rtx_4090"),
    ],
)
def test_products_are_known_by_the_names_that_drivers_give(name: str, key: str) -> None:
    assert gpu_of_product(name) is GPUS[key]


@pytest.mark.parametrize("page", sorted(CAPTURES.glob("*.prom")), ids=lambda page: page.stem)
def test_captured_devices_are_known_and_count_the_memory_of_their_sheet(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    name = re.search(r'nvidia_smi_gpu_info\{.*?,name="([^"]+)"', text)
    total = re.search(r"nvidia_smi_memory_total_bytes\{[^}]*\} (\S+)", text)
    assert name is not None
    assert total is not None
    gpu = gpu_of_product(name[1])
    assert gpu is not None
    assert 1.0 <= float(total[1]) / gpu.memory_bytes <= 1.08  # a sheet's gigabytes are decimal, and rounded down


def test_other_products_are_not_guessed_at() -> None:
    for name in ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA H100", "H200 NVL", "", "NVIDIA"):
        assert gpu_of_product(name) is None, name


def test_the_table_of_gpus_is_the_references() -> None:
    h100, t4, l4 = GPUS["h100_sxm"], GPUS["t4"], GPUS["l4"]
    assert (h100.memory_bytes, h100.compute_capability, h100.tdp_watts) == (80e9, 9.0, 700)
    assert (h100.link, h100.link_bytes_per_second, h100.nvlink) == (Link.NVLINK, 900e9, True)
    assert (t4.bf16, t4.fp8, t4.fp8_weights, l4.fp8, l4.nvlink) == (False, False, True, True, False)
    assert [name for name, gpu in GPUS.items() if gpu.fp8] == [
        "l4",
        "l40s",
        "h100_pcie",
        "h100_sxm",
        "h200",
        "b200",
        "rtx_4090",
    ]
    assert [name for name, gpu in GPUS.items() if gpu.fp4] == ["b200"]
    for name, gpu in GPUS.items():  # what FP8 computes in is on the sheet where the hardware has it, and only there
        assert gpu.fp8 == ("fp8" in gpu.flops), name


def test_what_configuration_files_set_is_a_fact_and_contradicts_the_inventory_and_the_engine() -> None:
    files: dict[str, dict[str, KnobValue]] = {
        "10.0.0.1:8000": {"kv_cache_dtype": "fp8", "weight_quantization": "fp8", "tensor_parallel_size": 2}
    }
    facts = facts_of(service("model: meta-llama/Llama-3.1-8B-Instruct"), evidence(), files)
    assert (facts.kv_dtype, facts.weight_dtype, facts.tensor_parallel) == ("fp8", "fp8", 2)
    assert facts.sources["kv_dtype"] == "the configuration file of 10.0.0.1:8000"
    declared = "settings: {kv_cache_dtype: auto, tensor_parallel_size: 1}, hardware: {weight_dtype: bf16}"
    wrong = facts_of(service(f"model: meta-llama/Llama-3.1-8B-Instruct, {declared}"), evidence(), files)
    assert (wrong.kv_dtype, wrong.weight_dtype, wrong.tensor_parallel) == (None, None, None)
    assert "the configuration file of 10.0.0.1:8000 says 2" in asked(wrong)["tensor_parallel"]
    other = facts_of(None, evidence({"kv_cache_dtype": "fp8"}), {"10.0.0.2:8000": {"kv_cache_dtype": "bf16"}})
    assert other.kv_dtype is None
