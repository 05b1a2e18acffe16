"""What the catalogues say: complete, consistent, and as the reference has it."""

import re
from typing import get_args

import pytest

from recommender.inventory import DeclaredSettings, Engine
from recommender.knobs import Knob, KnobType, engines, load
from recommender.model import Apply, Risk

GIB = 2**30
EVERY = [(engine, knob) for engine in engines() for knob in load(engine).knobs]
named = pytest.mark.parametrize(
    "knob", [knob for _, knob in EVERY], ids=[f"{engine}-{knob.name}" for engine, knob in EVERY]
)


def knob_of(engine: str, name: str, version: str | None = None) -> Knob:
    catalog = load(engine) if version is None else load(engine).at(version)
    found = catalog.get(name)
    assert found is not None
    return found


def test_every_engine_but_the_one_without_knobs_has_a_catalogue() -> None:
    assert set(get_args(Engine)) - set(engines()) == {"dynamo"}
    assert set(engines()) - set(get_args(Engine)) == {"lmcache"}


@named
def test_a_knob_has_a_neutral_name_a_source_and_a_note(knob: Knob) -> None:
    assert knob.name in DeclaredSettings.model_fields
    assert re.match(r"(engine-knobs|tuning) ", knob.source)
    assert knob.notes.endswith(".")


def test_what_a_change_costs_is_said() -> None:
    assert [knob.name for engine, knob in EVERY if not load(engine).cost(knob)] == []


@named
def test_only_what_acts_at_once_is_called_live(knob: Knob) -> None:
    assert (knob.apply is Apply.LIVE) == bool(knob.live_calls) == (knob.risk is Risk.LIVE)


@named
def test_a_change_of_answers_is_never_a_mere_restart(knob: Knob) -> None:
    if knob.name in {"kv_cache_dtype", "weight_quantization", "max_model_length_tokens"}:
        assert knob.risk is Risk.QUALITY


def test_what_another_knob_must_be_names_a_knob_of_the_engine() -> None:
    for engine, knob in EVERY:
        assert {each.knob for each in knob.conflicts} <= {other.name for other in load(engine).knobs}


def test_what_has_no_bounds_is_left_when_the_version_is_unknown() -> None:
    for engine in engines():
        whole, unknown = load(engine), load(engine).at(None)
        assert {k.name for k in unknown.knobs} == {k.name for k in whole.knobs if k.since is None and k.until is None}
        assert all(not (knob.values_since.keys() & set(knob.choices)) for knob in unknown.knobs)


@pytest.mark.parametrize(
    ("version", "known"),
    [("0.13.0", False), ("0.14.0", True), ("0.32.0", True), ("0.14.0rc1", False), ("main", False)],
)
def test_kv_offload_of_vllm_is_proposed_only_where_it_is_known(version: str, known: bool) -> None:
    assert (load("vllm").at(version).get("kv_offload_bytes") is not None) is known


@pytest.mark.parametrize(
    ("version", "fraction"),
    [("0.11.0", 0.9), ("0.19.0", 0.9), ("0.20.0", 0.92), ("0.32.0", 0.92), ("0.20.0rc1", None), ("unknown", None)],
)
def test_the_memory_fraction_of_vllm_depends_on_the_version(version: str, fraction: float | None) -> None:
    assert knob_of("vllm", "kv_cache_memory_fraction", version).default_on() == fraction


def test_no_default_of_a_bound_counts_before_the_catalogue_is_narrowed() -> None:
    assert knob_of("vllm", "kv_cache_memory_fraction").default_on() is None


@pytest.mark.parametrize(
    ("memory", "gpu", "sequences", "tokens"),
    [
        (80 * GIB, "NVIDIA H100 80GB HBM3", 1024, 8192),
        (80 * GIB, "NVIDIA A100-SXM4-80GB", 256, 2048),
        (24 * GIB, "NVIDIA L4", 256, 2048),
        (24 * GIB, None, 256, 2048),
        (180 * GIB, None, 1024, 16384),
        (80 * GIB, None, None, None),
        (None, "NVIDIA H100 80GB HBM3", None, None),
    ],
)
def test_batch_limits_of_vllm_depend_on_the_device(
    memory: float | None, gpu: str | None, sequences: int | None, tokens: int | None
) -> None:
    for name, expected in (("max_running_requests", sequences), ("max_batched_tokens", tokens)):
        assert knob_of("vllm", name, "0.32.0").default_on(memory_bytes=memory, gpu_name=gpu) == expected


