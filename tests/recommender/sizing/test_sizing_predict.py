"""Steady states of continuous batching: what must hold whatever the figures, and cases that are done by hand."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recommender.sizing.percentiles import poisson_quantile, spread_quantile
from recommender.sizing.predict import EngineShape, StepModel, Workload, predict, slowest

SHAPE = EngineShape(max_running_requests=16, max_batched_tokens=2048, kv_capacity_tokens=64_000)
STEP = StepModel(0.02, 0.0004, 0.00003)
SECONDS = st.floats(1e-4, 0.1)

shapes = st.builds(
    EngineShape,
    max_running_requests=st.integers(1, 300),
    max_batched_tokens=st.integers(16, 8192),
    kv_capacity_tokens=st.floats(10_000, 1e6),
    block_size_tokens=st.sampled_from([1, 16, 64]),
)
steps = st.builds(StepModel, SECONDS, st.floats(0, 0.005), st.floats(0, 1e-4), st.floats(0, 1e-7))
closed = st.builds(
    Workload,
    prompt_tokens=st.floats(1, 6000),
    output_tokens=st.floats(1, 2000),
    clients=st.floats(1, 500),
    prefix_hit_ratio=st.floats(0, 1),
    prompt_cv=st.floats(0, 1),
    output_cv=st.floats(0, 1),
    prefix_groups=st.none() | st.integers(1, 50),
)


@given(shapes, steps, closed)
@settings(max_examples=60)
def test_a_closed_loop_keeps_to_the_limits_and_to_littles_law(
    shape: EngineShape, step: StepModel, load: Workload
) -> None:
    assume(load.prompt_tokens + load.output_tokens <= shape.kv_capacity_tokens)
    found = predict(shape, step, load)
    assert 0 < found.running <= shape.max_running_requests * (1 + 1e-6)
    assert found.waiting is not None
    assert found.running + found.waiting == pytest.approx(load.clients, rel=1e-6)
    assert 0 < found.kv_tokens <= shape.kv_capacity_tokens
    assert found.tokens_per_second == pytest.approx(found.requests_per_second * load.output_tokens)
    # No step makes more tokens than requests run in it, and none is shorter than alpha.
    assert found.tokens_per_second <= found.running / step.alpha_seconds * (1 + 1e-6)
    assert found.ttft_p50_seconds is not None
    assert found.ttft_p95_seconds is not None
    assert 0 < found.ttft_p50_seconds <= found.ttft_p95_seconds * (1 + 1e-6)
    assert found.itl_mean_seconds >= 0


@given(st.floats(0.05, 30), st.floats(1.01, 2))
@settings(max_examples=60)
def test_more_arrivals_never_lower_throughput_batch_or_kv(rate: float, more: float) -> None:
    load = Workload(200, 50, arrivals_per_second=rate)
    less, after = (predict(SHAPE, STEP, one) for one in (load, replace(load, arrivals_per_second=rate * more)))
    assert after.tokens_per_second >= less.tokens_per_second * (1 - 1e-6)
    assert after.running >= less.running * (1 - 1e-6)
    assert after.kv_tokens >= less.kv_tokens * (1 - 1e-6)
    if less.waiting is None:
        assert after.waiting is None


def test_one_client_gets_what_its_steps_take() -> None:
    found = predict(SHAPE, STEP, Workload(200, 50, clients=1))
    seconds = 50 * (0.02 + 0.0004) + 200 * 0.00003
    assert found.requests_per_second == pytest.approx(1 / seconds)
    assert found.itl_mean_seconds == pytest.approx(0.0204)
    assert found.ttft_p50_seconds == pytest.approx(0.0204 + 0.006)
    assert found.limited_by == "clients"


def test_a_full_batch_makes_as_many_tokens_as_steps_allow() -> None:
    found = predict(SHAPE, STEP, Workload(200, 50, clients=40))
    # T = alpha + 16·beta + gamma·prompt tokens of a step, which are 16·200/50.
    step = 0.02 + 16 * 0.0004 + 0.00003 * 16 * 200 / 50
    assert found.tokens_per_second == pytest.approx(16 / step, rel=1e-3)
    assert found.waiting == pytest.approx(24, rel=1e-3)
    assert found.limited_by == "max_running_requests"


def test_a_load_above_the_limit_waits_without_bound_and_has_no_ttft() -> None:
    found = predict(SHAPE, STEP, Workload(200, 50, arrivals_per_second=14))
    assert (found.waiting, found.ttft_p50_seconds, found.ttft_p95_seconds) == (None, None, None)
    assert found.requests_per_second < 14
    assert found.limited_by == "max_running_requests"


def test_a_small_token_budget_and_a_small_cache_are_named_as_what_limits() -> None:
    load = Workload(800, 50, clients=40)
    assert predict(replace(SHAPE, max_batched_tokens=128), STEP, load).limited_by == "max_batched_tokens"
    tight = predict(replace(SHAPE, kv_capacity_tokens=5000), STEP, load)
    assert tight.limited_by == "kv_cache"
    assert tight.preemptions_per_request > 0
    assert tight.kv_usage_ratio > 0.85


def test_more_slots_help_a_batch_that_is_admission_limited_and_cached_prompts_shorten_ttft() -> None:
    load = Workload(400, 50, clients=40)
    narrow = predict(SHAPE, STEP, load)
    wide = predict(replace(SHAPE, max_running_requests=32), STEP, load)
    assert wide.tokens_per_second > 1.2 * narrow.tokens_per_second
    alone = Workload(4000, 50, clients=1)
    cold = predict(SHAPE, STEP, alone).ttft_p50_seconds
    warm = predict(SHAPE, STEP, replace(alone, prefix_hit_ratio=0.9)).ttft_p50_seconds
    assert cold is not None
    assert warm is not None
    assert warm < cold / 2


def test_requests_that_share_a_beginning_hold_its_blocks_once() -> None:
    load = Workload(612, 50, clients=16, prefix_hit_ratio=512 / 612)
    apart = predict(SHAPE, STEP, load)
    together = predict(SHAPE, STEP, replace(load, prefix_groups=1))
    assert apart.kv_tokens - together.kv_tokens == pytest.approx(15 * 512, rel=0.01)


def test_an_engine_that_reserves_answers_never_preempts_and_runs_fewer() -> None:
    tight = replace(SHAPE, max_running_requests=64, kv_capacity_tokens=6000)
    load = Workload(100, 300, clients=64)
    greedy, careful = predict(tight, STEP, load), predict(replace(tight, reserves_answers=True), STEP, load)
    assert greedy.preemptions_per_request > 0 == careful.preemptions_per_request
    assert careful.running < greedy.running
    assert careful.limited_by == "kv_cache"


def test_the_slowest_of_several_steps_is_what_holds() -> None:
    fast, slow = StepModel(0.01, 0.0001), StepModel(0.02, 0.0004)
    for load in (Workload(200, 50, clients=40), Workload(200, 50, arrivals_per_second=2)):
        assert slowest(SHAPE, (fast, slow), load) == predict(SHAPE, slow, load)


def test_a_request_that_cannot_fit_and_figures_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit a KV cache"):
        predict(replace(SHAPE, kv_capacity_tokens=500), STEP, Workload(600, 50, clients=1))
    with pytest.raises(ValueError, match="chunked prefill is off"):
        predict(replace(SHAPE, chunked_prefill=False), STEP, Workload(3000, 50, clients=1))
    with pytest.raises(ValueError, match="either an arrival rate or"):
        Workload(200, 50)
    with pytest.raises(ValueError, match="none of its terms is negative"):
        StepModel(0.02, -0.1)
    with pytest.raises(ValueError, match="at least one prompt"):
        Workload(0, 50, clients=1)
    with pytest.raises(ValueError, match="above zero"):
        Workload(10, 50, clients=0)
    with pytest.raises(ValueError, match="at least one request"):
        EngineShape(0, 2048, 1000)


def test_many_slots_are_worked_out_in_no_time() -> None:
    found = predict(EngineShape(65_536, 65_536, 1e9), STEP, Workload(200, 200, arrivals_per_second=8))
    assert found.limited_by == "arrivals"
    assert found.requests_per_second == 8


def test_quantiles_of_counts_and_lengths() -> None:
    assert [poisson_quantile(0.32, share) for share in (0.5, 0.9, 0.99)] == [0, 1, 2]
    assert poisson_quantile(400, 0.95) == pytest.approx(433, abs=4)
    assert spread_quantile(100, 0.5 / 3**0.5, 0.5) == pytest.approx(100)
    assert spread_quantile(100, 0.5 / 3**0.5, 1.0) == pytest.approx(150)


def test_a_batch_of_one_whose_prompts_take_hundreds_of_steps_stays_a_batch_of_one() -> None:
    load = Workload(3821.3, 183.1, clients=33.3, prompt_cv=1.78)
    found = predict(EngineShape(1, 7, 664_094), STEP, load)
    assert found.running <= 1
    assert found.limited_by == "max_running_requests"


def test_one_token_answers_of_one_client_have_a_ttft_and_no_queue() -> None:
    found = predict(EngineShape(1, 16, 10_000, 1), StepModel(0.0625, 0.0), Workload(72, 1, clients=1))
    assert found.ttft_p50_seconds == pytest.approx(5 * 0.0625)
