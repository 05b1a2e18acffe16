"""Deciding, for any state of things that can be made up."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.model import ReplicaPhase, ReplicaProgress, Snapshot, Verdict, VerdictOutcome, Workflow, WorkflowState
from recommender.rollout.backward import needs_restore
from recommender.rollout.decide import conclude, decide
from recommender.rollout.observation import Limits, Observation
from recommender.rollout.states import TRANSITIONS, Trigger
from recommender.rollout.steps import ApplyReplica, ConfirmReplica, Measure, Move, RestoreReplica, Wait
from tests.recommender.rollout.builders import INSTANCES, START, make_targets, make_workflow

LIMITS = Limits()
S, P = WorkflowState, ReplicaPhase
ACTIVE_STATES = (S.APPROVED, S.CANARY, S.ROLLING_OUT, S.VALIDATING, S.ROLLING_BACK)
instants = st.none() | st.integers(0, 2000).map(lambda seconds: START + timedelta(seconds=seconds))
snapshots = st.none() | st.just(Snapshot(executor="command", content="a: 1\n", digest="d"))


def progress(instance: str) -> st.SearchStrategy[ReplicaProgress]:
    return st.builds(
        ReplicaProgress,
        instance=st.just(instance),
        phase=st.sampled_from(ReplicaPhase),
        snapshot=snapshots,
        attempts=st.integers(0, 4),
        applied_at=instants,
        ready_at=instants,
    )


workflows = st.builds(
    make_workflow,
    st.sampled_from(ACTIVE_STATES),
    replicas=st.tuples(*(progress(instance) for instance in INSTANCES)),
    extensions=st.integers(0, 2),
    errors=st.integers(0, 12),
    phase_started_at=instants,
)
observations = st.builds(
    Observation,
    st.builds(make_targets, st.sets(st.sampled_from(INSTANCES)), may_restart_alone=st.booleans()),
    st.dictionaries(st.sampled_from(INSTANCES), st.sampled_from([True, False, None])),
    executor_known=st.booleans(),
)
nows = st.integers(0, 5000).map(lambda seconds: START + timedelta(seconds=seconds))


@given(workflows, observations, nows)
def test_nothing_is_ever_taken_down_unless_another_replica_is_known_to_serve(
    workflow: Workflow, seen: Observation, now: datetime
) -> None:
    step = decide(workflow, now, seen, LIMITS)
    if isinstance(step, ApplyReplica | RestoreReplica):
        others = [instance for instance in seen.targets if instance != step.instance]
        begun = next(one for one in workflow.replicas if one.instance == step.instance).phase is not P.PENDING
        already_down = begun and workflow.state is not S.APPROVED and seen.ready.get(step.instance) is not True
        # An owner's word is for what has no siblings; the way back of what was changed is open to it.
        exempt = not others and (workflow.state is S.ROLLING_BACK or seen.targets[step.instance].may_restart_alone)
        assert exempt or already_down or any(seen.ready.get(other) is True for other in others)


@given(workflows, observations, nows)
def test_every_move_is_in_the_table_and_none_of_them_is_a_pass(
    workflow: Workflow, seen: Observation, now: datetime
) -> None:
    step = decide(workflow, now, seen, LIMITS)
    if isinstance(step, Move):
        assert (workflow.state, step.trigger) in TRANSITIONS
        assert step.trigger not in {Trigger.CANARY_PASSED, Trigger.VALIDATED}


@given(workflows, observations, nows)
def test_a_replica_is_only_confirmed_when_it_is_seen_to_serve(
    workflow: Workflow, seen: Observation, now: datetime
) -> None:
    step = decide(workflow, now, seen, LIMITS)
    if isinstance(step, ConfirmReplica):
        assert seen.ready[step.instance] is True


@given(workflows, observations, nows)
def test_rolled_out_and_rolled_back_mean_every_replica(workflow: Workflow, seen: Observation, now: datetime) -> None:
    step = decide(workflow, now, seen, LIMITS)
    if step == Move(Trigger.ROLLED_OUT, getattr(step, "reason", "")):
        assert {replica.phase for replica in workflow.replicas} == {P.READY}
    if step == Move(Trigger.RESTORED, getattr(step, "reason", "")):
        assert not [replica for replica in workflow.replicas if needs_restore(replica)]
        assert all(replica.ready_at for replica in workflow.replicas if replica.phase is P.RESTORED)


@given(workflows, observations, nows)
def test_a_window_never_starts_within_a_minute_of_ready_and_is_over_when_it_is_measured(
    workflow: Workflow, seen: Observation, now: datetime
) -> None:
    step = decide(workflow, now, seen, LIMITS)
    if isinstance(step, Measure):
        changed = [replica.ready_at for replica in workflow.replicas if replica.phase is P.READY]
        assert all(at is not None and step.window.start >= at + timedelta(seconds=60) for at in changed)
        assert step.window.end <= now


@given(workflows, observations, nows)
def test_waiting_always_has_an_end(workflow: Workflow, seen: Observation, now: datetime) -> None:
    step = decide(workflow, now, seen, LIMITS)
    if isinstance(step, Wait):
        assert step.until is not None
        assert step.until > now


@given(
    st.sampled_from([S.CANARY, S.VALIDATING]),
    st.sampled_from(VerdictOutcome),
    st.integers(0, 20),
    st.integers(0, 3),
)
def test_only_a_pass_leads_forward(state: WorkflowState, outcome: VerdictOutcome, errors: int, extensions: int) -> None:
    workflow = make_workflow(state, errors=errors, extensions=extensions)
    verdict = Verdict(outcome=outcome, at=START, window_seconds=60, text="so")
    step = conclude(workflow, verdict, START, LIMITS)
    forward = isinstance(step, Move) and step.trigger in {Trigger.CANARY_PASSED, Trigger.VALIDATED}
    assert forward is (outcome is VerdictOutcome.PASS)
    if outcome is VerdictOutcome.FAIL:
        assert step == Move(Trigger.ROLL_BACK, "so")


def test_errors_to_measure_and_extensions_have_their_own_limits() -> None:
    error = Verdict(outcome=VerdictOutcome.ERROR, at=START, window_seconds=60, text="no answer")
    unclear = error.model_copy(update={"outcome": VerdictOutcome.INCONCLUSIVE})
    tired = make_workflow(S.CANARY, errors=LIMITS.measure_errors - 1)
    assert isinstance(conclude(make_workflow(S.CANARY, extensions=1), error, START, LIMITS), Wait)
    assert conclude(tired, error, START, LIMITS) == Move(Trigger.ROLL_BACK, "no answer")
    assert not isinstance(conclude(tired, unclear, START, LIMITS), Move)
    assert conclude(make_workflow(S.CANARY, extensions=1), unclear, START, LIMITS) == Move(
        Trigger.ROLL_BACK, "no answer"
    )


def test_a_finished_workflow_is_left_alone(make: SimpleNamespace) -> None:
    for state in set(WorkflowState) - set(ACTIVE_STATES) - {S.PENDING_APPROVAL}:
        assert decide(make.workflow(state), START, Observation(), LIMITS) == Wait(None, "")


def test_a_single_replica_is_restarted_only_where_its_owner_says_so(make: SimpleNamespace) -> None:
    plan = make.plan(instances=INSTANCES[:1])
    for allowed, step in ((True, ApplyReplica), (False, Wait)):
        alone = Observation(make_targets(INSTANCES[:1], may_restart_alone=allowed), {INSTANCES[0]: True})
        assert isinstance(decide(make.workflow(plan=plan), START, alone, LIMITS), step)


def test_a_replica_that_left_the_inventory_stops_a_plan_and_takes_a_rollout_back(make: SimpleNamespace) -> None:
    seen = Observation(make_targets(INSTANCES[:2]), dict.fromkeys(INSTANCES, True))
    step = decide(make.workflow(), START, seen, LIMITS)
    assert step == Move(Trigger.CANCEL, f"{INSTANCES[2]} left the inventory since the plan: nothing was changed")
    ready = [ReplicaProgress(instance=one, phase=P.READY, ready_at=START) for one in INSTANCES[:2]]
    rolling = make.workflow(S.ROLLING_OUT, replicas=(*ready, ReplicaProgress(instance=INSTANCES[2])))
    assert decide(rolling, START, seen, LIMITS) == Move(
        Trigger.ROLL_BACK, f"{INSTANCES[2]} left the inventory during the rollout"
    )


@pytest.mark.parametrize("advice", [{"change": None}, {"withheld": "It cannot be verified here."}])
def test_advice_is_never_carried_out(make: SimpleNamespace, advice: dict[str, object]) -> None:
    for executor in ("command", "dry_run", "none"):
        workflow = make.workflow(plan=make.plan(executor=executor, **advice))
        step = decide(workflow, START, Observation(make_targets()), LIMITS)
        assert isinstance(step, Move)
        assert step.trigger is Trigger.CANCEL