@pytest.mark.parametrize(
    ("memory", "chunk"), [(16 * GIB, 2048), (24 * GIB, 4096), (80 * GIB, 8192), (192 * GIB, 16384), (None, None)]
)
def test_the_prefill_chunk_of_sglang_depends_on_the_device(memory: float | None, chunk: int | None) -> None:
    assert knob_of("sglang", "max_batched_tokens", "0.5.23").default_on(memory_bytes=memory) == chunk


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "tensorrt_llm"])
@pytest.mark.parametrize(("capability", "allowed"), [(8.0, False), (8.9, True), (9.0, True), (None, None)])
def test_fp8_needs_a_gpu_that_computes_in_it(engine: str, capability: float | None, allowed: bool | None) -> None:
    knob = knob_of(engine, "kv_cache_dtype")
    assert knob.allowed_on("fp8", compute_capability=capability) is allowed
    assert knob.allowed_on("auto", compute_capability=capability) is True
    assert knob.allowed_on("fp9", compute_capability=capability) is False


def test_four_bit_weights_need_another_checkpoint_and_fp8_does_not() -> None:
    for engine in ("vllm", "sglang", "tgi"):
        knob = knob_of(engine, "weight_quantization")
        assert knob.needs_checkpoint("int4")
        assert not knob.needs_checkpoint("fp8")
        assert not knob.needs_checkpoint("none")


def test_a_value_that_does_not_go_with_another_knob_is_said() -> None:
    catalog = load("vllm")
    said = catalog.conflicts("max_batched_tokens", 512, {"max_running_requests": 1024})
    assert said == ("--max-num-batched-tokens must be at least --max-num-seqs",)
    assert catalog.conflicts("max_batched_tokens", 2048, {"max_running_requests": 1024}) == ()
    assert catalog.conflicts("max_batched_tokens", 512, {}) == ()
    assert catalog.conflicts("max_running_requests", 4096, {"max_batched_tokens": 2048}) == said
    assert catalog.conflicts("no_such_knob", 1, {}) == ()


@pytest.mark.parametrize(
    ("engine", "settings", "neutral"),
    [
        ("vllm", {"kv-offloading-size": 12.5, "kv-cache-dtype": "fp8"}, {"kv_offload_bytes": int(12.5 * GIB)}),
        ("vllm", {"max-model-len": "32k", "tp": 2}, {"max_model_length_tokens": 32000, "tensor_parallel_size": 2}),
        ("vllm", {"max-model-len": "32K"}, {"max_model_length_tokens": 32768}),
        ("vllm", {"max-model-len": "auto"}, {}),
        ("vllm", {"no-enable-chunked-prefill": True}, {"chunked_prefill": False}),
        ("vllm", {"quantization": "gptq_marlin"}, {"weight_quantization": "int4"}),
        ("vllm", {"quantization": "compressed-tensors"}, {}),
        ("vllm", {"speculative-config.method": "eagle3"}, {"speculative_decoding": "eagle3"}),
        ("sglang", {"disable-radix-cache": True}, {"prefix_caching": False}),
        ("sglang", {"hicache-size": 16}, {"kv_offload_bytes": 16 * 10**9}),
        ("sglang", {"tensor-parallel-size": 4}, {"tensor_parallel_size": 4}),
        ("sglang", {"chunked-prefill-size": -1}, {}),
        ("tgi", {"PREFIX_CACHING": "1", "NUM_SHARD": "2"}, {"prefix_caching": True, "tensor_parallel_size": 2}),
        ("tgi", {"PREFIX_CACHING": "true", "CUDA_GRAPHS": "1,2,4,8"}, {"prefix_caching": True, "graph_max_batch": 8}),
        ("tensorrt_llm", {"kv_cache_config.dtype": "fp8"}, {"kv_cache_dtype": "fp8"}),
        ("llamacpp", {"LLAMA_ARG_N_PARALLEL": "4"}, {"max_running_requests": 4}),
        ("llamacpp", {"LLAMA_ARG_N_PARALLEL": "-1"}, {}),
        ("llamacpp", {"LLAMA_ARG_CACHE_RAM": "8192"}, {"kv_offload_bytes": 8 * GIB}),
        ("llamacpp", {"LLAMA_ARG_CACHE_TYPE_K": "q8_0"}, {"kv_cache_dtype": "int8"}),
        ("ollama", {"OLLAMA_KEEP_ALIVE": "1h30m"}, {"model_keep_alive_seconds": 5400}),
        ("ollama", {"OLLAMA_KEEP_ALIVE": "-5m"}, {"model_keep_alive_seconds": -1}),
        ("ollama", {"OLLAMA_KEEP_ALIVE": 600}, {"model_keep_alive_seconds": 600}),
        ("ollama", {"OLLAMA_KEEP_ALIVE": "soon", "OLLAMA_HOST": "0.0.0.0"}, {}),
        ("lmcache", {"max_local_cpu_size": 5.0, "local_cpu": False}, {"external_cache_hot": False}),
    ],
)
def test_the_engines_own_words_and_units_become_neutral(
    engine: str, settings: dict[str, bool | float | str], neutral: dict[str, object]
) -> None:
    found = load(engine).neutral(settings)
    assert neutral.items() <= found.items()
    assert neutral or not found


