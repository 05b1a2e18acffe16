"""The step from an engine's own series: what went in comes out, and what cannot be told is not made up."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from recommender.calibration import calibrate
from recommender.contracts import Sample, Series
from recommender.sizing.fit import FittedStep, StepPoint, fit_step
from recommender.sizing.load import EngineShape, StepModel, Workload
from recommender.sizing.predict import Prediction, predict
from recommender.sizing.result import NotApplicable

STEP = StepModel(0.02, 0.0004, 0.00003)
WITH_KV = StepModel(0.0065, 0.0, 0.000032, 4.4e-8)  # an H100 with 8B: what rises with the batch is KV


def points(step: StepModel, count: int = 300, noise: float = 0.03, *, outliers: int = 0) -> list[StepPoint]:
    """Windows of different batches, prompts and contexts, give or take `noise`."""
    dice = random.Random(5)
    found = []
    for index in range(count):
        batch, prompt, context = dice.uniform(2, 40), dice.uniform(0, 300), dice.uniform(500, 8000)
        seconds = step.seconds(batch, prompt, batch * context) * dice.uniform(1 - noise, 1 + noise)
        found.append(StepPoint(batch, 10 * seconds if index < outliers else seconds, prompt, batch * context))
    return found


def test_all_four_terms_come_out_as_they_went_in_whatever_some_outliers_say() -> None:
    fit = fit_step(points(WITH_KV, outliers=30))
    assert isinstance(fit, FittedStep)
    assert fit.unknown == {}
    assert fit.step.alpha_seconds == pytest.approx(WITH_KV.alpha_seconds, rel=0.1)
    assert fit.step.gamma_seconds == pytest.approx(WITH_KV.gamma_seconds, rel=0.1)
    assert fit.step.eta_seconds == pytest.approx(WITH_KV.eta_seconds, rel=0.1)
    assert fit.median_error < 0.05


def test_without_prompt_and_kv_series_alpha_and_beta_are_told_and_the_rest_is_named_unknown() -> None:
    bare = [StepPoint(point.batch, 0.02 + 0.0004 * point.batch) for point in points(STEP)]
    fit = fit_step(bare)
    assert isinstance(fit, FittedStep)
    assert set(fit.unknown) == {"gamma", "eta"}
    assert (fit.step.alpha_seconds, fit.step.beta_seconds) == pytest.approx((0.02, 0.0004), rel=1e-6)


def test_prompts_that_rise_and_fall_with_the_batch_cannot_be_told_from_it() -> None:
    tied = [StepPoint(p.batch, STEP.seconds(p.batch, 5 * p.batch), 5 * p.batch, 100.0) for p in points(STEP)]
    fit = fit_step(tied)
    assert isinstance(fit, FittedStep)
    assert "rose and fell" in fit.unknown["gamma"]
    assert "hardly varied" in fit.unknown["eta"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (points(STEP)[:150], "fewer than 200 points"),
        ([StepPoint(10 + i % 3, 0.02) for i in range(300)], "fourfold range"),
        ([StepPoint(1 + i % 40, 0.05 - 0.001 * (i % 40)) for i in range(300)], "not physical"),
        ([StepPoint(1 + i % 40, 0.001 * (1 + i % 40) - 0.0005) for i in range(300)], "not physical"),
        ([StepPoint(1 + i % 40, 0.01 if i % 2 else 0.09) for i in range(300)], "does not follow"),
    ],
    ids=["few", "narrow", "falling", "through nothing", "scattered"],
)
def test_a_fit_that_the_points_do_not_carry_is_refused(bad: list[StepPoint], reason: str) -> None:
    fit = fit_step(bad)
    assert isinstance(fit, NotApplicable)
    assert reason in fit.reason


@cache
def day() -> tuple[tuple[Workload, Prediction], ...]:
    """What an engine does under changing loads."""
    shape, dice = EngineShape(48, 2048, 200_000), random.Random(3)
    loads = [
        Workload(dice.uniform(50, 900), 60, arrivals_per_second=dice.uniform(0.8, 9), prefix_hit_ratio=0.25)
        for _ in range(260)
    ]
    return tuple((load, predict(shape, STEP, load)) for load in loads)


def _computed(share: float) -> Callable[[Workload, Prediction], float]:
    return lambda load, found: found.requests_per_second * load.prompt_tokens * share


RECORDED: dict[str, Callable[[Workload, Prediction], float]] = {
    "llm_requests_running": lambda _, found: found.running,
    "llm_itl_seconds": lambda _, found: found.itl_mean_seconds,
    "llm_prompt_tokens": _computed(1.0),
    "llm_prefix_cache_hit": _computed(0.25),
    "llm_kv_cache_usage": lambda _, found: found.kv_tokens,
}


class History:
    """Answers range queries with a day of an engine."""

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        raise AssertionError((query, at))

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        assert '{service="ch\\"at"}' in query
        assert end - start == timedelta(hours=24)
        value = next(value for name, value in RECORDED.items() if name in query)
        rows = tuple((index * step_seconds, value(*row)) for index, row in enumerate(day()))
        return [Series({"instance": "10.0.0.1:8000"}, rows)]


def test_a_day_of_a_service_gives_its_step_and_predicts_what_it_did() -> None:
    fit = calibrate(History(), 'ch"at', datetime(2026, 3, 1, tzinfo=UTC))
    assert isinstance(fit, FittedStep)
    assert fit.step.alpha_seconds == pytest.approx(STEP.alpha_seconds, rel=0.1)
    assert fit.step.gamma_seconds == pytest.approx(STEP.gamma_seconds, rel=0.25)
    for load, found in day()[:10]:
        again = predict(EngineShape(48, 2048, 200_000), fit.step, load)
        assert again.itl_mean_seconds == pytest.approx(found.itl_mean_seconds, rel=0.05)
