"""What to do next with a workflow. Pure: everything it looks at is an argument.

`decide` looks at the stored workflow and at what was just observed; `conclude` at a verdict. Neither acts.
Unknown never counts as good: a replica of which it cannot be told whether it serves does not serve.
"""

from collections.abc import Callable
from datetime import datetime

from recommender.model import Verdict, VerdictOutcome, Workflow, WorkflowState
from recommender.rollout.backward import rolling_back
from recommender.rollout.forward import bring, watch
from recommender.rollout.observation import Limits, Observation, after, unsafe, waited
from recommender.rollout.states import Trigger
from recommender.rollout.steps import Advise, ApplyReplica, Extend, Move, Step, Wait

DRY_RUN = "dry_run"
_STALE_AFTER = 2  # times the wait for a safe start: no approval that was looked at is as old as this


def decide(workflow: Workflow, now: datetime, seen: Observation, limits: Limits) -> Step:
    """The next step of any workflow; `Wait(None)` for one that is over."""
    handler = _BY_STATE.get(workflow.state)
    return Wait(None, workflow.reason) if handler is None else handler(workflow, now, seen, limits)


def unforeseen(workflow: Workflow, problem: str, now: datetime, limits: Limits) -> Step:
    """What a step that failed by a mistake of ours leads to: tried again a few times, then the way back.

    Without an end to it a change would stay applied and unjudged for ever.
    """
    errors, way_back = workflow.errors + 1, _WAY_BACK.get(workflow.state)
    if way_back is None or errors < limits.measure_errors:
        return Wait(after(now, limits.retry_seconds), problem, errors)
    return Move(way_back, f"{problem}; given up after {errors} times in a row")


def conclude(workflow: Workflow, verdict: Verdict, now: datetime, limits: Limits) -> Step:
    """What a verdict leads to: an error is measured again a few times, an undecided window is extended once."""
    if verdict.outcome is VerdictOutcome.PASS:
        passed = Trigger.CANARY_PASSED if workflow.state is WorkflowState.CANARY else Trigger.VALIDATED
        return Move(passed, verdict.text)
    if verdict.outcome is VerdictOutcome.ERROR and workflow.errors + 1 < limits.measure_errors:
        return Wait(after(now, limits.retry_seconds), verdict.text, workflow.errors + 1)
    allowed = workflow.plan.verification.max_extensions if workflow.plan.verification else 0
    if verdict.outcome is VerdictOutcome.INCONCLUSIVE and workflow.extensions < allowed:
        return Extend(verdict.text)
    return Move(Trigger.ROLL_BACK, verdict.text)


def _pending_approval(workflow: Workflow, now: datetime, _seen: Observation, _limits: Limits) -> Step:
    if workflow.expires_at is None or now < workflow.expires_at:
        return Wait(workflow.expires_at, workflow.reason)
    return Move(Trigger.EXPIRE, "nobody decided in time; the evidence may no longer hold")


def _approved(workflow: Workflow, now: datetime, seen: Observation, limits: Limits) -> Step:
    if workflow.plan.executor == DRY_RUN and not workflow.plan.is_advice:
        return Advise()
    if impossible := _impossible(workflow, seen):
        return Move(Trigger.CANCEL, f"{impossible}: nothing was changed")
    canary = workflow.replicas[0].instance
    blocked, elapsed = unsafe(workflow, canary, seen), waited(workflow, now)
    if elapsed >= _STALE_AFTER * limits.safe_wait_seconds:  # no recommender ran: what was approved was seen long ago
        minutes = _STALE_AFTER * limits.safe_wait_seconds / 60
        late = f"it was not started within {minutes:g} minutes of its approval"
        return Move(Trigger.EXPIRE, f"{late}: the evidence may no longer hold, nothing was changed")
    if not blocked:
        return ApplyReplica(canary)
    if elapsed < limits.safe_wait_seconds:
        return Wait(after(now, limits.retry_seconds), blocked)
    return Move(Trigger.EXPIRE, f"{blocked}; it never became safe to start, nothing was changed")


def _impossible(workflow: Workflow, seen: Observation) -> str:
    """Why the plan cannot be carried out at all; empty when it can."""
    plan = workflow.plan
    if plan.change is None or plan.verification is None or not workflow.replicas:
        return "the plan names no change, no verification or no replica"
    if plan.withheld:
        return f"the plan is advice: {plan.withheld}"
    if not seen.executor_known:
        return f"the executor `{plan.executor}` does not exist"
    missing = [replica.instance for replica in workflow.replicas if replica.instance not in seen.targets]
    return f"{', '.join(missing)} left the inventory since the plan" if missing else ""


def _canary(workflow: Workflow, now: datetime, seen: Observation, limits: Limits) -> Step:
    step = bring(workflow, workflow.replicas[0], now, seen, limits)
    return step or watch(workflow, now, seen, limits)


def _rolling_out(workflow: Workflow, now: datetime, seen: Observation, limits: Limits) -> Step:
    for replica in workflow.replicas:
        if step := bring(workflow, replica, now, seen, limits):
            return step
    return Move(Trigger.ROLLED_OUT, f"every replica ({len(workflow.replicas)}) serves with the new value")


_WAY_BACK: dict[WorkflowState, Trigger] = {
    WorkflowState.APPROVED: Trigger.CANCEL,
    WorkflowState.CANARY: Trigger.ROLL_BACK,
    WorkflowState.ROLLING_OUT: Trigger.ROLL_BACK,
    WorkflowState.VALIDATING: Trigger.ROLL_BACK,
    WorkflowState.ROLLING_BACK: Trigger.RESTORE_FAILED,
}

_BY_STATE: dict[WorkflowState, Callable[[Workflow, datetime, Observation, Limits], Step]] = {
    WorkflowState.PENDING_APPROVAL: _pending_approval,
    WorkflowState.APPROVED: _approved,
    WorkflowState.CANARY: _canary,
    WorkflowState.ROLLING_OUT: _rolling_out,
    WorkflowState.VALIDATING: watch,
    WorkflowState.ROLLING_BACK: rolling_back,
}
