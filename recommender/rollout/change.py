"""Changes a replica and puts it back, each between a recorded intent and a recorded receipt.

A kill in between leaves the intent, and the same is done again: executors make that harmless. A snapshot, once saved,
is never taken again, because by then the file may hold the new value. A person may cancel at any instant: the next
save then raises Conflict, the step is dropped, and the next one sees the workflow as the person left it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from recommender.clock import Clock
from recommender.contracts import Executor, PromQL, ReplicaTarget
from recommender.errors import ExecutorError, PrometheusError
from recommender.executors.engine_config import current, means, moved_beside
from recommender.model import Baseline, Change, ReplicaPhase, ReplicaProgress, Workflow, WorkflowState
from recommender.rollout.assess import baseline_of
from recommender.rollout.observation import Limits, Observation, after, waited
from recommender.rollout.progress import ACTOR, event, of, with_replica
from recommender.rollout.record import Record
from recommender.rollout.states import Trigger, move
from recommender.rollout.steps import GiveUpReplica, Move, Wait

_LEASE_MARGIN = timedelta(seconds=30)  # for reading, writing and recording around a restart command


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What acting takes."""

    record: Record
    promql: PromQL
    executors: Mapping[str, Executor]
    clock: Clock
    lease: timedelta
    limits: Limits


