"""The simulated fleet that plans are tried on: what a configuration is worth is what the simulator does with it."""

import pytest

from demo.faults.traffic import Load
from demo.tuning.configuration import KV_BYTES_PER_TOKEN, MODEL_CONFIG, WEIGHT_BYTES, Configuration, WrongKnobError
from demo.tuning.grid import grid
from demo.tuning.starts import CHAT, LONG_PROMPTS, STARTS
from demo.tuning.worth import Work, worth
from recommender.models import read_config_file
from recommender.sizing.footprint import kv_bytes_per_token, model_weight_bytes
from recommender.sizing.model_facts import ModelFacts

LIGHT = Work("light", Load(rate=1.0, prompt=100, answer=40))


def test_a_load_far_below_the_capacity_is_answered_in_time() -> None:
    one = worth(Configuration(), LIGHT, seed=1)
    assert one.goodput == pytest.approx(1.0, rel=0.2)  # Poisson arrivals of four minutes
    assert one.broken(LIGHT) == ()


def test_too_few_slots_are_worth_nothing() -> None:
    one = worth(Configuration(2), CHAT, seed=1)
    assert one.goodput == 0
    assert "ttft" in one.broken(CHAT)


def test_a_configuration_with_which_the_engine_would_not_start_is_worth_nothing() -> None:
    assert worth(Configuration(kv_cache_memory_fraction=0.70), LIGHT, seed=1).goodput == 0


def test_equal_seeds_give_equal_worth() -> None:
    assert worth(Configuration(8), LIGHT, 3) == worth.__wrapped__(Configuration(8), LIGHT, 3)


def test_kv_blocks_are_what_the_weights_leave() -> None:
    # 0.85 of 80 GiB are 68, less 56 of weights: 12 GiB, by 16 tokens of 2·50·16·128·2 = 409,600 bytes.
    assert Configuration(kv_cache_memory_fraction=0.85).kv_blocks == 12 * 2**30 // (16 * 409_600)


def test_the_model_that_the_inventory_names_is_the_one_that_the_simulator_has_room_for() -> None:
    model = read_config_file(MODEL_CONFIG)
    assert isinstance(model, ModelFacts)
    assert kv_bytes_per_token(model, "bf16") == KV_BYTES_PER_TOKEN
    assert model_weight_bytes(model, "bf16") == pytest.approx(WEIGHT_BYTES, rel=0.01)


@pytest.mark.parametrize(
    ("knob", "value"),
    [("gpu_count", 2), ("prefix_caching", 1), ("max_running_requests", "64"), ("max_batched_tokens", 32)],
)
def test_a_change_that_the_engine_would_refuse_is_refused(knob: str, value: int | str) -> None:
    with pytest.raises(WrongKnobError, match=knob):
        Configuration(64).with_knob(knob, value)


def test_the_grid_has_only_configurations_that_start() -> None:
    tried = list(grid(CHAT))
    assert len(tried) == len(set(tried)) > 200
    assert all(one.max_batched_tokens >= one.max_running_requests for one in tried)


def test_there_are_ten_starts_of_different_names() -> None:
    assert len(STARTS) == len({name for name, _, _ in STARTS}) == 10
    assert {work for _, _, work in STARTS} == {CHAT, LONG_PROMPTS}
