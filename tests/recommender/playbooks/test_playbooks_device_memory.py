"""P01: each step down by hand, its proof, and what keeps it from being taken."""

import pytest

from recommender.playbooks import Advice
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    KV_BYTES,
    ONE,
    TWO,
    advised,
    changed,
    context,
    evidence,
    facts,
    playbook,
    refused,
    size,
)

PRESSED = Bottleneck.GPU_MEMORY_PRESSURE
FULL = {
    "gpu:gpu_memory_used:ratio": 0.98,
    "gpu:gpu_memory_free_bytes": 1.6e9,  # 2 % of 80 GB
    "replica:llm_kv_cache_memory_fraction": 0.92,
    "replica:llm_kv_cache_capacity_tokens": 400_000.0,
    "replica:llm_kv_cache_usage:max2m": 0.6,
    "replica:llm_requests_running:max2m": 100.0,
    "replica:llm_requests_running:max6h": 150.0,
    "replica:llm_request_prompt_tokens:mean_5m": 900.0,
}


def test_the_share_falls_by_what_is_over_the_target_and_at_most_three_hundredths() -> None:
    change = changed(size(PRESSED, "P01.2", evidence(FULL), context(known=facts(), kv_cache_memory_fraction=0.92)))
    assert change.new == pytest.approx(0.92 - 0.03)  # 0.98 - 0.95, which is the cap too
    assert change.feasibility is not None
    device = 1.6e9 / 0.02
    left = 400_000 * KV_BYTES - 0.03 * device
    assert change.feasibility.limit == pytest.approx(0.95 * left, rel=0.001)
    assert change.feasibility.after == pytest.approx(0.6 * 400_000 * KV_BYTES)
    little = FULL | {"gpu:gpu_memory_used:ratio": 0.97, "gpu:gpu_memory_free_bytes": 2.4e9}
    change = changed(size(PRESSED, "P01.2", evidence(little), context(known=facts(), kv_cache_memory_fraction=0.92)))
    assert change.new == pytest.approx(0.92 - 0.02)


def test_the_share_is_not_lowered_below_what_requests_hold() -> None:
    held = FULL | {"replica:llm_kv_cache_usage:max2m": 0.97}
    why = refused(size(PRESSED, "P01.2", evidence(held), context(known=facts(), kv_cache_memory_fraction=0.92)))
    assert "would not fit" in why


def test_without_the_facts_of_the_model_the_share_is_advised_and_they_are_asked_for() -> None:
    outcome = size(PRESSED, "P01.2", evidence(FULL), context(kv_cache_memory_fraction=0.92))
    assert "Set --gpu-memory-utilization to 0.89" in advised(outcome)
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} >= {"model", "kv_dtype"}
    unknown = {name: value for name, value in FULL.items() if name != "gpu:gpu_memory_used:ratio"}
    assert "unknown" in refused(size(PRESSED, "P01.2", evidence(unknown), context(known=facts())))


def test_memory_that_is_held_as_planned_is_no_reason_to_lower_the_share() -> None:
    planned = FULL | {"gpu:gpu_memory_used:ratio": 0.94}
    given = context(known=facts(), kv_cache_memory_fraction=0.92)
    assert "no more than" in refused(size(PRESSED, "P01.2", evidence(planned), given))


@pytest.mark.parametrize(
    ("old", "prompt", "new"),
    [
        (8192, 900.0, 4096),  # to 4096 first
        (16384, 900.0, 8192),  # at most halved
        (4096, 900.0, 2048),
        (8192, 5000.0, None),  # the usual prompt needs 8192
        (2048, 900.0, None),
    ],
)
def test_the_token_budget_goes_down_by_powers_of_two_to_the_usual_prompt(
    old: int, prompt: float, new: int | None
) -> None:
    seen = evidence(FULL | {"replica:llm_request_prompt_tokens:mean_5m": prompt})
    outcome = size(PRESSED, "P01.3", seen, context(max_batched_tokens=old, max_running_requests=64))
    if new is None:
        assert refused(outcome)
    else:
        assert changed(outcome).new == new


def test_the_batch_limit_goes_to_nine_tenths_of_the_largest_batch_on_a_captured_size() -> None:
    change = changed(size(PRESSED, "P01.4", evidence(FULL), context(max_running_requests=256)))
    assert change.new == 128  # floor(0.9·150) = 135, down to a captured size
    assert "not below" in refused(size(PRESSED, "P01.4", evidence(FULL), context(max_running_requests=128)))


def test_graphs_are_captured_for_batches_that_run() -> None:
    given = context(version="0.32.0", graph_max_batch=512)
    assert changed(size(PRESSED, "P01.5", evidence(FULL), given)).new == 256  # half; 150 up to eights is 152
    given = context(version="0.32.0", graph_max_batch=256)
    assert changed(size(PRESSED, "P01.5", evidence(FULL), given)).new == 152
    given = context(version="0.32.0", graph_max_batch=128)
    assert "not more than" in refused(size(PRESSED, "P01.5", evidence(FULL), given))


def test_what_the_engine_s_share_does_not_explain_is_told() -> None:
    text = advised(size(PRESSED, "P01.1", evidence(FULL), context()))
    assert "98 % of device memory is in use, 6 % of it beyond the engine's own share of 0.92" in text


def test_engines_with_slots_are_told_their_own_ways() -> None:
    assert playbook(PRESSED, "P01.7").engines == frozenset({"llamacpp", "ollama"})
    assert "--fit-target" in advised(size(PRESSED, "P01.7", evidence(FULL), context("llamacpp")))
    assert "OLLAMA_GPU_OVERHEAD" in advised(size(PRESSED, "P01.7", evidence(FULL), context("ollama")))


def test_less_device_memory_is_what_must_show_and_preemptions_take_it_back() -> None:
    given = context(known=facts(), kv_cache_memory_fraction=0.92)
    change = changed(size(PRESSED, "P01.2", evidence(FULL), given))
    effects = playbook(PRESSED, "P01.2").effects
    assert effects is not None
    made = effects(change, evidence(FULL), ONE, given)
    assert made.must_improve.metric == "device_memory_used_ratio"
    assert made.must_improve.high == pytest.approx((0.98 - 0.03) / 0.98, abs=0.001)
    assert made.min_improvement == pytest.approx(0.03 / 0.98 / 2, abs=0.0001)  # half of what is given back is proof
    assert "preemptions_per_request" in {guard.metric for guard in made.guards}


def test_the_replica_with_the_least_room_decides() -> None:
    seen = evidence(FULL, per_replica={TWO: {"replica:llm_kv_cache_usage:max2m": 0.99}})
    given = context(known=facts(), kv_cache_memory_fraction=0.92)
    assert "would not fit" in refused(size(PRESSED, "P01.2", seen, given, ONE))  # both get the new share
