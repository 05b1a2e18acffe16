"""Capacity: an alert ends in advice with the figures that were measured, a look-alike or a gap in nothing."""

from collections.abc import Callable

import pytest

from recommender.diagnosis import diagnose
from recommender.diagnosis.decide import PRECEDENCE
from recommender.model import DiagnosisStatus, Evidence, Plan
from recommender.planner import make_plan
from recommender.playbooks import PlanContext
from rules.catalog import Bottleneck

Builder = Callable[..., Evidence]
Contexts = Callable[..., PlanContext]
Signals = Callable[[str], dict[str, float]]

# Readings of the service that confirm a bottleneck, those of its nearest look-alike, and what the advice must say.
CASES: dict[Bottleneck, tuple[dict[str, float], dict[str, float], str]] = {
    Bottleneck.PREDICTED_SATURATION: (
        {
            "service:llm_capacity_usage:forecast_max": 0.97,
            "service:llm_replicas_reporting:ratio": 1.0,
            "service:llm_replicas_expected:count": 3.0,
            "service:llm_replicas_desired:count": 4.0,
        },
        {"service:llm_capacity_usage:forecast_max": 0.7, "service:llm_replicas_reporting:ratio": 1.0},
        "Run 4 replicas instead of 3: demand is forecast to be 97 % of what they can take (ceil(0.97·3/0.75) = 4",
    ),
    Bottleneck.OVER_PROVISIONED: (
        {
            "service:llm_scale_in:safe": 1.0,
            "service:llm_scale_in_usage:max": 0.31,
            "service:llm_scale_in_replicas:count": 2.0,
            "service:llm_replicas_expected:count": 3.0,
        },
        {
            "service:llm_scale_in:safe": 0.0,
            "service:llm_scale_in_usage:max": 0.31,
            "service:llm_scale_in_replicas:count": 2.0,
        },
        "Run 2 replicas instead of 3: 31 % of what they can take would be in use.",
    ),
    Bottleneck.COST_PER_TOKEN: (
        {
            "service:llm_cost_per_million_tokens:ratio_of_week": 2.5,
            "service:llm_cost_per_million_tokens:1h": 5.0,
            "service:llm_cost_per_million_tokens:avg7d": 2.0,
            "service:llm_max_running_requests:sum": 64.0,
            "service:llm_prompt_tokens:rate5m": 300.0,
            "service:llm_generation_tokens:rate5m": 100.0,
        },
        {
            "service:llm_cost_per_million_tokens:ratio_of_week": 1.1,
            "service:llm_cost_per_million_tokens:1h": 2.2,
            "service:llm_cost_per_million_tokens:avg7d": 2.0,
        },
        "A million tokens cost 5.00, 2.00 on average of a week.",
    ),
}


def build(evidence_of: Builder, signals: Signals, readings: dict[str, float], bottleneck: Bottleneck) -> Evidence:
    return evidence_of(
        signals("steady"), (bottleneck,), **{name.replace(":", "__"): value for name, value in readings.items()}
    )


def plan_of(evidence: Evidence, bottleneck: Bottleneck, context: PlanContext) -> Plan:
    diagnosis = diagnose(evidence, frozenset({bottleneck}))
    assert diagnosis.status is DiagnosisStatus.DIAGNOSED, diagnosis.text
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is bottleneck
    plan = make_plan(diagnosis, evidence, context)
    assert plan is not None
    return plan


@pytest.mark.parametrize("bottleneck", CASES)
def test_an_alert_of_capacity_ends_in_advice_with_its_figures(
    signals: Signals, evidence_of: Builder, context: Contexts, bottleneck: Bottleneck
) -> None:
    readings, _, said = CASES[bottleneck]
    plan = plan_of(build(evidence_of, signals, readings, bottleneck), bottleneck, context(max_num_seqs=16))
    assert plan.change is None
    assert said in plan.advice[0]
    assert len(plan.advice) >= 3


@pytest.mark.parametrize("bottleneck", CASES)
def test_a_look_alike_or_a_gap_is_not_acted_on(signals: Signals, evidence_of: Builder, bottleneck: Bottleneck) -> None:
    look_alike = diagnose(build(evidence_of, signals, CASES[bottleneck][1], bottleneck), frozenset({bottleneck}))
    assert look_alike.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert look_alike.findings[0].confidence == 0.0
    unknown = diagnose(build(evidence_of, signals, {}, bottleneck), frozenset({bottleneck}))
    assert unknown.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert unknown.missing


