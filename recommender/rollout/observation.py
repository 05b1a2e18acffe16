"""What the reconciler saw, how patient it is, and whether a replica may be taken down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from recommender.contracts import ReplicaTarget
from recommender.model import ReplicaPhase, Workflow, WorkflowState


@dataclass(frozen=True, slots=True)
class Limits:
    """Patience of the reconciler."""

    poll_seconds: float = 2.0  # while a replica starts
    watch_seconds: float = 10.0  # while a window runs
    min_settle_seconds: float = 60.0  # a one-minute rate must hold nothing from before the restart
    safe_wait_seconds: float = 900.0  # for another replica to serve before one is taken down
    retry_seconds: float = 15.0  # after an error to measure or to restore
    measure_errors: int = 10
    down_sightings: int = 3  # in a row, until a changed replica counts as lost
    attempts: int = 3  # to change or to restore one replica


@dataclass(frozen=True, slots=True)
class Observation:
    """The replicas of the service as the inventory has them now, and which of them serve (None: cannot be told)."""

    targets: Mapping[str, ReplicaTarget] = field(default_factory=dict)
    ready: Mapping[str, bool | None] = field(default_factory=dict)
    executor_known: bool = True

    def serves(self, instance: str) -> bool:
        """Whether the replica is known to serve."""
        return self.ready.get(instance) is True

    @property
    def starting_seconds(self) -> float:
        """What the replicas may rightly take to restart, one after the other."""
        return sum(one.ready_timeout_seconds + one.restart_timeout_seconds for one in self.targets.values())


def unsafe(workflow: Workflow, instance: str, seen: Observation) -> str:
    """Why this replica must not be taken down now; empty when it may be.

    At least one other replica of the service must serve and, on the way forward, every replica changed so far. The
    only replica that a service has may go only where its owner says so now; the way back is open to it, always.
    """
    others = [other for other in seen.targets if other != instance]
    if not others:
        target = seen.targets.get(instance)
        if workflow.state is WorkflowState.ROLLING_BACK or (target is not None and target.may_restart_alone):
            return ""
        return (
            f"{instance} is the only replica of {workflow.service}, and services.{workflow.service}.policy."
            "allow_restart_of_last_replica is not set"
        )
    if workflow.state is not WorkflowState.ROLLING_BACK:
        changed = {replica.instance for replica in workflow.replicas if replica.phase is ReplicaPhase.READY}
        lost = [other for other in others if other in changed and not seen.serves(other)]
        if lost:
            return f"{', '.join(lost)} was changed and does not serve"
    if any(seen.serves(other) for other in others):
        return ""
    return f"no other replica of {workflow.service} is known to serve while {instance} restarts"


def waited(workflow: Workflow, now: datetime) -> float:
    """Seconds in the present state."""
    return (now - (workflow.phase_started_at or workflow.updated_at)).total_seconds()


def since(instant: datetime | None, now: datetime) -> float:
    """Seconds since `instant`; unlimited when it is not known."""
    return float("inf") if instant is None else (now - instant).total_seconds()


def after(instant: datetime, seconds: float) -> datetime:
    """`seconds` after `instant`."""
    return instant + timedelta(seconds=seconds)
