"""The knob catalogue: what is legal, and how configuration files are read by it."""

import pytest

from recommender.errors import NotFound
from recommender.inventory import DeclaredSettings
from recommender.knobs import Knob, engines, load
from recommender.model import Risk


def _knob(name: str) -> Knob:
    found = load("vllm").get(name)
    assert found is not None
    return found


def test_every_setting_that_an_inventory_can_declare_is_a_knob() -> None:
    assert set(DeclaredSettings.model_fields) == {knob.name for engine in engines() for knob in load(engine).knobs}


def test_flags_and_config_keys_name_the_same_thing() -> None:
    catalog = load("vllm")
    assert all(knob.flag in {None, f"--{knob.config_key}"} for knob in catalog.knobs)
    assert catalog.by_config_key["max-num-seqs"].name == "max_running_requests"


def test_a_change_of_answers_is_never_a_mere_restart() -> None:
    assert _knob("kv_cache_dtype").risk is Risk.QUALITY
    assert _knob("max_model_length_tokens").risk is Risk.QUALITY


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("max_running_requests", 8, 8),
        ("max_running_requests", "8", 8),
        ("max_running_requests", 8.5, None),
        ("max_running_requests", 0, None),
        ("max_running_requests", True, None),
        ("max_running_requests", "many", None),
        ("max_running_requests", float("nan"), None),
        ("kv_cache_memory_fraction", 0.9, 0.9),
        ("kv_cache_memory_fraction", 1.2, None),
        ("prefix_caching", True, True),
        ("prefix_caching", "no", False),
        ("prefix_caching", "perhaps", None),
        ("kv_cache_dtype", "fp8", "fp8"),
        ("kv_cache_dtype", "fp9", None),
    ],
)
def test_a_configured_value_is_read_or_unknown(name: str, value: object, parsed: object) -> None:
    assert _knob(name).parse(value) == parsed


def test_settings_become_neutral_and_the_negated_flag_counts() -> None:
    neutral = load("vllm").neutral({"max-num-seqs": 8, "no-enable-prefix-caching": True, "port": 8000})
    assert neutral == {"max_running_requests": 8, "prefix_caching": False}
    assert load("vllm").neutral({"enable-prefix-caching": False}) == {"prefix_caching": False}


@pytest.mark.parametrize("engine", ["dynamo", "../vllm", ""])
def test_an_engine_without_a_catalogue_is_said_to_get_advice(engine: str) -> None:
    with pytest.raises(NotFound, match="advice, not changes"):
        load(engine)
