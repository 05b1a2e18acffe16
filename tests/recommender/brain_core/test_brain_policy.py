"""Policy: who approves, and every refusal with its reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from recommender.diagnosis import diagnose
from recommender.inventory import PolicyConfig
from recommender.model import Evidence, Plan, Risk, Workflow, WorkflowState
from recommender.planner import make_plan
from recommender.playbooks import PlanContext
from recommender.policy import Decision, admit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTO = PolicyConfig(approval="auto")


@pytest.fixture
def evidence(state: Callable[..., Evidence]) -> Evidence:
    return state("saturated", limit=16)


@pytest.fixture
def plan(evidence: Evidence, context: Callable[..., PlanContext]) -> Plan:
    made = make_plan(diagnose(evidence), evidence, context(max_num_seqs=16))
    assert made is not None
    return made


def _admit(plan: Plan, policy: PolicyConfig = AUTO, **update: object) -> Decision:
    given: dict[str, object] = {"active": None, "last_finished_at": None, "now": NOW}
    return admit(plan, policy, **{**given, **update})  # type: ignore[arg-type]  # keywords of one function


def _with_risk(plan: Plan, risk: Risk) -> Plan:
    assert plan.change is not None
    return plan.model_copy(update={"change": plan.change.model_copy(update={"risk": risk})})


def test_a_person_decides_by_default(plan: Plan) -> None:
    decision = _admit(plan, PolicyConfig())
    assert decision.allowed
    assert decision.approval == "manual"


@pytest.mark.parametrize(
    ("risk", "approval"),
    [(Risk.LIVE, "auto"), (Risk.RESTART, "auto"), (Risk.QUALITY, "manual"), (Risk.HARDWARE, "manual")],
)
def test_auto_covers_live_and_restart_and_never_quality_or_hardware(plan: Plan, risk: Risk, approval: str) -> None:
    decision = _admit(_with_risk(plan, risk))
    assert decision.allowed
    assert decision.approval == approval


def test_one_change_at_a_time_for_a_service(plan: Plan, evidence: Evidence) -> None:
    active = Workflow(
        id="w-7",
        service="chat",
        state=WorkflowState.CANARY,
        plan=plan,
        diagnosis=diagnose(evidence),
        created_at=NOW,
        updated_at=NOW,
    )
    decision = _admit(plan, active=active)
    assert not decision.allowed
    assert "workflow w-7 (canary)" in decision.reason


@pytest.mark.parametrize(("ago", "allowed"), [(0, False), (1799, False), (1800, True), (7200, True)])
def test_the_cooldown_runs_from_the_end_of_the_last_change(plan: Plan, ago: float, allowed: bool) -> None:
    decision = _admit(plan, last_finished_at=NOW - timedelta(seconds=ago))
    assert decision.allowed is allowed
    assert allowed or "policy.cooldown_seconds: 1800" in decision.reason


@pytest.mark.parametrize(("healthy", "allowed"), [(3, True), (2, True), (1, False), (0, False), (None, False)])
def test_the_last_healthy_replica_is_not_restarted_and_unknown_counts_as_none(
    plan: Plan, healthy: int | None, allowed: bool
) -> None:
    decision = _admit(plan.model_copy(update={"healthy_replicas": healthy}))
    assert decision.allowed is allowed
    assert _admit(_with_risk(plan.model_copy(update={"healthy_replicas": healthy}), Risk.LIVE)).allowed


def test_whoever_has_one_replica_is_told_the_change_that_a_person_may_make(plan: Plan) -> None:
    assert plan.change is not None
    refused = _admit(plan.model_copy(update={"healthy_replicas": 1}))
    assert refused.reason.endswith(f"in a maintenance window: {plan.change.flag} {plan.change.step}.")


def test_a_doubtful_diagnosis_changes_nothing(plan: Plan) -> None:
    decision = _admit(plan.model_copy(update={"confidence": 0.59}))
    assert not decision.allowed
    assert "confidence 0.59 is below 0.6" in decision.reason


def test_advice_is_always_admitted_and_never_approved_automatically(plan: Plan) -> None:
    advice = plan.model_copy(update={"change": None, "healthy_replicas": None, "confidence": 0.1})
    assert _admit(advice, last_finished_at=NOW) == Decision(
        allowed=True, reason="Advice: nothing is carried out.", approval="manual"
    )