def test_what_is_not_known_is_not_in_the_advice(signals: Signals, evidence_of: Builder, context: Contexts) -> None:
    """Each sized advice needs its own figures besides those that confirm; without them the reason is told."""
    needed = {
        Bottleneck.PREDICTED_SATURATION: "service:llm_replicas_expected:count",
        Bottleneck.OVER_PROVISIONED: "service:llm_replicas_expected:count",
        Bottleneck.COST_PER_TOKEN: "service:llm_cost_per_million_tokens:avg7d",
    }
    for bottleneck, name in needed.items():
        readings = {key: value for key, value in CASES[bottleneck][0].items() if key != name}
        plan = plan_of(build(evidence_of, signals, readings, bottleneck), bottleneck, context(max_num_seqs=16))
        assert "unknown" in plan.alternatives[0].reason
        assert len(plan.advice) >= 2


def test_a_forecast_that_the_present_replicas_hold_asks_for_none(
    signals: Signals, evidence_of: Builder, context: Contexts
) -> None:
    readings = CASES[Bottleneck.PREDICTED_SATURATION][0] | {"service:llm_replicas_desired:count": 3.0}
    evidence = build(evidence_of, signals, readings, Bottleneck.PREDICTED_SATURATION)
    plan = plan_of(evidence, Bottleneck.PREDICTED_SATURATION, context(max_num_seqs=16))
    assert plan.alternatives[0].reason.startswith("3 replicas are what is desired")


def test_the_replica_that_has_least_to_do_is_named(signals: Signals, evidence_of: Builder, context: Contexts) -> None:
    evidence = evidence_of(
        signals("steady") | {"replica:llm_scale_in:candidate": 1.0},
        (Bottleneck.OVER_PROVISIONED,),
        **{name.replace(":", "__"): value for name, value in CASES[Bottleneck.OVER_PROVISIONED][0].items()},
    )
    plan = plan_of(evidence, Bottleneck.OVER_PROVISIONED, context(max_num_seqs=16))
    assert "10.0.0.1:8000 has least to do" in plan.advice[0]


# Gaps between tokens are late in a full batch of short prompts: no step computes what a smaller budget would cut.
LATE = {
    "replica:llm_itl_seconds:p50_5m": 0.088,
    "replica:llm_itl_seconds:p95_5m": 0.111,
    "replica:llm_itl_seconds:p99_5m": 0.142,
    "replica:llm_ttft_seconds:p95_5m": 0.5,
    "replica:llm_step_tokens:mean_5m": 74.0,
    "replica:llm_request_prompt_tokens:mean_5m": 99.0,
}
FORECAST = CASES[Bottleneck.PREDICTED_SATURATION][0]


def late_plan(
    evidence_of: Builder, signals: Signals, context: Contexts, shown: dict[str, float], readings: dict[str, float]
) -> Plan:
    holds = (Bottleneck.HIGH_LATENCY, Bottleneck.PREDICTED_SATURATION) if readings else (Bottleneck.HIGH_LATENCY,)
    told = {name.replace(":", "__"): value for name, value in readings.items()}
    evidence = evidence_of(signals("steady") | LATE | shown, holds, **told)
    plan = make_plan(diagnose(evidence), evidence, context(max_num_seqs=16, max_num_batched_tokens=8192))
    assert plan is not None
    return plan


def test_latency_without_a_change_that_helps_gets_the_replicas_of_the_forecast(
    signals: Signals, evidence_of: Builder, context: Contexts
) -> None:
    plan = late_plan(evidence_of, signals, context, {}, FORECAST)
    assert (plan.playbook, plan.change, plan.bottleneck) == ("P22.1", None, Bottleneck.PREDICTED_SATURATION)
    assert plan.advice[0].startswith("Run 4 replicas instead of 3")
    assert any(one.startswith("Where the time goes") for one in plan.advice)


@pytest.mark.parametrize("readings", [FORECAST, {}])
def test_latency_by_long_prompts_gets_shorter_steps_whatever_is_forecast(
    signals: Signals, evidence_of: Builder, context: Contexts, readings: dict[str, float]
) -> None:
    long = {"replica:llm_request_prompt_tokens:mean_5m": 6000.0, "replica:llm_step_tokens:mean_5m": 900.0}
    plan = late_plan(evidence_of, signals, context, long, readings)
    assert (plan.playbook, plan.change.new if plan.change else None) == ("P05.2", 4096)


@pytest.mark.parametrize(
    "readings",
    [{}, CASES[Bottleneck.PREDICTED_SATURATION][1], FORECAST | {"service:llm_replicas_desired:count": 3.0}],
)
def test_a_forecast_that_is_not_believed_or_asks_for_nothing_leaves_the_symptom(
    signals: Signals, evidence_of: Builder, context: Contexts, readings: dict[str, float]
) -> None:
    plan = late_plan(evidence_of, signals, context, {}, readings)
    assert (plan.playbook, plan.bottleneck) == ("P07.0", Bottleneck.HIGH_LATENCY)


def test_whatever_hurts_now_goes_before_capacity() -> None:
    assert PRECEDENCE[-3:] == tuple(CASES)
