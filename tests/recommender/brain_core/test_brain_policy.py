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
    given: dict[str, object] = {"managed": 3, "active": None, "last_finished_at": None, "now": NOW}
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


ALONE = AUTO.model_copy(update={"allow_restart_of_last_replica": True})


@pytest.mark.parametrize("healthy", [0, 1, 2, 3])
@pytest.mark.parametrize("managed", [1, 2])
@pytest.mark.parametrize("policy", [AUTO, ALONE])
def test_the_last_healthy_replica_is_restarted_only_by_its_owners_word_and_a_persons_approval(
    plan: Plan, policy: PolicyConfig, managed: int, healthy: int
) -> None:
    counted = plan.model_copy(update={"healthy_replicas": healthy})
    decision = _admit(counted, policy, managed=managed)
    assert decision.allowed
    if min(healthy, managed) > 1:
        assert decision.approval == "auto"
    elif policy is ALONE and managed == 1 and healthy:
        assert (decision.approval, "its only replica" in decision.reason) == ("manual", True)
    else:
        assert decision.approval == "none"
    assert _admit(_with_risk(counted, Risk.LIVE), policy, managed=managed).approval == "auto"


@pytest.mark.parametrize("policy", [AUTO, ALONE])
def test_an_unknown_number_of_healthy_replicas_refuses_a_restart(plan: Plan, policy: PolicyConfig) -> None:
    unknown = plan.model_copy(update={"healthy_replicas": None})
    decision = _admit(unknown, policy, managed=1)
    assert (decision.allowed, "is unknown" in decision.reason) == (False, True)
    assert _admit(_with_risk(unknown, Risk.LIVE), policy).allowed


def test_whoever_has_one_replica_is_told_the_change_that_a_person_may_make(plan: Plan) -> None:
    assert plan.change is not None
    advised = _admit(plan.model_copy(update={"healthy_replicas": 1}), managed=1)
    assert "set services.chat.policy.allow_restart_of_last_replica: true" in advised.reason
    assert advised.reason.endswith(f"in a maintenance window: {plan.change.flag} {plan.change.step}.")
    others_down = _admit(plan.model_copy(update={"healthy_replicas": 1}), ALONE)
    assert "bring back those that do not answer" in others_down.reason


def test_what_cannot_be_verified_here_is_advice_for_whatever_policy(plan: Plan) -> None:
    decision = _admit(plan.model_copy(update={"withheld": "It cannot be verified here."}), ALONE)
    assert decision == Decision(allowed=True, reason="It cannot be verified here.", approval="none")


def test_a_doubtful_diagnosis_changes_nothing(plan: Plan) -> None:
    decision = _admit(plan.model_copy(update={"confidence": 0.59}))
    assert not decision.allowed
    assert "confidence 0.59 is below 0.6" in decision.reason


def test_advice_is_always_admitted_and_never_approved_automatically(plan: Plan) -> None:
    advice = plan.model_copy(update={"change": None, "healthy_replicas": None, "confidence": 0.1})
    assert _admit(advice, last_finished_at=NOW) == Decision(
        allowed=True, reason="Advice: nothing is carried out.", approval="none"
    )