class Changer:
    """Applies and restores. Raises StoreUnavailable and Conflict."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._record = means.record

    def advise(self, workflow: Workflow, seen: Observation) -> None:
        """Have the executor write down what it would do, and end there."""
        change = workflow.plan.change
        executor = self._means.executors.get(workflow.plan.executor)
        if change is not None and executor is not None:
            for replica in workflow.replicas:
                if target := seen.targets.get(replica.instance):
                    executor.apply(target.of(change.engine), change)
        instances = ", ".join(replica.instance for replica in workflow.replicas)
        would = f"{change.flag} {change.step}" if change is not None else "change nothing"
        reason = f"dry run: {would} on {instances}; nothing was changed"
        self._record.move(workflow, Move(Trigger.ADVISE, reason), self._means.clock.now())

    def apply(self, workflow: Workflow, instance: str, seen: Observation) -> None:
        """Bring one replica to the new value, or go on with bringing it there."""
        executor, change = self._means.executors[workflow.plan.executor], workflow.plan.change
        if change is None:
            self._record.move(workflow, Move(Trigger.ROLL_BACK, "the plan lost its change"), self._means.clock.now())
            return
        intended = self._intend(workflow, of(workflow, instance), change, seen)
        if intended is None:
            return
        try:
            executor.apply(seen.targets[instance].of(change.engine), change)
        except ExecutorError as error:
            now = self._means.clock.now()
            failed = with_replica(intended, instance, {"phase": ReplicaPhase.FAILED, "error": str(error)})
            why = Move(Trigger.ROLL_BACK, f"{instance} could not be changed: {error}")
            self._record.move(failed, why, now, [event("apply_failed", now, str(error), instance)])
            return
        now = self._means.clock.now()
        update = {"phase": ReplicaPhase.APPLIED, "applied_at": now, "ready_at": None, "error": ""}
        said = f"{change.config_key}: {change.step}"
        receipt = event("applied", now, said, instance)
        due = after(now, self._means.limits.poll_seconds)
        self._record.save(with_replica(intended, instance, update), now, [receipt], due=due)

    def _intend(
        self, workflow: Workflow, replica: ReplicaProgress, change: Change, seen: Observation
    ) -> Workflow | None:
        """Save the intent; None when there is a reason not to act, which then is saved instead."""
        now = self._means.clock.now()
        update: dict[str, object] = {"phase": ReplicaPhase.APPLYING, "attempts": replica.attempts + 1}
        if replica.phase is ReplicaPhase.APPLYING:
            resumed = event("apply_resumed", now, f"attempt {replica.attempts + 1}", replica.instance)
            return self._record.save(
                with_replica(workflow, replica.instance, update), now, [resumed], due=now, release=False
            )
        executor = self._means.executors[workflow.plan.executor]
        target = seen.targets[replica.instance].of(change.engine)
        try:
            self._look_before(workflow, target, executor, change)
            update["snapshot"] = executor.snapshot(target)
        except ExecutorError as error:
            starting = workflow.state is WorkflowState.APPROVED
            self._record.move(workflow, Move(Trigger.CANCEL if starting else Trigger.ROLL_BACK, str(error)), now)
            return None
        known = f" ({change.old_source})" if change.old_source else ""
        events = [event("apply_intended", now, f"{change.config_key}: {change.step}{known}", replica.instance)]
        if workflow.state is WorkflowState.APPROVED:
            baseline = self._baseline(workflow, seen, now)
            if baseline is None:
                return None
            reason = f"changing {replica.instance} first: {change.flag} {change.step}"
            workflow, started = move(workflow, Trigger.START, now, actor=ACTOR, reason=reason)
            workflow = workflow.model_copy(update={"baseline": baseline})
            events = [started, *events]
        return self._record.save(with_replica(workflow, replica.instance, update), now, events, due=now, release=False)

    def _look_before(self, workflow: Workflow, target: ReplicaTarget, executor: Executor, change: Change) -> None:
        """Raise ExecutorError when the replica is not as the plan took it to be."""
        if timedelta(seconds=target.restart_timeout_seconds) + _LEASE_MARGIN > self._means.lease:
            raise ExecutorError(
                f"{target.instance}: restart_timeout_seconds {target.restart_timeout_seconds:g} is longer than a "
                f"recommender may hold a workflow ({self._means.lease.total_seconds():g} s); lower it in the inventory"
            )
        found = executor.read(target)
        held = current(found, change)
        later = workflow.state is not WorkflowState.APPROVED  # a later replica may already be as we want it
        beside = moved_beside(found, change, later=later)
        if beside:
            raise ExecutorError(
                f"{target.instance}: {beside} is {found[beside]} now, the plan was made for {change.sets_old[beside]}; "
                "the configuration was changed by someone else, so the plan no longer holds"
            )
        if held is None or means(change, held, change.old) or (later and means(change, held, change.new)):
            return
        raise ExecutorError(
            f"{target.instance}: {change.config_key} is {held} now, the plan was made for {change.written_old}; "
            "the configuration was changed by someone else, so the plan no longer holds"
        )

    def _baseline(self, workflow: Workflow, seen: Observation, now: datetime) -> Baseline | None:
        """The service before the change. Without it nothing can be proven, so it is waited for; then None."""
        verification = workflow.plan.verification
        if verification is None:
            return None
        metric = verification.must_improve.metric
        try:
            baseline = baseline_of(self._means.promql, workflow.plan, verification, tuple(seen.targets), now)
        except PrometheusError as error:
            problem = str(error)
        else:
            if baseline.values.get(metric) is not None:
                return baseline
            problem = f"{metric} of {workflow.service} is unknown"
        if waited(workflow, now) < self._means.limits.safe_wait_seconds:
            self._record.wait(
                workflow, Wait(after(now, self._means.limits.retry_seconds), f"no baseline: {problem}"), now, ()
            )
        else:
            self._record.move(workflow, Move(Trigger.EXPIRE, f"no baseline: {problem}; nothing was changed"), now)
        return None

    def restore(self, workflow: Workflow, replica: ReplicaProgress, seen: Observation) -> None:
        """Put one replica back as its snapshot says."""
        now, instance, snapshot = self._means.clock.now(), replica.instance, replica.snapshot
        executor = self._means.executors.get(snapshot.executor) if snapshot else None
        if executor is None or snapshot is None:
            gone = GiveUpReplica(instance, "the executor that changed it does not exist any more")
            self._record.give_up(workflow, gone, now, attempts=self._means.limits.attempts)
            return
        update: dict[str, object] = {"phase": ReplicaPhase.RESTORING, "attempts": replica.attempts + 1}
        intent = event("restore_intended", now, f"attempt {replica.attempts + 1}", instance)
        workflow = self._record.save(with_replica(workflow, instance, update), now, [intent], due=now, release=False)
        try:
            change = workflow.plan.change
            executor.restore(seen.targets[instance].of("" if change is None else change.engine), snapshot)
        except ExecutorError as error:
            now = self._means.clock.now()
            failed = with_replica(workflow, instance, {"error": str(error)})
            due = after(now, self._means.limits.retry_seconds)
            self._record.save(failed, now, [event("restore_attempt_failed", now, str(error), instance)], due=due)
            return
        now = self._means.clock.now()
        update = {"phase": ReplicaPhase.RESTORED, "applied_at": now, "ready_at": None, "error": ""}
        receipt = event("restored", now, "its configuration is as before", instance)
        due = after(now, self._means.limits.poll_seconds)
        self._record.save(with_replica(workflow, instance, update), now, [receipt], due=due)
