"""The way forward: one replica to the new value, then a window that must run its length. Pure."""

from datetime import datetime

from recommender.contracts import ReplicaTarget
from recommender.model import ReplicaPhase, ReplicaProgress, Workflow
from recommender.rollout.measure import Window
from recommender.rollout.observation import Limits, Observation, after, since, unsafe, waited
from recommender.rollout.states import Trigger
from recommender.rollout.steps import ApplyReplica, ConfirmReplica, Measure, Move, Step, Wait


def bring(
    workflow: Workflow, replica: ReplicaProgress, now: datetime, seen: Observation, limits: Limits
) -> Step | None:
    """The next step that brings one replica to the new value; None when it serves with it."""
    instance, target = replica.instance, seen.targets.get(replica.instance)
    if replica.phase is ReplicaPhase.READY:
        return None
    if target is None:
        return Move(Trigger.ROLL_BACK, f"{instance} left the inventory during the rollout")
    if replica.phase is ReplicaPhase.PENDING:
        return _begin(workflow, instance, now, seen, limits)
    if replica.phase is ReplicaPhase.APPLIED:
        return _await_ready(replica, target, now, seen, limits)
    if replica.phase is ReplicaPhase.APPLYING and replica.attempts < limits.attempts:
        # Resumed: one that still serves is taken down as carefully as the first time.
        return _begin(workflow, instance, now, seen, limits) if seen.serves(instance) else ApplyReplica(instance)
    why = replica.error or f"it did not end in {replica.attempts} attempts"
    return Move(Trigger.ROLL_BACK, f"{instance} could not be changed: {why}")


def watch(workflow: Workflow, now: datetime, seen: Observation, limits: Limits) -> Step:
    """Wait for the window's end while the changed replicas serve, then measure.

    The window starts when the last of them has settled, at the earliest 60 s after it became ready.
    """
    verification = workflow.plan.verification
    changed = [replica for replica in workflow.replicas if replica.phase is ReplicaPhase.READY]
    known = [replica.ready_at for replica in changed if replica.ready_at is not None]
    if verification is None or not known or len(known) < len(changed):
        return Move(Trigger.ROLL_BACK, "since when the changed replicas serve is unknown: nothing can be measured")
    start = after(max(known), max(verification.settle_seconds, limits.min_settle_seconds))
    end = after(start, verification.window_seconds * (1 + workflow.extensions))
    if now >= end:
        return Measure(Window(start, end))
    down = [replica.instance for replica in changed if seen.ready.get(replica.instance) is False]
    if not down:
        what, until = ("settling", start) if now < start else ("measuring", end)
        return Wait(min(until, after(now, limits.watch_seconds)), f"{what} until {until:%H:%M:%S} UTC")
    reason = f"{', '.join(down)} stopped serving after the change"
    if workflow.errors + 1 >= limits.down_sightings:
        return Move(Trigger.ROLL_BACK, reason)
    return Wait(min(end, after(now, limits.poll_seconds)), reason, workflow.errors + 1)


def _begin(workflow: Workflow, instance: str, now: datetime, seen: Observation, limits: Limits) -> Step:
    if not (blocked := unsafe(workflow, instance, seen)):
        return ApplyReplica(instance)
    if waited(workflow, now) < limits.safe_wait_seconds + seen.starting_seconds:
        return Wait(after(now, limits.retry_seconds), blocked)
    return Move(Trigger.ROLL_BACK, f"{blocked}; it never became safe to change the next replica")


def _await_ready(
    replica: ReplicaProgress, target: ReplicaTarget, now: datetime, seen: Observation, limits: Limits
) -> Step:
    if seen.serves(replica.instance):
        return ConfirmReplica(replica.instance)
    if since(replica.applied_at, now) < target.ready_timeout_seconds:
        return Wait(after(now, limits.poll_seconds), f"{replica.instance} is starting with the new value")
    reason = f"{replica.instance} did not become ready within {target.ready_timeout_seconds:g} s of its restart"
    return Move(Trigger.ROLL_BACK, reason)
