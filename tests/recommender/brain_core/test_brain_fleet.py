"""Bottlenecks of services and of replicas among others: what confirms them, what speaks against them, their plans."""

from collections.abc import Callable

import pytest

from recommender.diagnosis import diagnose
from recommender.model import DiagnosisStatus, Evidence
from recommender.planner import make_plan
from recommender.playbooks import PlanContext
from rules.catalog import Bottleneck
from tests.recommender.brain_core.explained import assert_ends_in_advice, assert_spoken_against, assert_unknown

Builder = Callable[..., Evidence]
Contexts = Callable[..., PlanContext]
Signals = Callable[[str], dict[str, float]]

# Readings of a replica and of the service that confirm a bottleneck, and those of its nearest look-alike.
Shown = tuple[dict[str, float], dict[str, float]]
CASES: dict[Bottleneck, tuple[Shown, Shown]] = {
    Bottleneck.PREFILL_BOUND: (
        ({"replica:llm_prefill_share_of_ttft:ratio_rate5m": 0.8, "replica:llm_ttft_seconds:p95_5m": 4.0}, {}),
        (
            {
                "replica:llm_prefill_share_of_ttft:ratio_rate5m": 0.2,
                "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.8,
                "replica:llm_ttft_seconds:p95_5m": 4.0,
            },
            {},
        ),
    ),
    Bottleneck.DECODE_BANDWIDTH_BOUND: (
        ({"replica:llm_itl_seconds:p95_5m": 0.2, "gpu:gpu_dram_active:ratio": 0.7}, {}),
        ({"replica:llm_itl_seconds:p95_5m": 0.2, "gpu:gpu_dram_active:ratio": 0.2}, {}),
    ),
    Bottleneck.GPU_IDLE: (
        ({"replica:llm_requests_running:max6h": 0.0, "gpu:gpu_memory_used:ratio": 0.9}, {}),
        ({"replica:llm_requests_running:max6h": 3.0, "gpu:gpu_memory_used:ratio": 0.9}, {}),
    ),
    Bottleneck.REPLICA_STRAGGLER: (
        ({"replica:llm_itl_seconds:robust_z": 6.0, "replica:llm_itl_seconds:ratio_of_median": 1.6}, {}),
        ({"replica:llm_itl_seconds:robust_z": 1.0, "replica:llm_itl_seconds:ratio_of_fastest": 1.1}, {}),
    ),
    Bottleneck.REPLICA_IMBALANCE: (
        ({}, {"service:llm_load:skew_ratio": 2.5, "service:llm_requests_waiting:sum": 20.0}),
        (
            {},
            {
                "service:llm_load:skew_ratio": 1.2,
                "service:llm_load:spread_ratio": 0.3,
                "service:llm_requests_waiting:sum": 20.0,
            },
        ),
    ),
    Bottleneck.REQUEST_ERRORS: (
        ({}, {"service:llm_request_failures:ratio_rate5m": 0.04}),
        (
            {},
            {
                "service:llm_request_failures:ratio_rate5m": 0.0,
                "service:llm_requests_rejected:ratio_rate5m": 0.0,
                "service:llm_request_aborts:ratio_rate5m": 0.3,
            },
        ),
    ),
}


def build(evidence_of: Builder, signals: Signals, shown: Shown, bottleneck: Bottleneck) -> Evidence:
    of_service = {name.replace(":", "__"): value for name, value in shown[1].items()}
    return evidence_of(signals("steady") | shown[0], (bottleneck,), **of_service)


@pytest.mark.parametrize("bottleneck", CASES)
def test_an_alert_of_a_fleet_ends_in_an_explained_plan(
    signals: Signals, evidence_of: Builder, context: Contexts, bottleneck: Bottleneck
) -> None:
    evidence = build(evidence_of, signals, CASES[bottleneck][0], bottleneck)
    assert_ends_in_advice(evidence, bottleneck, context(max_num_seqs=16))


@pytest.mark.parametrize("bottleneck", CASES)
def test_the_look_alike_of_a_fleet_bottleneck_is_not_acted_on(
    signals: Signals, evidence_of: Builder, bottleneck: Bottleneck
) -> None:
    assert_spoken_against(build(evidence_of, signals, CASES[bottleneck][1], bottleneck), bottleneck)


@pytest.mark.parametrize("bottleneck", CASES)
def test_a_fleet_of_which_nothing_is_known_is_not_acted_on(
    signals: Signals, evidence_of: Builder, bottleneck: Bottleneck
) -> None:
    told = {name for shown in CASES[bottleneck] for readings in shown for name in readings}
    unknown = {name: value for name, value in signals("steady").items() if name not in told}
    assert_unknown(evidence_of(unknown, (bottleneck,)), bottleneck)


def test_an_external_cache_that_says_it_is_broken_needs_no_other_proof_and_one_that_works_is_no_reason(
    signals: Signals, evidence_of: Builder, context: Contexts
) -> None:
    def judged(healthy: float) -> Evidence:
        evidence = evidence_of(
            signals("steady") | {"replica:llm_external_cache_healthy": healthy},
            (Bottleneck.CACHE_INEFFICIENCY,),
            **{"service:llm_prefix_cache_hit:ratio_rate5m": 0.8, "service:llm_request_prompt_tokens:mean_5m": 3000.0},
        )
        at_a_replica = tuple(one.model_copy(update={"instances": ("10.0.0.1:8000",)}) for one in evidence.confirmed)
        return evidence.model_copy(update={"confirmed": at_a_replica})

    broken = diagnose(judged(0.0), frozenset({Bottleneck.CACHE_INEFFICIENCY}))
    assert broken.status is DiagnosisStatus.DIAGNOSED, broken.text
    plan = make_plan(broken, judged(0.0), context(max_num_seqs=16))
    assert plan is not None
    assert any("not healthy" in advice for advice in plan.advice)
    works = diagnose(judged(1.0), frozenset({Bottleneck.CACHE_INEFFICIENCY}))
    assert works.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
