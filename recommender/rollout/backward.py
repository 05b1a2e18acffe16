"""The way back: every replica that was, or may have been, changed is put back, last one first, and must serve. Pure."""

import shlex
from datetime import datetime

from recommender.executors.engine_config import as_it_was
from recommender.model import ReplicaPhase, ReplicaProgress, Workflow
from recommender.rollout.observation import Limits, Observation, after, since, unsafe, waited
from recommender.rollout.states import Trigger
from recommender.rollout.steps import ConfirmReplica, GiveUpReplica, Move, RestoreReplica, Step, Wait


def rolling_back(workflow: Workflow, now: datetime, seen: Observation, limits: Limits) -> Step:
    """The next step of a roll-back."""
    for replica in reversed(workflow.replicas):
        if step := _put_back(workflow, replica, now, seen, limits):
            return step
    left = [replica for replica in workflow.replicas if replica.phase is ReplicaPhase.FAILED and needs_restore(replica)]
    if left:
        return Move(Trigger.RESTORE_FAILED, " ".join(by_hand(workflow, replica, seen) for replica in left))
    return Move(Trigger.RESTORED, workflow.reason)


def needs_restore(replica: ReplicaProgress) -> bool:
    """Whether the replica was, or may have been, changed and is not back yet."""
    touched = replica.phase not in {ReplicaPhase.PENDING, ReplicaPhase.RESTORED}
    return touched and replica.snapshot is not None


def by_hand(workflow: Workflow, replica: ReplicaProgress, seen: Observation) -> str:
    """What a person has to do about a replica that could not be put back."""
    change, target = workflow.plan.change, seen.targets.get(replica.instance)
    target = target if target is None or change is None else target.of(change.engine)
    where = target.config_file if target is not None and target.config_file else "its configuration"
    restart = f" with `{shlex.join(target.restart_command)}`" if target is not None and target.restart_command else ""
    setting = as_it_was(change) if change is not None else "the old value"
    return (
        f"{replica.instance} could not be put back: {replica.error or 'unknown reason'}. Put {setting} back into "
        f"{where} and restart it{restart}; or mend the "
        f"reason and have it tried again with `optiinfra workflows cancel {workflow.id}`."
    )


def _put_back(
    workflow: Workflow, replica: ReplicaProgress, now: datetime, seen: Observation, limits: Limits
) -> Step | None:
    """The next step that puts one replica back; None when it is back, was never changed, or was given up."""
    starting = replica.phase is ReplicaPhase.RESTORED and replica.ready_at is None
    given_up = replica.phase is ReplicaPhase.FAILED and replica.attempts >= limits.attempts
    if given_up or not (starting or needs_restore(replica)):
        return None
    target = seen.targets.get(replica.instance)
    if target is None:
        return GiveUpReplica(replica.instance, "it left the inventory, so how to restart it is unknown")
    if not starting:
        return _restore(workflow, replica, now, seen, limits)
    if seen.serves(replica.instance):
        return ConfirmReplica(replica.instance)
    if since(replica.applied_at, now) < target.ready_timeout_seconds:
        return Wait(after(now, limits.poll_seconds), workflow.reason)
    late = f"it did not become ready within {target.ready_timeout_seconds:g} s of its restart"
    return GiveUpReplica(replica.instance, late)


def _restore(workflow: Workflow, replica: ReplicaProgress, now: datetime, seen: Observation, limits: Limits) -> Step:
    if replica.attempts >= limits.attempts:
        return GiveUpReplica(replica.instance, replica.error or f"not done in {replica.attempts} attempts")
    # One that does not serve anyway may be restarted at any time; one that does, only while another serves.
    if seen.serves(replica.instance) and (blocked := unsafe(workflow, replica.instance, seen)):
        if waited(workflow, now) < limits.safe_wait_seconds + seen.starting_seconds:
            return Wait(after(now, limits.retry_seconds), workflow.reason)
        return GiveUpReplica(replica.instance, blocked)
    return RestoreReplica(replica.instance)
