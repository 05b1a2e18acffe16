"""Defaults count as what runs only where nothing is left open, and say where they are from."""

from datetime import UTC, datetime

import pytest

from recommender.contracts import Configuration
from recommender.gpus import GPUS
from recommender.knobs import load
from recommender.knobs.derive import COMPLETE, GPU, VERSION, Defaults, Setting, defaults_of
from recommender.model import Evidence, KnobValue, Reading
from recommender.playbooks.defaults import defaults_here

SLOTS, BUDGET, HERE = "max_running_requests", "max_batched_tokens", "a:8000"


def _file(complete: bool = True, variables: bool = False, **settings: object) -> Configuration:
    named = {key.replace("_", "-") if not variables else key: value for key, value in settings.items()}
    values: dict[str, KnobValue] = {k: v for k, v in named.items() if isinstance(v, bool | int | float | str)}
    return Configuration("engine.yml", values, frozenset(named), variables, complete)


def _of(file: Configuration, version: str | None = "0.32.0", gpu: str | None = "l4", **known: KnobValue) -> Defaults:
    product = None if gpu is None else GPUS[gpu]
    memory, name = (None, None) if product is None else (product.memory_bytes, product.name)
    return defaults_of(file, Setting(load("vllm").at(version), version, memory, name, known))


def test_a_default_says_its_value_its_engine_its_source_and_the_file_that_lacks_the_key() -> None:
    found = _of(_file(model="m")).values[SLOTS]
    assert found.value == 256
    assert found.source == "default of vLLM 0.32.0 (engine-knobs §1), no max-num-seqs in engine.yml"


@pytest.mark.parametrize(("gpu", "slots"), [("l4", 256), ("a100_80gb", 256), ("h100_sxm", 1024), ("b200", 1024)])
def test_the_device_decides_between_defaults(gpu: str, slots: int) -> None:
    assert _of(_file(model="m"), gpu=gpu).values[SLOTS].value == slots


@pytest.mark.parametrize(
    ("file", "version", "gpu", "key"),
    [
        (_file(complete=False, model="m"), "0.32.0", "l4", COMPLETE),
        (_file(model="m"), None, "l4", VERSION),
        (_file(model="m"), "0.32.0", None, GPU),
        (_file(model="m"), "0.40.0", "l4", ""),  # newer than anybody read
        (_file(model="m"), "0.33.0.dev7+g12", "l4", ""),
        (_file(model="m", performance_mode="throughput"), "0.32.0", "l4", ""),
        (_file(model="m", max_num_batched_tokens=128), "0.32.0", "l4", ""),  # it lowers the other to fit
        (_file(model="m", max_num_batched_tokens=[1]), "0.32.0", "l4", ""),
    ],
)
def test_what_is_left_open_leaves_it_unknown_and_names_what_would_settle_it(
    file: Configuration, version: str | None, gpu: str | None, key: str
) -> None:
    found = _of(file, version, gpu)
    assert SLOTS not in found.values
    assert found.doubts[SLOTS].key == key


def test_a_patch_release_of_what_was_read_has_its_defaults() -> None:
    assert _of(_file(model="m"), "0.32.1").values[SLOTS].value == 256


@pytest.mark.parametrize("value", [None, "lots", [1, 2], {}])
def test_a_key_with_a_value_that_is_not_understood_is_neither_default_nor_doubt(value: object) -> None:
    found = _of(_file(model="m", max_num_seqs=value))
    assert found.unread == {SLOTS}
    assert SLOTS not in {*found.values, *found.doubts}


@pytest.mark.parametrize("file", [_file(model="m", tp=2), _file(model="m", tensor_parallel_size=2)])
def test_another_name_of_the_key_sets_the_knob_too(file: Configuration) -> None:
    assert "tensor_parallel_size" not in {*_of(file).values, *_of(file).doubts}


def test_something_around_the_key_may_hold_it() -> None:
    held = Configuration(
        "e.yml", {"speculative-config": '{"method": "ngram"}'}, frozenset({"speculative-config"}), False, True
    )
    assert "speculative_decoding" not in _of(held).values
    assert "speculative_decoding" in _of(_file(model="m")).values


def test_a_token_budget_needs_slots_times_the_longest_request() -> None:
    assert BUDGET not in _of(_file(model="m", max_num_seqs=64)).values
    assert _of(_file(model="m", max_num_seqs=64), max_model_length_tokens=8192).values[BUDGET].value == 2048
    assert BUDGET not in _of(_file(model="m", max_num_seqs=1), max_model_length_tokens=512).values
    assert _of(_file(model="m", max_model_len="8k")).values[BUDGET].value == 2048


def test_what_the_model_may_make_another_is_never_known_by_its_default() -> None:
    found = _of(_file(model="m"))
    assert not {"prefix_caching", "chunked_prefill", "weight_quantization"} & found.values.keys()


def test_a_file_of_variables_has_the_knobs_that_have_one() -> None:
    file = Configuration("tgi.env", {"MODEL_ID": "m"}, frozenset({"MODEL_ID"}), True, True)
    found = defaults_of(file, Setting(load("tgi").at("3.3.7"), "3.3.7"))
    assert found.values["queue_limit_requests"].source == (
        "default of Text Generation Inference 3.3.7 (engine-knobs §3), no MAX_CONCURRENT_REQUESTS in tgi.env"
    )
    vllm = defaults_of(file, Setting(load("vllm").at("0.32.0"), "0.32.0", 24e9, "L4"))
    assert not vllm.values


def _seen(**signals: float) -> Evidence:
    readings = {name: Reading(name=name, query=name, value=value, instance=HERE) for name, value in signals.items()}
    return Evidence(service="chat", at=datetime(2026, 11, 21, tzinfo=UTC), replica_readings={HERE: readings})


@pytest.mark.parametrize(
    "seen",
    [
        {"replica:llm_requests_running:max2m": 257.0},
        {"replica:llm_max_running_requests:engine": 512.0},
        {"replica:llm_kv_cache_memory_fraction": 0.8},
        {"replica:llm_tensor_parallel_size": 2.0},
    ],
)
def test_what_is_seen_beside_the_defaults_refutes_the_promise_and_all_of_them(seen: dict[str, float]) -> None:
    knobs, gpu = load("vllm").at("0.32.0"), GPUS["l4"]
    plain = defaults_here({HERE: _file(model="m")}, knobs, "0.32.0", gpu=gpu, declared={}, evidence=_seen())
    assert plain[HERE].values
    found = defaults_here({HERE: _file(model="m")}, knobs, "0.32.0", gpu=gpu, declared={}, evidence=_seen(**seen))
    assert not found[HERE].values
    assert "something else than its file sets options" in found[HERE].doubts[SLOTS].text
