"""Which rows a finished workflow gives: what was measured, and nothing that was not."""

from typing import Any

import pytest

from recommender.ledger.model import Effect, sigma, succeeded
from recommender.ledger.record import effects_of
from recommender.model import (
    Baseline,
    Basis,
    Comparison,
    Direction,
    Expectation,
    Verdict,
    VerdictOutcome,
    Workflow,
    WorkflowState,
)
from tests.recommender.rollout.builders import START, make_plan, make_workflow

PASS, FAIL, ERROR, INCONCLUSIVE = (
    VerdictOutcome.PASS,
    VerdictOutcome.FAIL,
    VerdictOutcome.ERROR,
    VerdictOutcome.INCONCLUSIVE,
)
TTFT, ITL, TOKENS = "ttft_p95_seconds", "itl_p95_seconds", "generation_tokens_per_second"
S = WorkflowState
MORE = Expectation(metric=TOKENS, direction=Direction.HIGHER, low=1.0, mid=1.3, high=2.0, source="published")


def comparison(metric: str = TTFT, ratio: float | None = 0.6, **update: Any) -> Comparison:
    given = {"canary": ratio, "control": 1.0, "outcome": PASS, "text": ""}
    return Comparison(**{"metric": metric, "ratio": ratio, **given, **update})


def verdict(*comparisons: Comparison, outcome: VerdictOutcome = PASS, basis: Basis | None = Basis.CONTROL) -> Verdict:
    return Verdict(
        outcome=outcome, at=START, window_seconds=900, basis=basis, requests=450, comparisons=comparisons, text=""
    )


def finished(*verdicts: Verdict, state: WorkflowState = S.SUCCEEDED, **update: Any) -> Workflow:
    plan = make_plan(expected=(MORE,), engine_version="0.11.0", gpu="H100 SXM")
    return make_workflow(state, plan=plan, verdicts=verdicts, **update)


def kept(effect: Effect) -> bool | None:
    return succeeded(promised=effect.promised, state=effect.state, verdict=effect.verdict)


def ratios(workflow: Workflow) -> dict[str, float]:
    return {one.metric: one.ratio for one in effects_of(workflow)}


def test_a_row_says_what_was_promised_what_was_measured_and_of_what() -> None:
    sure = comparison(ratio=0.6, ratio_low=0.5, ratio_high=0.7, samples=15)
    effect = effects_of(finished(verdict(sure)))[0]
    assert (effect.predicted_low, effect.predicted_mid, effect.predicted_high) == (0.9, None, 0.5)
    assert (effect.ratio, effect.ratio_low, effect.ratio_high, effect.samples) == (0.6, 0.5, 0.7, 15)
    assert (effect.playbook, effect.engine, effect.engine_version, effect.gpu) == (
        "P04.1",
        "vllm",
        "0.11.0",
        "H100 SXM",
    )
    assert (effect.knob, effect.old, effect.new) == ("max_running_requests", 8, 16)
    assert (effect.requests, effect.basis, effect.window_seconds) == (450, Basis.CONTROL, 900)
    assert (effect.promised, kept(effect), effect.direction) == (True, True, Direction.LOWER)
    assert sigma(effect.ratio_low, effect.ratio_high) == pytest.approx(0.0858, abs=1e-3)
    assert sigma(None, 0.7) is sigma(0.0, 0.7) is None


@pytest.mark.parametrize("state", sorted(set(S) - {S.SUCCEEDED, S.ROLLED_BACK, S.ROLLBACK_FAILED}))
def test_a_workflow_that_goes_on_or_never_began_has_no_effect(state: WorkflowState) -> None:
    assert effects_of(finished(verdict(comparison()), state=state)) == ()


@pytest.mark.parametrize("ratio", [None, float("nan"), float("inf"), -1.0])
def test_what_has_no_ratio_was_not_measured(ratio: float | None) -> None:
    assert ratios(finished(verdict(comparison(ratio=ratio), comparison(ITL, 1.1)))) == {ITL: 1.1}


def test_a_verdict_that_compared_nothing_gives_nothing() -> None:
    assert effects_of(finished(verdict(outcome=INCONCLUSIVE), state=S.ROLLED_BACK)) == ()
    assert effects_of(finished(state=S.ROLLED_BACK)) == ()


def test_of_a_kept_change_the_canary_counts_and_of_one_taken_back_what_decided() -> None:
    canary = verdict(comparison(ratio=0.6))
    service = verdict(comparison(ratio=0.9), basis=Basis.BEFORE)
    assert ratios(finished(canary, service)) == {TTFT: 0.6}
    assert ratios(finished(canary, service, state=S.ROLLED_BACK)) == {TTFT: 0.9}


def test_the_last_window_of_an_extended_canary_counts() -> None:
    first, second = (verdict(comparison(ratio=one), outcome=INCONCLUSIVE) for one in (0.95, 0.99))
    effect = effects_of(finished(first, second, state=S.ROLLED_BACK))[0]
    assert (effect.ratio, kept(effect)) == (0.99, False)


def test_without_a_control_before_and_after_is_what_there_is() -> None:
    effect = effects_of(finished(verdict(comparison(ratio=0.7), basis=Basis.BEFORE)))[0]
    assert (effect.ratio, effect.basis) == (0.7, Basis.BEFORE)


def test_throughput_that_nobody_judged_is_what_validation_saw_before_and_after() -> None:
    baseline = Baseline(at=START, values={TOKENS: 1000.0})
    done = finished(verdict(comparison()), baseline=baseline, outcome={TOKENS: 1250.0, ITL: 0.1})
    effect = {one.metric: one for one in effects_of(done)}[TOKENS]
    assert (effect.ratio, effect.basis, effect.outcome, effect.promised) == (1.25, Basis.BEFORE, None, False)
    assert (effect.predicted_low, effect.predicted_mid, effect.predicted_high) == (1.0, 1.3, 2.0)
    assert kept(effect) is None


@pytest.mark.parametrize("before", [None, 0.0])
def test_a_baseline_of_nothing_gives_no_ratio(before: float | None) -> None:
    baseline = Baseline(at=START, values={TOKENS: before})
    assert TOKENS not in ratios(finished(verdict(comparison()), baseline=baseline, outcome={TOKENS: 5.0}))


def test_what_was_taken_back_because_measuring_failed_or_a_person_wished_is_nothing_against_it() -> None:
    for last in (verdict(outcome=ERROR), verdict(comparison(ratio=0.6))):
        effect = effects_of(finished(verdict(comparison(ratio=0.6)), last, state=S.ROLLED_BACK))[0]
        assert (effect.ratio, kept(effect)) == (0.6, None)


def test_a_hurt_guard_counts_against_a_change_whose_promise_was_kept() -> None:
    hurt = verdict(comparison(ratio=0.5), comparison(ITL, 1.8, outcome=FAIL), outcome=FAIL)
    found = {one.metric: one for one in effects_of(finished(hurt, state=S.ROLLED_BACK))}
    assert (found[TTFT].ratio, kept(found[TTFT])) == (0.5, False)
    assert (found[ITL].ratio, kept(found[ITL])) == (1.8, None)
