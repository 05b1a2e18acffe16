"""Sizing formulas: properties over all inputs, and the figures of the captures."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.knobs import load
from recommender.sizing import (
    LinearItl,
    NotApplicable,
    Sized,
    captured_batch_size,
    concurrency_cap,
    fit_linear_itl,
    lower_max_running,
    raise_max_running,
    raise_memory_fraction,
    replicas_for_kv,
    replicas_for_load,
    tokens_per_request,
)

limits = st.integers(1, 4096)
capacities = st.floats(1, 1e8)
taus = st.floats(0.1, 1e6)
batches = st.floats(0, 4096)
fits = st.builds(LinearItl, st.floats(1e-4, 0.05), st.floats(0, 0.01))
ratios = st.floats(0, 0.999)


def _raise(old: int, capacity: float | None, tau: float | None, **more: object) -> Sized | NotApplicable:
    return raise_max_running(
        old,
        kv_capacity_tokens=capacity,
        tokens_held_per_request=tau,
        legal=captured_batch_size,
        **more,  # type: ignore[arg-type]  # keywords of one function, checked by calling it
    )


@given(limits, capacities, taus, st.none() | fits, st.floats(0.001, 1))
def test_a_raised_limit_is_higher_legal_within_a_step_and_fits_in_memory(
    old: int, capacity: float, tau: float, itl: LinearItl | None, objective: float
) -> None:
    sized = _raise(old, capacity, tau, itl=itl, itl_objective_seconds=objective)
    if isinstance(sized, NotApplicable):
        assert sized.reason
        return
    assert old < sized.value <= (2 if itl is None else 4) * old
    assert sized.value * tau <= capacity
    if sized.value > 2 * old:  # a wide step: ample memory stays free
        assert sized.value * tau <= 0.5 * capacity * (1 + 1e-9)
    assert captured_batch_size(sized.value) == sized.value
    if itl is not None:
        assert itl.alpha_seconds + itl.beta_seconds * sized.value <= objective / 1.2 * (1 + 1e-9)


@given(limits, capacities, taus, st.floats(1, 4))
def test_more_memory_never_lowers_the_raised_limit(old: int, capacity: float, tau: float, factor: float) -> None:
    small, large = _raise(old, capacity, tau), _raise(old, capacity * factor, tau)
    if isinstance(small, Sized):
        assert isinstance(large, Sized)
        assert large.value >= small.value


@given(limits, capacities, taus, batches)
def test_a_lowered_limit_is_lower_at_least_one_and_at_most_halves_what_runs(
    old: int, capacity: float, tau: float, running: float
) -> None:
    sized = lower_max_running(old, kv_capacity_tokens=capacity, tokens_held_per_request=tau, running=running)
    if isinstance(sized, NotApplicable):
        assert sized.reason
        return
    assert 1 <= sized.value < old
    assert sized.value >= min(old, running) / 2
    # Either it fits, or the step's limit keeps it above what fits.
    assert sized.value * tau <= 0.95 * capacity or sized.value == max(1, math.ceil(min(old, running) / 2))


@given(st.floats(0.05, 0.999), st.floats(0, 2e11), ratios)
def test_a_raised_memory_fraction_leaves_the_reserve_and_stays_within_the_step(
    old: float, free: float, used: float
) -> None:
    sized = raise_memory_fraction(old, free_bytes=free, used_ratio=used)
    if isinstance(sized, NotApplicable):
        return
    assert old < sized.value <= min(0.95, old + 0.03) + 1e-9
    taken = (sized.value - old) * free / (1 - used)
    assert free - taken >= 3 * 2**30 * (1 - 1e-6) - 1e-3 * free / (1 - used)


@given(st.integers(1, 1000), ratios)
def test_replicas_for_kv_are_more_and_bring_usage_to_the_target(replicas: int, usage: float) -> None:
    sized = replicas_for_kv(replicas, usage)
    if isinstance(sized, Sized):
        assert sized.value > replicas
        assert replicas * usage / sized.value <= 0.70 * (1 + 1e-9)


@given(st.floats(0, 1e5), st.floats(0, 1e5), limits, st.integers(1, 500))
def test_replicas_for_load_have_slots_for_all_requests(
    running: float, waiting: float, slots: int, replicas: int
) -> None:
    sized = replicas_for_load(running, waiting, slots, replicas)
    if isinstance(sized, Sized):
        assert sized.value > replicas
        assert running + waiting <= 0.75 * slots * sized.value * (1 + 1e-9)


UNKNOWN: list[Callable[[], Sized | NotApplicable]] = [
    lambda: _raise(16, None, 280),
    lambda: _raise(16, 262144, None),
    lambda: _raise(16, 262144, 0),
    lambda: lower_max_running(16, kv_capacity_tokens=None, tokens_held_per_request=600, running=5),
    lambda: lower_max_running(16, kv_capacity_tokens=3072, tokens_held_per_request=None, running=5),
    lambda: lower_max_running(16, kv_capacity_tokens=3072, tokens_held_per_request=600, running=None),
    lambda: raise_memory_fraction(0.9, free_bytes=None, used_ratio=0.9),
    lambda: raise_memory_fraction(0.9, free_bytes=8e9, used_ratio=None),
    lambda: replicas_for_kv(None, 0.9),
    lambda: replicas_for_kv(3, None),
    lambda: replicas_for_load(None, 1, 16, 3),
    lambda: replicas_for_load(1, 1, None, 3),
    lambda: concurrency_cap(None, 700),
    lambda: concurrency_cap(3072, None),
]


@pytest.mark.parametrize("size", UNKNOWN)
def test_an_unknown_input_never_gives_a_number(size: Callable[[], Sized | NotApplicable]) -> None:
    assert isinstance(size(), NotApplicable)


@pytest.mark.parametrize(
    ("usage", "capacity", "running"), [(None, 1000, 4), (0.5, None, 4), (0.5, 1000, None), (0.5, 1000, 0), (0, 1000, 4)]
)
def test_tokens_per_request_are_unknown_without_requests_or_inputs(
    usage: float | None, capacity: float | None, running: float | None
) -> None:
    assert tokens_per_request(usage, capacity, running) is None


def test_tokens_per_request_of_the_saturated_capture() -> None:
    assert tokens_per_request(0.017098, 262144, 16) == pytest.approx(280.1, abs=0.1)


def test_without_a_fitted_model_the_step_cap_stands_in_for_the_itl_bound_and_the_formula_says_so() -> None:
    sized = _raise(16, 262144, 280)
    assert isinstance(sized, Sized)
    assert sized.value == 32
    assert "ITL bound is unknown" in sized.formula


def test_a_fitted_model_bounds_the_batch() -> None:
    # WVA's A100 example: alpha 20.58 ms, beta 0.41 ms; 40 ms / 1.2 allows 31.
    sized = _raise(24, 1e6, 100, itl=LinearItl(0.02058, 0.00041), itl_objective_seconds=0.04)
    assert isinstance(sized, NotApplicable)  # 31 is below the next captured size, 32
    sized = _raise(24, 1e6, 100, itl=LinearItl(0.02058, 0.00041), itl_objective_seconds=0.05)
    assert isinstance(sized, Sized)
    assert sized.value == 48
    assert "unknown" not in sized.formula


def test_a_known_token_budget_bounds_the_batch() -> None:
    sized = _raise(64, 1e6, 100, max_batched_tokens=100)
    assert isinstance(sized, Sized)
    assert sized.value == 96


def test_memory_that_is_full_gives_the_binding_bound_as_reason() -> None:
    sized = _raise(16, 4000, 280)
    assert isinstance(sized, NotApplicable)
    assert "0.85·kv_capacity_tokens/tokens_per_request = 12" in sized.reason


def test_the_fraction_follows_free_memory_up_to_the_step() -> None:
    plenty = raise_memory_fraction(0.85, free_bytes=20 * 2**30, used_ratio=0.75)
    assert isinstance(plenty, Sized)
    assert plenty.value == 0.88
    scarce = raise_memory_fraction(0.90, free_bytes=4.2 * 2**30, used_ratio=0.9475)
    assert isinstance(scarce, Sized)
    assert scarce.value == 0.915
    assert isinstance(raise_memory_fraction(0.9, free_bytes=3 * 2**30, used_ratio=0.96), NotApplicable)


def test_captured_batch_sizes_are_vllms() -> None:
    assert [captured_batch_size(value) for value in (0, 1, 3, 7.9, 8, 31, 255, 256, 271, 512)] == [
        0, 1, 2, 4, 8, 24, 248, 256, 256, 512,
    ]  # fmt: skip


@given(st.floats(0.001, 0.05), st.floats(1e-5, 0.001))
def test_the_fit_finds_the_line_despite_outliers(alpha: float, beta: float) -> None:
    points = [(1 + index % 64, alpha + beta * (1 + index % 64)) for index in range(300)]
    points[::10] = [(batch, 5 * itl) for batch, itl in points[::10]]
    fit = fit_linear_itl(points)
    assert isinstance(fit, LinearItl)
    assert fit.alpha_seconds == pytest.approx(alpha, rel=0.05)
    assert fit.beta_seconds == pytest.approx(beta, rel=0.05)
    assert fit.tokens_per_second(64) > fit.tokens_per_second(32)


@pytest.mark.parametrize(
    "points",
    [
        [(1 + i % 64, 0.01) for i in range(100)],  # too few
        [(16.0, 0.01 + 1e-6 * i) for i in range(300)],  # no spread
        [(1 + i % 64, 0.1 - 0.001 * (i % 64)) for i in range(300)],  # faster with load
    ],
)
def test_data_that_do_not_allow_a_fit_give_none(points: list[tuple[float, float]]) -> None:
    assert isinstance(fit_linear_itl(points), NotApplicable)


@given(st.floats(0, 1e9))
def test_the_knob_catalogue_snaps_as_the_sizing_does(value: float) -> None:
    knob = load("vllm").get("max_running_requests")
    assert knob is not None
    legal = knob.legal_at_or_below(value)
    assert legal == min(captured_batch_size(value), 65536)
    assert legal == 0 or knob.parse(legal) == legal