@pytest.mark.parametrize(
    ("engine", "name", "neutral", "written"),
    [
        ("vllm", "kv_offload_bytes", 16 * GIB, 16),
        ("sglang", "kv_offload_bytes", 16 * 10**9 + 7, 16),
        ("llamacpp", "kv_offload_bytes", 8 * GIB + 1, 8192),
        ("sglang", "kv_cache_dtype", "fp8", "fp8_e4m3"),
        ("tgi", "kv_cache_dtype", "fp8", "fp8_e4m3fn"),
        ("tgi", "graph_max_batch", 48, "1,2,4,8,16,32,48"),
        ("tensorrt_llm", "capacity_policy", "max_utilization", "MAX_UTILIZATION"),
        ("ollama", "model_keep_alive_seconds", -1, "-1s"),
        ("ollama", "kv_cache_dtype", "int8", "q8_0"),
        ("lmcache", "external_cache_bytes", 5 * GIB, 5),
    ],
)
def test_neutral_values_become_the_engines_own(engine: str, name: str, neutral: object, written: object) -> None:
    assert knob_of(engine, name).to_engine(neutral) == written  # type: ignore[arg-type] - any knob value


def test_a_change_carries_both_spellings() -> None:
    change = knob_of("sglang", "kv_cache_dtype").change(
        "sglang", "auto", "fp8", reason="", formula="", inputs={"kv_bytes": 1.0}
    )
    assert (change.old, change.new, change.written_old, change.written_new) == ("auto", "fp8", "auto", "fp8_e4m3")
    assert (change.flag, change.config_key, change.env, change.step) == (
        "--kv-cache-dtype",
        "kv-cache-dtype",
        None,
        "auto -> fp8_e4m3",
    )


def test_what_is_had_by_leaving_a_flag_out_is_said_to_be() -> None:
    knob = knob_of("sglang", "prefix_caching")
    change = knob.change("sglang", old=False, new=True, reason="", formula="", inputs={})
    assert (change.unset, change.config_key, change.step) == (True, "disable-radix-cache", "True -> left out")
    with pytest.raises(ValueError, match="true is had by leaving --disable-radix-cache out"):
        knob.to_engine(value=True)
    speculation = knob_of("vllm", "speculative_decoding").change(
        "vllm", "ngram", "none", reason="", formula="", inputs={}
    )
    assert (speculation.unset, speculation.config_key) == (True, "speculative-config")


def test_an_illegal_value_is_no_change() -> None:
    with pytest.raises(ValueError, match="0 is not legal for --max-num-seqs"):
        knob_of("vllm", "max_running_requests").change("vllm", 8, 0, reason="", formula="", inputs={})


def test_engines_that_count_in_larger_units_get_whole_ones() -> None:
    assert knob_of("llamacpp", "kv_offload_bytes").legal_at_or_below(8 * GIB + 12345) == 8 * GIB
    assert knob_of("llamacpp", "kv_offload_bytes").legal_at_or_below(1000) == 0


def test_numbers_have_bounds_and_words_have_words() -> None:
    for _, knob in EVERY:
        assert (knob.type in {KnobType.BOOL, KnobType.CHOICE}) == bool(knob.words)
