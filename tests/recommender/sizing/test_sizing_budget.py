"""Budgets, contexts, admission and host memory: properties over all inputs, and refusals of what is unknown."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.knobs import load
from recommender.sizing import LinearItl, NotApplicable, Sized
from recommender.sizing.budget import (
    lower_context,
    lower_token_budget,
    offload_bytes,
    pow2_floor,
    raise_token_budget,
    step_towards,
)
from recommender.sizing.steps import StepRule, lower_max_running_for_itl, raise_max_running

ON_A_BUSY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

budgets = st.integers(1, 1 << 20)
seconds = st.floats(1e-4, 100)
amounts = st.floats(0, 1e13)


def _legal(value: float) -> int:
    knob = load("vllm").get("max_batched_tokens")
    assert knob is not None
    return knob.legal_at_or_below(value)


@ON_A_BUSY_MACHINE
@given(budgets, seconds, seconds, st.none() | st.integers(1, 4096))
def test_a_smaller_budget_is_whole_at_least_half_and_not_below_the_batch(
    old: int, itl: float, objective: float, slots: int | None
) -> None:
    sized = lower_token_budget(
        old,
        itl_seconds=itl,
        itl_objective_seconds=objective,
        minimum=512,
        maximum=8192,
        legal=_legal,
        max_running_requests=slots,
    )
    if isinstance(sized, NotApplicable):
        assert sized.reason
        return
    assert itl > objective
    assert old / 2 <= sized.value < old
    assert sized.value == int(sized.value) >= max(512 if old / 2 <= 512 else 0, slots or 1)


@ON_A_BUSY_MACHINE
@given(budgets, st.integers(512, 1 << 15))
def test_a_larger_budget_is_a_power_of_two_at_most_twice_and_within_what_is_of_use(old: int, maximum: int) -> None:
    sized = raise_token_budget(old, maximum=maximum, legal=_legal)
    if isinstance(sized, Sized):
        assert old < sized.value <= min(2 * old, maximum)
        assert sized.value in {pow2_floor(sized.value), maximum}


@ON_A_BUSY_MACHINE
@given(st.integers(1, 1 << 22), st.integers(1, 1 << 20), st.integers(1, 64))
def test_a_shorter_context_holds_the_longest_request_of_each_slot_and_is_at_most_halved(
    old: int, longest: int, slots: int
) -> None:
    sized = lower_context(old, longest_request_tokens=longest, headroom=1.25, quantum=1024, slots=slots)
    if isinstance(sized, Sized):
        assert old / 2 <= sized.value < old
        assert sized.value >= slots * 1.25 * longest
        assert sized.value % 1024 == 0


@ON_A_BUSY_MACHINE
@given(st.floats(-1, 100), st.floats(0.1, 10))
def test_a_step_towards_a_target_never_passes_it_and_is_at_most_twofold(old: float, target: float) -> None:
    sized = step_towards(old, target)
    if isinstance(sized, Sized):
        assert old / 2 - 0.005 <= sized.value <= 2 * old + 0.005
        assert min(old, target) - 0.005 <= sized.value <= max(old, target) + 0.005


@ON_A_BUSY_MACHINE
@given(amounts, amounts, amounts, st.floats(0.05, 1))
def test_host_memory_is_whole_gibibytes_within_the_share_of_what_is_available(
    tokens: float, each: float, available: float, share: float
) -> None:
    sized = offload_bytes(
        unique_tokens_per_second=tokens,
        reuse_window_seconds=600,
        kv_bytes_per_token=each,
        host_available_bytes=available,
        host_share=share,
    )
    if isinstance(sized, Sized):
        assert sized.value % 2**30 == 0
        assert 0 < sized.value <= share * available


@ON_A_BUSY_MACHINE
@given(st.integers(1, 4096), st.floats(0, 4096), st.floats(1e-4, 0.2), st.floats(0, 0.01), seconds)
def test_a_batch_for_itl_is_whole_at_least_half_and_smaller(
    old: int, running: float, alpha: float, beta: float, objective: float
) -> None:
    sized = lower_max_running_for_itl(old, running=running, itl=LinearItl(alpha, beta), itl_objective_seconds=objective)
    if isinstance(sized, Sized):
        assert 1 <= sized.value == int(sized.value) < old
        assert sized.value >= min(old, running) / 2


@ON_A_BUSY_MACHINE
@given(
    st.integers(1, 4096),
    st.floats(1, 1e8),
    st.floats(0.1, 1e6),
    st.floats(1e-3, 1),
    st.floats(1e-3, 1),
    st.floats(2, 8),
)
def test_a_wide_step_leaves_its_share_of_kv_free_and_cannot_break_itl(  # noqa: PLR0917 - what hypothesis gives
    old: int, capacity: float, held: float, itl: float, objective: float, wide: float
) -> None:
    sized = raise_max_running(
        old,
        kv_capacity_tokens=capacity,
        tokens_held_per_request=held,
        legal=math.floor,
        itl_objective_seconds=objective,
        itl_p95_seconds=itl,
        rule=StepRule(2.0, wide, 0.5),
    )
    if isinstance(sized, Sized):
        assert old < sized.value <= max(2, wide) * old
        assert sized.value * held <= 0.85 * capacity * (1 + 1e-9)
        if sized.value > 2 * old:
            assert sized.value * held <= 0.5 * capacity * (1 + 1e-9)
            assert itl * sized.value / old <= objective * (1 + 1e-9)


def test_what_is_unknown_sizes_nothing() -> None:
    unknown = [
        lower_token_budget(2048, itl_seconds=None, itl_objective_seconds=0.1, minimum=512, maximum=8192, legal=_legal),
        lower_context(8192, longest_request_tokens=None, headroom=1.25, quantum=1024),
        lower_max_running_for_itl(64, running=None, itl=LinearItl(0.02, 0.001), itl_objective_seconds=0.1),
        lower_max_running_for_itl(64, running=60, itl=None, itl_objective_seconds=0.1),
        offload_bytes(
            unique_tokens_per_second=None,
            reuse_window_seconds=600,
            kv_bytes_per_token=1,
            host_available_bytes=1e12,
            host_share=0.7,
        ),
        offload_bytes(
            unique_tokens_per_second=1e3,
            reuse_window_seconds=600,
            kv_bytes_per_token=1e5,
            host_available_bytes=None,
            host_share=0.7,
        ),
    ]
    assert all(isinstance(one, NotApplicable) and "unknown" in one.reason for one in unknown)
