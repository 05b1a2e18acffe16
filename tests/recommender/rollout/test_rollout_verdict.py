"""The judge: four outcomes, and unknown never passes."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.model import Basis, Direction, Expectation, Guard, Verdict, VerdictOutcome, Verification
from recommender.verdict import Arm, judge, measuring_error, noise_band

AT = datetime(2026, 3, 1, tzinfo=UTC)
PASS, FAIL, ERROR, INCONCLUSIVE = (
    VerdictOutcome.PASS,
    VerdictOutcome.FAIL,
    VerdictOutcome.ERROR,
    VerdictOutcome.INCONCLUSIVE,
)
GOOD = {"ttft_p95_seconds": 1.0, "itl_p95_seconds": 0.05, "error_ratio": 0.0, "preemptions_per_request": 0.0}
SLOW = {**GOOD, "ttft_p95_seconds": 8.0}
GUARDS = (
    Guard(metric="error_ratio", max_increase=0.005),
    Guard(metric="itl_p95_seconds", max_ratio=1.2),
    Guard(metric="preemptions_per_request", max_value=0.05),
)


def verification(
    metric: str = "ttft_p95_seconds", direction: Direction = Direction.LOWER, **update: Any
) -> Verification:
    given_ = {
        "must_improve": Expectation(metric=metric, direction=direction, low=0.9, high=0.5, source="test"),
        "guards": GUARDS,
        "settle_seconds": 60,
        "window_seconds": 900,
        "interval_seconds": 60,
        "min_requests": 100,
    }
    return Verification(**{**given_, **update})


def arm(
    values: Any,
    *,
    requests: float = 500.0,
    metric: str = "ttft_p95_seconds",
    spread: float = 0.05,
    count: int = 15,
    label: str = "arm",
    problem: str = "",
) -> Arm:
    """An arm whose samples lie evenly around its value."""
    value = values.get(metric)
    samples = () if value is None else tuple(value * (1 + spread * (i / count - 0.5)) for i in range(count))
    return Arm(label, requests, values, {metric: samples}, problem)


def outcome(canary: Arm, control: Arm, spec: Verification | None = None, **options: Any) -> Verdict:
    return judge(spec or verification(), canary, control, at=AT, window_seconds=900, basis=Basis.CONTROL, **options)


def test_a_clear_improvement_with_no_guard_hurt_passes_and_says_the_figures() -> None:
    verdict = outcome(arm(GOOD, label="the canary a:1"), arm(SLOW, label="2 unchanged replicas"))
    assert verdict.outcome is PASS
    assert "TTFT p95 1 s against 8 s (-88 %)" in verdict.text
    assert "the canary a:1 against 2 unchanged replicas" in verdict.text
    assert "500 and 500 requests in 900 s" in verdict.text
    assert verdict.comparisons[0].ratio == pytest.approx(1 / 8)
    assert verdict.comparisons[0].p_value < 0.02


def test_a_clear_worsening_of_the_promised_metric_fails() -> None:
    assert outcome(arm(SLOW), arm(GOOD)).outcome is FAIL


def test_the_same_on_both_sides_is_inconclusive() -> None:
    assert outcome(arm(GOOD), arm(GOOD)).outcome is INCONCLUSIVE


def test_an_improvement_below_the_least_that_counts_is_inconclusive_however_significant() -> None:
    slightly = {**GOOD, "ttft_p95_seconds": 0.98}
    verdict = outcome(arm(slightly, spread=0.001), arm(GOOD, spread=0.001))
    assert verdict.comparisons[0].p_value < 0.001
    assert verdict.outcome is INCONCLUSIVE


def test_an_improvement_within_what_the_two_arms_differed_by_before_is_inconclusive() -> None:
    better = {**GOOD, "ttft_p95_seconds": 0.8}
    assert outcome(arm(better, spread=0.01), arm(GOOD, spread=0.01)).outcome is PASS
    noise = noise_band("ttft_p95_seconds", arm({"ttft_p95_seconds": 3.0}), arm({"ttft_p95_seconds": 4.0}))
    assert noise == pytest.approx(0.25)
    assert outcome(arm(better, spread=0.01), arm(GOOD, spread=0.01), noise=noise).outcome is INCONCLUSIVE


def test_an_improvement_that_may_be_chance_is_inconclusive() -> None:
    values = {"ttft_p95_seconds": (1.0, 9.0, 1.2, 8.0), "control": (8.0, 1.1, 9.0, 2.0)}
    canary = Arm("canary", 500, {**GOOD, "ttft_p95_seconds": 4.0}, {"ttft_p95_seconds": values["ttft_p95_seconds"]})
    control = Arm("control", 500, {**GOOD, "ttft_p95_seconds": 6.0}, {"ttft_p95_seconds": values["control"]})
    verdict = outcome(canary, control)
    assert verdict.outcome is INCONCLUSIVE
    assert "may be chance" in verdict.text


@pytest.mark.parametrize(("count", "wanted"), [(4, PASS), (3, INCONCLUSIVE)])
def test_a_window_too_short_for_significance_passes_only_when_the_effect_is_plain(
    count: int, wanted: VerdictOutcome
) -> None:
    spec = verification(interval_seconds=5)  # thinned to one a minute: a single sample is left
    assert outcome(arm(GOOD, count=count), arm(SLOW, count=count), spec).outcome is wanted


def test_a_plain_effect_needs_a_quarter() -> None:
    spec = verification(interval_seconds=5)
    faster = {**GOOD, "ttft_p95_seconds": 0.8}
    assert outcome(arm(faster, count=8, spread=0.01), arm(GOOD, count=8, spread=0.01), spec).outcome is INCONCLUSIVE


def test_samples_without_an_improvement_at_all_do_not_pass_for_lack_of_a_p_value() -> None:
    assert outcome(arm(GOOD, count=0), arm(SLOW, count=0)).outcome is INCONCLUSIVE


def test_a_metric_that_should_rise_is_judged_the_other_way_round() -> None:
    spec = verification("generation_tokens_per_second", Direction.HIGHER, guards=())
    fast, slow = {"generation_tokens_per_second": 900.0}, {"generation_tokens_per_second": 500.0}
    metric = "generation_tokens_per_second"
    assert outcome(arm(fast, metric=metric), arm(slow, metric=metric), spec).outcome is PASS
    assert outcome(arm(slow, metric=metric), arm(fast, metric=metric), spec).outcome is FAIL


@pytest.mark.parametrize(
    ("hurt", "says"),
    [
        ({"error_ratio": 0.02}, "error ratio 2 % against 0 %: more than 0.5 % above it"),
        ({"itl_p95_seconds": 0.07}, "inter-token latency p95 70 ms against 50 ms: more than 1.2 times as much"),
        ({"preemptions_per_request": 0.06}, "preemptions per request 0.06 against 0: above 0.05"),
    ],
)
def test_a_hurt_guard_fails_however_good_the_improvement(hurt: dict[str, float], says: str) -> None:
    verdict = outcome(arm({**GOOD, **hurt}), arm(SLOW))
    assert verdict.outcome is FAIL
    assert says in verdict.text


def test_guards_are_one_sided() -> None:
    better = {**GOOD, "itl_p95_seconds": 0.001}
    assert outcome(arm(better), arm({**SLOW, "error_ratio": 0.3})).outcome is PASS


def test_a_guard_whose_value_is_unknown_is_an_error_and_not_a_pass() -> None:
    verdict = outcome(arm({**GOOD, "error_ratio": None}), arm(SLOW))
    assert verdict.outcome is ERROR
    assert "error ratio of arm is unknown" in verdict.text


def test_a_counter_that_is_zero_in_both_arms_is_fine() -> None:
    spec = verification(guards=(Guard(metric="preemptions_per_request", max_ratio=1.1),))
    assert outcome(arm(GOOD), arm(SLOW), spec).outcome is PASS


def test_a_ratio_guard_is_hurt_by_a_rise_from_zero() -> None:
    spec = verification(guards=(Guard(metric="preemptions_per_request", max_ratio=1.1),))
    assert outcome(arm({**GOOD, "preemptions_per_request": 0.2}), arm(SLOW), spec).outcome is FAIL


def test_an_idle_canary_is_inconclusive() -> None:
    idle = Arm("canary", 0.0, dict.fromkeys(GOOD))
    verdict = outcome(idle, arm(SLOW))
    assert verdict.outcome is INCONCLUSIVE
    assert "canary served 0 of the 100 requests needed" in verdict.text


def test_an_unknown_number_of_requests_is_an_error() -> None:
    assert outcome(Arm("canary", None, GOOD), arm(SLOW)).outcome is ERROR
    assert outcome(arm(GOOD), Arm("control", math.nan, SLOW)).outcome is ERROR


def test_an_arm_with_gaps_is_an_error_that_says_so() -> None:
    verdict = outcome(arm(GOOD, problem="its metrics are there for only 40% of the window"), arm(SLOW))
    assert (verdict.outcome, "only 40%" in verdict.text) == (ERROR, True)


def test_harm_that_is_known_outweighs_what_is_unknown() -> None:
    canary = arm({**GOOD, "error_ratio": 0.5, "itl_p95_seconds": None})
    assert outcome(canary, arm(SLOW)).outcome is FAIL


def test_validation_asks_only_that_the_promised_metric_is_not_worse() -> None:
    assert outcome(arm(GOOD), arm(GOOD), require_improvement=False).outcome is PASS
    assert outcome(arm(SLOW), arm(GOOD), require_improvement=False).outcome is FAIL
    assert outcome(arm({**GOOD, "ttft_p95_seconds": None}), arm(GOOD), require_improvement=False).outcome is ERROR


def test_validation_does_not_pass_a_large_loss_that_may_be_chance() -> None:
    spec = verification(interval_seconds=5)
    worse = {**GOOD, "ttft_p95_seconds": 1.5}
    assert outcome(arm(worse, count=2), arm(GOOD, count=2), spec, require_improvement=False).outcome is INCONCLUSIVE


def test_validation_takes_a_lower_token_rate_without_a_queue_for_lower_demand() -> None:
    metric = "generation_tokens_per_second"
    spec = verification(metric, Direction.HIGHER, guards=())
    before = arm({metric: 900.0, "requests_waiting": 40.0}, metric=metric)
    for waiting, wanted in ((0.0, PASS), (12.0, FAIL), (None, FAIL)):
        now = arm({metric: 500.0, "requests_waiting": waiting}, metric=metric)
        assert outcome(now, before, spec, require_improvement=False).outcome is wanted
        assert outcome(now, before, spec).outcome is FAIL


def test_a_measuring_error_says_why() -> None:
    verdict = measuring_error("Prometheus did not answer", at=AT, window_seconds=60)
    assert (verdict.outcome, verdict.text) == (ERROR, "error: Prometheus did not answer")


def damaged(values: dict[str, float], requests: float) -> st.SearchStrategy[Arm]:
    """An arm of which any figure may be missing, or no number."""
    missing = st.sampled_from([None, math.nan, math.inf])
    return st.builds(
        Arm,
        st.just("arm"),
        st.just(requests) | st.none() | st.floats(0, 200),
        st.fixed_dictionaries({metric: st.just(value) | st.just(value) | missing for metric, value in values.items()}),
        st.just(arm(values).samples) | st.just({}),
        st.just("") | st.just("gaps"),
    )


arms = damaged(GOOD, 500) | damaged(SLOW, 500)


@given(arms, arms, st.booleans())
def test_a_pass_has_every_figure_that_was_asked_for(canary: Arm, control: Arm, require_improvement: bool) -> None:
    verdict = outcome(canary, control, require_improvement=require_improvement)
    if verdict.outcome is not PASS:
        return
    assert min(canary.requests, control.requests) >= 100
    for metric in GOOD:
        assert canary.value(metric) is not None
    for metric in ("ttft_p95_seconds", "error_ratio", "itl_p95_seconds"):
        assert control.value(metric) is not None


@given(st.sampled_from(sorted(GOOD)), st.sampled_from([None, math.nan, math.inf, -math.inf]), st.booleans())
def test_taking_away_any_figure_of_the_canary_from_a_pass_makes_it_no_pass(
    metric: str, missing: Any, require_improvement: bool
) -> None:
    spoiled = arm({**GOOD, metric: missing})
    verdict = outcome(
        Arm("arm", 500, spoiled.values, arm(GOOD).samples), arm(SLOW), require_improvement=require_improvement
    )
    assert verdict.outcome is ERROR


@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_swapping_the_arms_never_passes_twice(first: list[float], second: list[float]) -> None:
    one, other = arm({**GOOD, "ttft_p95_seconds": first}), arm({**GOOD, "ttft_p95_seconds": second})
    assert not (outcome(one, other).outcome is PASS and outcome(other, one).outcome is PASS)


def test_the_ratio_has_an_interval_that_widens_with_scatter_and_with_what_the_arms_differed_before() -> None:
    def interval(**options: Any) -> tuple[float, float, float]:
        spread, noise = options.get("spread", 0.05), options.get("noise", 0.0)
        first = outcome(arm(GOOD, spread=spread), arm(SLOW, spread=spread), noise=noise).comparisons[0]
        return first.ratio_low, first.ratio, first.ratio_high

    low, ratio, high = interval()
    assert low < ratio < high
    assert ratio * ratio == pytest.approx(low * high)
    assert interval(spread=0.5)[2] > high
    assert interval(noise=0.2)[2] > high


def test_a_verdict_says_what_it_compared_and_of_how_many_requests_and_samples() -> None:
    verdict = outcome(arm(GOOD, requests=400), arm(SLOW))
    assert (verdict.basis, verdict.requests, verdict.comparisons[0].samples) == (Basis.CONTROL, 400, 15)


@pytest.mark.parametrize("canary", [arm(GOOD, count=3), arm({**GOOD, "ttft_p95_seconds": 0.0})])
def test_few_samples_or_a_ratio_of_nothing_have_no_interval(canary: Arm) -> None:
    first = outcome(canary, arm(SLOW)).comparisons[0]
    assert (first.ratio_low, first.ratio_high, first.samples) == (None, None, None)
