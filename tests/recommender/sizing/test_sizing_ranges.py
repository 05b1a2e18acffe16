"""How certain a prediction says it is: what must hold of every range, and where ranges have to be wide."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recommender.sizing.predict import EngineShape, StepModel, Workload
from recommender.sizing.ranges import Range, Steps, predict_range, scaled

SHAPE = EngineShape(max_running_requests=16, max_batched_tokens=2048, kv_capacity_tokens=64_000)
STEP = StepModel(0.02, 0.0004, 0.00003)
LIMIT = 11.5  # requests a second of this shape, of 200 and 50 tokens


def arriving(share: float) -> Workload:
    """Arrivals at this share of the limit."""
    return Workload(200, 50, arrivals_per_second=share * LIMIT, prompt_cv=0.3, output_cv=0.3)


loads = st.builds(
    Workload,
    prompt_tokens=st.floats(1, 6000),
    output_tokens=st.floats(1, 2000),
    clients=st.floats(1, 300),
    prefix_hit_ratio=st.floats(0, 1),
    prompt_cv=st.floats(0, 1),
    output_cv=st.floats(0, 1),
) | st.builds(
    Workload,
    prompt_tokens=st.floats(1, 6000),
    output_tokens=st.floats(1, 2000),
    arrivals_per_second=st.floats(0.01, 50),
    output_cv=st.floats(0, 1),
)


@given(st.integers(1, 200), st.floats(3_000, 1e6), loads)
@settings(max_examples=40, deadline=None)
def test_every_range_holds_its_likely_figure_and_bounds_are_in_order(
    slots: int, capacity: float, load: Workload
) -> None:
    assume(load.prompt_tokens + load.output_tokens < capacity)
    shape = replace(SHAPE, max_running_requests=slots, kv_capacity_tokens=capacity)
    told = predict_range(shape, Steps.of(STEP), load)
    for name, found in told.ranges.items():
        assert found.mid == getattr(told.likely, name)
        if found.mid is None:
            assert found.high is None, name
            continue
        assert found.low is not None, name
        assert 0 <= found.low <= found.mid * (1 + 1e-9), name
        assert found.high is None or found.high >= found.mid * (1 - 1e-9), name
    assert (told.ranges["kv_usage_ratio"].high or 0.0) <= 1


def test_first_tokens_are_less_certain_the_nearer_the_limit_is_and_may_never_come_beside_it() -> None:
    near, nearer, beside = (
        predict_range(SHAPE, Steps.of(STEP), arriving(share)).ranges["ttft_p95_seconds"] for share in (0.3, 0.85, 0.97)
    )
    assert near.high is not None
    assert nearer.high is not None
    assert near.low is not None
    assert nearer.low is not None
    assert nearer.high / nearer.low > 2 * near.high / near.low
    assert (beside.mid is not None, beside.high) == (True, None)  # with 5 % more arrivals the queue grows
    beyond = predict_range(SHAPE, Steps.of(STEP), arriving(1.5)).ranges["ttft_p95_seconds"]
    assert beyond == Range(None, None, None)


def test_pauses_by_preemption_make_itl_uncertain() -> None:
    load = Workload(50, 200, clients=40, output_cv=0.3)
    calm = predict_range(SHAPE, Steps.of(STEP), load).ranges["itl_mean_seconds"]
    full = replace(SHAPE, max_running_requests=40, kv_capacity_tokens=3_200)
    thrashing = predict_range(full, Steps.of(STEP), load).ranges["itl_mean_seconds"]
    for one, least in ((calm, 1.0), (thrashing, 1.4)):
        assert one.low is not None
        assert (one.high or 0.0) / one.low > least
    assert (calm.high or 0.0) / (calm.low or 1.0) < 1.2


def test_a_step_that_is_less_certain_makes_wider_ranges() -> None:
    load = Workload(200, 50, clients=40)
    one, other = (
        predict_range(SHAPE, Steps.of(STEP, error=error), load).ranges["tokens_per_second"] for error in (0.03, 0.3)
    )
    assert other.low is not None
    assert one.low is not None
    assert other.low < one.low
    assert (other.high or 0.0) > (one.high or 0.0)
    assert scaled((STEP,), 2.0)[0].alpha_seconds == pytest.approx(0.04)
