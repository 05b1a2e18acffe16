"""What a person reads at three in the morning: whole sentences, no figure that contradicts its words."""

import re
from datetime import UTC, datetime

import pytest

from recommender.metrics import VerificationMetric
from recommender.model import Diagnosis, DiagnosisStatus, Evidence, Plan
from recommender.planner import make_plan
from recommender.playbooks import PLAYBOOKS, PlanContext
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, advised, context, evidence, facts, finding, refused, size

THRASH = {
    "replica:llm_up": 1.0,
    "replica:llm_requests_running:avg2m": 30.0,
    "replica:llm_requests_running:max2m": 40.0,
    "replica:llm_requests_waiting:avg2m": 12.0,
    "replica:llm_kv_cache_usage:avg2m": 0.97,
    "replica:llm_kv_cache_capacity_tokens": 60_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 2_000.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.5,
    "gpu:gpu_memory_free_bytes": 16e9,
    "gpu:gpu_memory_used:ratio": 0.8,
}


def plan_of(bottleneck: Bottleneck, seen: Evidence, given: PlanContext) -> Plan:
    """The plan for a bottleneck of both replicas."""
    found = (finding(bottleneck, ONE, TWO),)
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    diagnosis = Diagnosis(service="chat", at=at, status=DiagnosisStatus.DIAGNOSED, findings=found)
    plan = make_plan(diagnosis, seen, given)
    assert plan is not None
    return plan


def test_the_pessimistic_end_is_what_the_words_say_it_is() -> None:
    plan = plan_of(Bottleneck.KV_CACHE_PRESSURE, evidence(THRASH), context(max_running_requests=64))
    goal = plan.expected[0]
    assert plan.playbook == "P02.5"
    assert (goal.metric, goal.low, goal.high) == (VerificationMetric.PREEMPTIONS_PER_REQUEST, 0.97, 0.0)
    assert plan.verification is not None
    assert goal.low == 1 - plan.verification.min_improvement  # "at worst the least that counts as proof"
    assert "at worst the least that counts as proof" in goal.source


def test_what_counts_as_proof_is_that_of_the_playbook_in_the_plan_too() -> None:
    """A share of memory that falls by 0.03 can never be 3 % less: half of what is given back is proof."""
    full = THRASH | {"gpu:gpu_memory_used:ratio": 0.98, "gpu:gpu_memory_free_bytes": 1.6e9}
    roomy = full | {"replica:llm_kv_cache_usage:max2m": 0.3, "replica:llm_kv_cache_usage:avg2m": 0.2}
    given = context(known=facts(), kv_cache_memory_fraction=0.95)
    plan = plan_of(Bottleneck.GPU_MEMORY_PRESSURE, evidence(roomy), given)
    assert (plan.playbook, plan.change and plan.change.new) == ("P01.2", 0.92)
    assert plan.verification is not None
    assert plan.verification.min_improvement == pytest.approx(0.03 / 0.98 / 2, abs=0.0001)


def test_an_engine_that_tells_no_preemptions_is_not_said_to_preempt() -> None:
    silent = {name: value for name, value in THRASH.items() if "preemptions" not in name}
    change = plan_of(
        Bottleneck.KV_CACHE_PRESSURE, evidence(silent), context("tgi", kv_cache_memory_fraction=0.8)
    ).change
    assert change is not None
    assert change.reason.startswith(f"{ONE} uses 97 % of its KV cache on average while 12 requests wait:")


@pytest.mark.parametrize("bottleneck", sorted(PLAYBOOKS))
@pytest.mark.parametrize("engine", ["vllm", "llamacpp", "ollama"])
def test_what_is_unknown_does_not_stand_where_a_figure_belongs(bottleneck: Bottleneck, engine: str) -> None:
    plan = plan_of(bottleneck, evidence({"replica:llm_up": 1.0}), context(engine))
    for text in (plan.title, *plan.advice, *(one.reason for one in plan.alternatives)):
        assert not re.search(r"unknown (of|in use|for|times|requests)\b|is unknown (of|in)", text), text
    for text in plan.advice:
        assert text[0].isupper() or text[0].isdigit(), text
    assert not re.search(r"\b(kv|gpu|cpu|gpus|slo)\b", plan.title), plan.title


def test_several_replicas_do_not_hold_in_the_singular() -> None:
    stuck = evidence({"replica:llm_requests_running": 12.0})
    text = advised(size(Bottleneck.ENGINE_FROZEN, "P20.2", stuck, context()))
    assert text.startswith(f"{ONE}, {TWO} each hold up to 12 requests and give no token.")
    down = evidence({"replica:llm_up": 0.0})
    text = advised(size(Bottleneck.TARGET_DOWN, "P20.1", down, context()))
    assert text.startswith(f"{ONE}, {TWO} do not answer:")


def test_one_of_a_thing_is_not_several() -> None:
    seen = evidence({"gpu:gpu_xid_faults:increase10m": 1.0})
    assert "1 Xid event in 10 minutes" in advised(size(Bottleneck.GPU_FAULT, "P14.1", seen, context()))
    service = {"service:llm_replicas_expected:count": 2.0, "service:llm_scale_in_replicas:count": 1.0}
    seen = evidence({}, service=service)
    assert advised(size(Bottleneck.OVER_PROVISIONED, "P23.1", seen, context())).startswith("Run 1 replica instead of 2")


def test_a_burn_is_no_reason_for_more_slots_where_slots_are_free() -> None:
    """An error budget burns for many reasons: the batch limit is raised only where first tokens wait for slots."""
    half = THRASH | {
        "replica:llm_kv_cache_usage:avg2m": 0.3,
        "replica:llm_kv_cache_usage:max2m": 0.4,
        "replica:llm_max_running_requests": 64.0,
        "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.1,
        "replica:llm_ttft_seconds:p95_5m": 9.0,
        "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
    }
    outcome = size(Bottleneck.SLO_BURN, "P04.1", evidence(half), context(max_running_requests=64))
    assert "not known to wait for slots alone" in refused(outcome)
