"""A person's word on a workflow: approve, reject, cancel. Saying the same again changes nothing."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from recommender.errors import Conflict
from recommender.model import Event, Workflow, WorkflowState
from recommender.rollout.states import Trigger, move
from recommender.store import Store

_LOG = structlog.get_logger(__name__)
_ATTEMPTS = 3  # the reconciler may write between our reading and writing

_S = WorkflowState
# Where a word has already had its effect.
_DONE: dict[Trigger, frozenset[WorkflowState]] = {
    Trigger.APPROVE: frozenset({_S.APPROVED, _S.CANARY, _S.ROLLING_OUT, _S.VALIDATING}),
    Trigger.REJECT: frozenset({_S.REJECTED}),
    Trigger.CANCEL: frozenset({_S.CANCELLED, _S.ROLLING_BACK, _S.ROLLED_BACK}),
}


def decide(store: Store, workflow_id: str, trigger: Trigger, *, actor: str, comment: str, now: datetime) -> Workflow:
    """Carry out `trigger` (approve, reject or cancel) for `actor`; returns the workflow as it is then.

    Raises NotFound, Conflict when the workflow is past it or its approval expired, StoreUnavailable.
    """
    workflow = store.workflow(workflow_id)
    for _ in range(_ATTEMPTS):
        if workflow.state in _DONE[trigger]:
            return workflow
        if workflow.state is _S.PENDING_APPROVAL and workflow.expires_at is not None and now >= workflow.expires_at:
            _expire(store, workflow, now)
        said = comment or f"{trigger} by {actor}"
        moved, event = move(workflow, trigger, now, actor=actor, reason=said, detail={"comment": comment})
        decided = moved.model_copy(update={"decided_by": actor})
        if (stored := _saved(store, decided, [event])) is not None:
            _LOG.info("workflow_decided", workflow=workflow_id, decision=trigger.value, actor=actor)
            return stored
        workflow = store.workflow(workflow_id)
    raise Conflict(f"workflow {workflow_id} changes too fast; try again")


def _expire(store: Store, workflow: Workflow, now: datetime) -> None:
    """Write down that a late word came too late, and say so."""
    reason = f"nobody decided until {workflow.expires_at:%Y-%m-%d %H:%M:%S} UTC; the evidence may no longer hold"
    expired, event = move(workflow, Trigger.EXPIRE, now, actor="optiinfra", reason=reason)
    _saved(store, expired, [event])
    raise Conflict(f"workflow {workflow.id} has expired: {reason}; a new plan follows if the alert still fires")


def _saved(store: Store, workflow: Workflow, events: Sequence[Event]) -> Workflow | None:
    """None when somebody wrote meanwhile. The lease stays: a step that is under way must end before the next begins."""
    try:
        return store.save(workflow, events, release=False)
    except Conflict:
        return None
