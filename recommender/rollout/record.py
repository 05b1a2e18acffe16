"""Writes down what happened to a workflow: new state and audit events in one transaction."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from recommender.contracts import WorkflowStore
from recommender.model import Event, ReplicaPhase, ReplicaProgress, Workflow
from recommender.rollout.progress import ACTOR, event, with_replica
from recommender.rollout.states import Trigger, move
from recommender.rollout.steps import Extend, GiveUpReplica, Move, Wait

_LOG = structlog.get_logger(__name__)


class Record:
    """Saves workflows. Raises StoreUnavailable, and Conflict when a workflow has moved on since it was read."""

    def __init__(self, store: WorkflowStore) -> None:
        self._store = store

    def save(
        self,
        workflow: Workflow,
        now: datetime,
        events: Sequence[Event],
        *,
        due: datetime | None,
        release: bool = True,
    ) -> Workflow:
        """Save `workflow` with `events`, to be looked at again at `due`; returns it with its new version."""
        for one in events:
            _LOG.info("workflow_event", workflow=workflow.id, kind=one.kind, state=workflow.state, reason=one.reason)
        changed = workflow.model_copy(update={"updated_at": now, "due_at": due})
        return self._store.save(changed, events, release=release)

    def wait(self, workflow: Workflow, step: Wait, now: datetime, events: Sequence[Event]) -> None:
        """Save when to look again, and an event when the reason is a new one."""
        reason = step.reason or workflow.reason
        if reason != workflow.reason and not events:
            events = [event("waiting", now, reason)]
        waiting = workflow.model_copy(update={"errors": step.errors, "reason": reason})
        self.save(waiting, now, events, due=step.until)

    def move(self, workflow: Workflow, step: Move, now: datetime, events: Sequence[Event] = ()) -> None:
        """Save the change of state that `step` asks for."""
        reason = step.reason
        if step.trigger is Trigger.RESTORED:
            reason = f"{reason.rstrip('.')}. Every changed replica serves with its old configuration again"
        moved, transition = move(workflow, step.trigger, now, actor=ACTOR, reason=reason)
        self.save(moved, now, [*events, transition], due=moved.due_at)

    def extend(self, workflow: Workflow, step: Extend, now: datetime, events: Sequence[Event]) -> None:
        """Save that the window is one length longer."""
        extended = workflow.model_copy(update={"extensions": workflow.extensions + 1, "reason": step.reason})
        self.save(extended, now, [*events, event("extended", now, step.reason)], due=now)

    def give_up(self, workflow: Workflow, step: GiveUpReplica, now: datetime, *, attempts: int) -> None:
        """Save that a replica cannot be put back; `attempts` marks it as tried often enough."""
        failed = {"phase": ReplicaPhase.FAILED, "attempts": attempts, "error": step.reason}
        said = event("restore_given_up", now, step.reason, step.instance)
        self.save(with_replica(workflow, step.instance, failed), now, [said], due=now)

    def confirm(self, workflow: Workflow, replica: ReplicaProgress, now: datetime) -> None:
        """Save that a replica serves, with the new value or with the old one again."""
        update: dict[str, object] = {"ready_at": now, "attempts": 0, "error": ""}
        if replica.phase is ReplicaPhase.APPLIED:
            update["phase"] = ReplicaPhase.READY
        confirmed = with_replica(workflow, replica.instance, update)
        self.save(confirmed, now, [event("replica_ready", now, "it serves", replica.instance)], due=now)
