"""What is read of a model's own configuration: counts that its publisher prints, and refusals instead of guesses."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.models import Unreadable, common_models, read_config, read_config_file
from recommender.models.table import CommonModel
from recommender.sizing.memory import kv_bytes_per_token
from recommender.sizing.model_facts import Attention, ModelFacts

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3", "original_max_position_embeddings": 8192},
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_nextn_predict_layers": 1,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "experts_per_token": 4,
    "num_experts_per_tok": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "sliding_window": 128,
    "attention_bias": True,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
}
GEMMA3_4B: dict[str, Any] = {  # its text part leaves most of itself to the defaults of its class
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
    "torch_dtype": "bfloat16",
}


def read(config: dict[str, Any]) -> ModelFacts:
    """The facts of a configuration that is understood."""
    facts = read_config(config, name="it", source="a test")
    assert isinstance(facts, ModelFacts), facts
    return facts


def refusal(config: dict[str, Any]) -> str:
    """Why a configuration is not understood."""
    facts = read_config(config, name="it", source="a test")
    assert isinstance(facts, Unreadable)
    return facts.reason


@pytest.mark.parametrize("row", common_models(), ids=lambda row: next(iter(row.names)))
def test_the_parameters_counted_of_each_common_model_are_those_published(row: CommonModel) -> None:
    # Counts of safetensors files match exactly; DeepSeek prints its own in whole billions.
    tolerance = 1e-4 if row.parameters % 10**9 == 0 else 0.0
    for facts in row.facts().values():
        assert facts.parameters == pytest.approx(row.parameters, rel=tolerance, abs=0), facts.name


def test_active_parameters_are_those_that_publishers_print() -> None:
    by_name = {name: facts for row in common_models() for name, facts in row.facts().items()}
    billions = {
        "mistralai/Mixtral-8x7B-v0.1": 12.9,
        "mistralai/Mixtral-8x22B-Instruct-v0.1": 39,
        "Qwen/Qwen3-30B-A3B": 3.3,
        "Qwen/Qwen3-235B-A22B": 22,
        "deepseek-ai/DeepSeek-V3": 37,
        "deepseek-ai/DeepSeek-V2-Lite": 2.4,  # without its embeddings, which it counts apart
    }
    for name, printed in billions.items():
        assert by_name[name].active_parameters / 1e9 == pytest.approx(printed, rel=0.12), name


def test_no_name_is_in_two_rows() -> None:
    names = [name for row in common_models() for name in (*row.names, *row.tags)]
    assert len(names) == len(set(names))


def test_a_dense_model_is_read() -> None:
    facts = read(LLAMA)
    assert (facts.layers, facts.kv_heads, facts.head_dim, facts.max_length) == (32, 8, 128, 131072)
    assert (facts.weight_dtype, facts.activation_dtype, facts.sliding_layers, facts.experts) == ("bf16", "bf16", 0, 0)
    assert facts.parameters == facts.active_parameters == 8_030_261_248
    assert facts.kept_parameters == 2 * 128256 * 4096


def test_latent_attention_experts_and_block_quantization_are_read() -> None:
    facts = read(DEEPSEEK_V3)
    assert facts.attention is Attention.MLA
    assert (facts.latent_dim, facts.rope_dim, facts.weight_dtype, facts.max_length) == (512, 64, "fp8", 163840)
    assert (facts.experts, facts.experts_per_token) == (256, 8)
    assert facts.parameters == pytest.approx(671e9, rel=1e-3)  # the layer that predicts a token ahead is not loaded


def test_listed_layers_go_before_what_the_architecture_does() -> None:
    facts = read(GPT_OSS)
    assert (facts.sliding_layers, facts.sliding_window, facts.weight_dtype) == (12, 128, "mxfp4")
    assert facts.kept_parameters == pytest.approx(1.8e9, rel=0.01)  # all but the experts
    assert read({**GPT_OSS, "layer_types": ["full_attention"] * 24}).sliding_layers == 0
    assert "chunked_attention" in refusal({**GPT_OSS, "layer_types": ["chunked_attention"] * 24})


def test_a_nested_text_model_has_the_defaults_of_its_class() -> None:
    facts = read(GEMMA3_4B)
    assert (facts.heads, facts.kv_heads, facts.head_dim, facts.vocab_size) == (8, 4, 256, 262_208)
    assert (facts.sliding_layers, facts.sliding_window) == (29, 1024)
    assert facts.parameters == 4_300_079_472  # images' tower included


def test_windows_are_those_of_the_architecture() -> None:
    qwen = {
        **LLAMA,
        "model_type": "qwen2",
        "sliding_window": 4096,
        "max_window_layers": 28,
        "use_sliding_window": False,
    }
    assert read(qwen).sliding_layers == 0
    assert read({**qwen, "use_sliding_window": True}).sliding_layers == 4
    assert read({**LLAMA, "model_type": "mistral"}).sliding_layers == 32  # Mistral's class has one when none is told
    assert read({**LLAMA, "model_type": "mistral", "sliding_window": None}).sliding_layers == 0
    assert read({**LLAMA, "model_type": "gemma2", "num_hidden_layers": 41}).sliding_layers == 21


def test_yarn_stretches_what_the_model_was_trained_with() -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    stretched = {**LLAMA, "max_position_embeddings": 32768, "rope_scaling": scaling}
    assert read(stretched).max_length == 131072


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "int4",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "nvfp4-pack-quantized",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float"}}},
            },
            "nvfp4",
        ),
    ],
)
def test_the_type_of_quantized_weights_is_read(quantization: dict[str, Any], expected: str) -> None:
    facts = read({**LLAMA, "quantization_config": quantization})
    assert (facts.weight_dtype, facts.activation_dtype) == (expected, "bf16")


def test_a_checkpoint_with_scales_for_its_cache_makes_auto_eight_bits() -> None:
    scheme: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    assert read({**LLAMA, "quantization_config": scheme}).activation_dtype == "fp8"
    scheme = {"quant_method": "fp8", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    assert read({**LLAMA, "quantization_config": scheme}).activation_dtype == "fp8"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "llama4"}, "'llama4'"),
        ({"model_type": "mamba2"}, "'mamba2'"),
        ({"model_type": None}, "model_type ''"),
        ({"text_config": {"model_type": "llama"}, "model_type": "llava"}, "besides the text model"),
        ({"vocab_size": "many"}, "vocab_size is no count"),
        ({"hidden_size": -1}, "hidden_size is no count"),
        ({"num_attention_heads": 0}, "positive"),
        ({"num_key_value_heads": 5}, "KV heads must divide"),
        ({"torch_dtype": None}, "type of its weights"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "'bitsandbytes'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "'gptq'"),
        ({"model_type": "mixtral", "num_local_experts": 8}, "num_experts_per_tok"),
        ({"model_type": "qwen3_moe", "num_experts": 8, "decoder_sparse_step": 2}, "one layer in 2"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in refusal({**LLAMA, **change})


def test_a_missing_count_is_named() -> None:
    for key in ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"):
        assert f"it has no {key}" in refusal({name: value for name, value in LLAMA.items() if name != key})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 10**15) | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(LLAMA)), inner, max_size=4),
        max_leaves=6,
    ),
    st.sampled_from(sorted({*LLAMA, "head_dim", "layer_types", "quantization_config", "sliding_window"})),
    st.sampled_from(["llama", "mistral", "qwen2", "gemma2", "gpt_oss", "deepseek_v3", "mixtral"]),
)
def test_any_json_is_read_or_refused(value: object, key: str, kind: str) -> None:
    base = DEEPSEEK_V3 if kind == "deepseek_v3" else GPT_OSS if kind == "gpt_oss" else LLAMA
    read_config({**base, "model_type": kind, key: value}, name="it", source="a test")


def test_a_file_is_read_and_its_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "llama" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(LLAMA), encoding="utf-8")
    facts = read_config_file(path)
    assert isinstance(facts, ModelFacts)
    assert (facts.name, facts.source) == ("llama", str(path))
    for content, reason in (("{", "is no JSON"), ("[]", "is no JSON object"), (" " * 2_000_000, "more than")):
        path.write_text(content, encoding="utf-8")
        read_back = read_config_file(path)
        assert isinstance(read_back, Unreadable)
        assert reason in read_back.reason
    for nowhere in (tmp_path / "nowhere.json", tmp_path, tmp_path / "no\0path"):
        missing = read_config_file(nowhere)
        assert isinstance(missing, Unreadable)
        assert "cannot be read" in missing.reason


def test_the_cache_of_a_real_vllm_is_what_its_models_configuration_gives() -> None:
    # tests/data/captures/vllm: 4 layers, 4 heads, hidden 256, bfloat16, 1 GiB of cache (its README).
    captured = Path(__file__).parents[2] / "data" / "captures" / "vllm" / "idle.prom"
    line = next(each for each in captured.read_text().splitlines() if each.startswith("vllm:cache_config_info{"))
    told = {pair.split("=")[0]: pair.split("=")[1].strip('"') for pair in line[line.index("{") + 1 :].split('",')}
    tiny = {
        **LLAMA,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 4096,
        "max_position_embeddings": 4096,
    }
    facts = read(tiny)
    assert told["cache_dtype"] == "auto"
    held = int(told["kv_cache_memory_bytes"]) / kv_bytes_per_token(facts, facts.activation_dtype)
    assert held == int(told["kv_cache_size_tokens"]) == 262_144
