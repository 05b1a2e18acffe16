"""Small edits of a workflow that several steps make."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from recommender.model import Event, ReplicaProgress, Workflow

ACTOR = "optiinfra"


def of(workflow: Workflow, instance: str) -> ReplicaProgress:
    """The progress of one replica of the workflow."""
    return next(replica for replica in workflow.replicas if replica.instance == instance)


def with_replica(workflow: Workflow, instance: str, update: Mapping[str, object]) -> Workflow:
    """The workflow with some fields of one replica's progress changed."""
    replicas = tuple(
        replica.model_copy(update=update) if replica.instance == instance else replica for replica in workflow.replicas
    )
    return workflow.model_copy(update={"replicas": replicas})


def with_all_replicas(workflow: Workflow) -> Workflow:
    """The workflow with progress for each replica that its plan names, in the plan's order."""
    if workflow.replicas:
        return workflow
    replicas = tuple(ReplicaProgress(instance=instance) for instance in workflow.plan.instances)
    return workflow.model_copy(update={"replicas": replicas})


def start_seconds(workflows: Iterable[Workflow]) -> float | None:
    """How long the slowest replica took to serve after the newest restarts that `workflows` (newest first) saw.

    Seen in steps of the reconciler's interval. None when no replica was restarted, or none served again.
    """
    for workflow in workflows:
        started = [
            (replica.ready_at - replica.applied_at).total_seconds()
            for replica in workflow.replicas
            if replica.ready_at is not None and replica.applied_at is not None
        ]
        if started:
            return max(started)
    return None


def event(
    kind: str, at: datetime, reason: str, instance: str = "", *, detail: Mapping[str, object] | None = None
) -> Event:
    """An audit event of the reconciler's own doing."""
    facts: dict[str, object] = {**({"instance": instance} if instance else {}), **(detail or {})}
    return Event(at=at, actor=ACTOR, kind=kind, reason=reason, detail=facts)
