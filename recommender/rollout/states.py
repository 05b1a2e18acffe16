"""The states of a workflow and how it moves between them, as data.

`TRANSITIONS` is the whole truth: the API, the reconciler, the diagram in `docs/workflow-states.md` and the tests read
it. Whoever moves a workflow does it with `move`, so that the instants which the reconciler relies on are always set.
"""

from datetime import datetime
from enum import StrEnum

from recommender.errors import Conflict
from recommender.model import Event, Workflow, WorkflowState


class Trigger(StrEnum):
    """What moves a workflow on."""

    APPROVE = "approve"  # a person or the policy agrees
    REJECT = "reject"  # a person refuses
    EXPIRE = "expire"  # nobody decided in time, or it never became safe to start
    SUPERSEDE = "supersede"  # a newer plan replaces it
    CANCEL = "cancel"  # a person stops it; whatever was applied is undone
    ADVISE = "advise"  # dry run: what would be done is written down, nothing is done
    START = "start"  # the intent to change the canary is recorded
    CANARY_PASSED = "canary_passed"
    ROLLED_OUT = "rolled_out"
    VALIDATED = "validated"
    ROLL_BACK = "roll_back"  # worse, unknown or impossible
    RESTORED = "restored"
    RESTORE_FAILED = "restore_failed"


_S, _T = WorkflowState, Trigger  # short, so that the table reads as one

TRANSITIONS: dict[tuple[WorkflowState, Trigger], WorkflowState] = {
    (_S.PENDING_APPROVAL, _T.APPROVE): _S.APPROVED,
    (_S.PENDING_APPROVAL, _T.REJECT): _S.REJECTED,
    (_S.PENDING_APPROVAL, _T.EXPIRE): _S.EXPIRED,
    (_S.PENDING_APPROVAL, _T.CANCEL): _S.CANCELLED,
    (_S.PENDING_APPROVAL, _T.SUPERSEDE): _S.SUPERSEDED,
    (_S.APPROVED, _T.ADVISE): _S.ADVISED,
    (_S.APPROVED, _T.EXPIRE): _S.EXPIRED,
    (_S.APPROVED, _T.CANCEL): _S.CANCELLED,
    (_S.APPROVED, _T.SUPERSEDE): _S.SUPERSEDED,
    (_S.APPROVED, _T.START): _S.CANARY,
    (_S.CANARY, _T.CANARY_PASSED): _S.ROLLING_OUT,
    (_S.CANARY, _T.ROLL_BACK): _S.ROLLING_BACK,
    (_S.CANARY, _T.CANCEL): _S.ROLLING_BACK,
    (_S.ROLLING_OUT, _T.ROLLED_OUT): _S.VALIDATING,
    (_S.ROLLING_OUT, _T.ROLL_BACK): _S.ROLLING_BACK,
    (_S.ROLLING_OUT, _T.CANCEL): _S.ROLLING_BACK,
    (_S.VALIDATING, _T.VALIDATED): _S.SUCCEEDED,
    (_S.VALIDATING, _T.ROLL_BACK): _S.ROLLING_BACK,
    (_S.VALIDATING, _T.CANCEL): _S.ROLLING_BACK,
    (_S.ROLLING_BACK, _T.RESTORED): _S.ROLLED_BACK,
    (_S.ROLLING_BACK, _T.RESTORE_FAILED): _S.ROLLBACK_FAILED,
    # A person has mended what kept a replica from being put back, and has it tried again.
    (_S.ROLLBACK_FAILED, _T.CANCEL): _S.ROLLING_BACK,
}

ACTIVE = frozenset({_S.APPROVED, _S.CANARY, _S.ROLLING_OUT, _S.VALIDATING, _S.ROLLING_BACK})
"""Being carried out by the reconciler; at most one a service."""

WAITING_FOR_PERSON = frozenset({_S.PENDING_APPROVAL, _S.ROLLBACK_FAILED})
"""Nothing moves until a person acts (or the approval expires)."""

TERMINAL = frozenset(WorkflowState) - {state for state, _ in TRANSITIONS}
"""Over: nothing leads out of these."""


def next_state(state: WorkflowState, event: Trigger | str) -> WorkflowState:
    """Where `event` leads from `state`.

    Raises Conflict when it leads nowhere, with what is possible instead.
    """
    try:
        return TRANSITIONS[state, Trigger(event)]
    except (KeyError, ValueError):
        possible = ", ".join(sorted(trigger for source, trigger in TRANSITIONS if source is state)) or "nothing"
        raise Conflict(f"cannot {event} a workflow that is {state}; possible from here: {possible}") from None


def move(
    workflow: Workflow,
    event: Trigger | str,
    at: datetime,
    *,
    actor: str,
    reason: str,
    detail: dict[str, object] | None = None,
) -> tuple[Workflow, Event]:
    """The workflow after `event`, and the audit event that says so.

    The new state's window begins at `at`; an active state is due at once, any other waits for nobody. Counters of the
    state before, also the attempts on each replica, do not carry over. Raises Conflict as `next_state` does.
    """
    state = next_state(workflow.state, event)
    moved = workflow.model_copy(
        update={
            "state": state,
            "updated_at": at,
            "phase_started_at": at,
            "due_at": at if state in ACTIVE else None,
            "extensions": 0,
            "errors": 0,
            "replicas": tuple(replica.model_copy(update={"attempts": 0}) for replica in workflow.replicas),
            "reason": reason,
        }
    )
    return moved, Event(
        at=at,
        actor=actor,
        kind="transition",
        from_state=workflow.state,
        to_state=state,
        reason=reason,
        detail={"trigger": str(event), **(detail or {})},
    )
