"""Moves due workflows on: claim, observe, decide, act, record. One idempotent step a call.

Nothing is held in memory between calls, so any recommender may do the next step, and a kill costs at most the step
that was under way. Nothing blocks longer than one restart command: waiting is a `due_at`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

import structlog

from recommender.clock import Clock
from recommender.contracts import Executor, PromQL, ReplicaTarget, WorkflowStore
from recommender.errors import Conflict, StoreUnavailable
from recommender.model import Workflow
from recommender.rollout.act import Hands
from recommender.rollout.change import Means
from recommender.rollout.decide import DRY_RUN, decide, unforeseen
from recommender.rollout.observation import Limits, Observation
from recommender.rollout.progress import with_all_replicas
from recommender.rollout.record import Record
from recommender.rollout.states import ACTIVE

_LOG = structlog.get_logger(__name__)


class Reconciler:
    """`targets` gives the replicas of a service as the inventory has them now.

    `owner` names this recommender in leases; keep it the same across restarts of one recommender, so that it resumes
    its own work at once. `lease` is how long a step may take before another recommender takes the workflow over: longer
    than any restart command.
    """

    def __init__(  # noqa: PLR0917 - the seam that the worker and the tests call
        self,
        store: WorkflowStore,
        promql: PromQL,
        executors: Mapping[str, Executor],
        targets: Callable[[str], tuple[ReplicaTarget, ...]],
        clock: Clock,
        owner: str,
        lease: timedelta = timedelta(minutes=5),
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._executors = executors
        self._targets = targets
        self._clock = clock
        self._owner = owner
        self._lease = lease
        self._limits = limits or Limits()
        means = Means(
            record=Record(store), promql=promql, executors=executors, clock=clock, lease=lease, limits=self._limits
        )
        self._hands = Hands(means)

    def run_once(self) -> bool:
        """Do one step of one due workflow; False when none is due. Raises StoreUnavailable."""
        claimed = self._store.claim_due(self._clock.now(), self._owner, self._lease)
        if claimed is None:
            return False
        workflow = with_all_replicas(claimed)
        try:
            seen = self._observe(workflow)
            self._hands.act(workflow, decide(workflow, self._clock.now(), seen, self._limits), seen)
        except Conflict as conflict:
            _LOG.info("workflow_moved_on_meanwhile", workflow=workflow.id, reason=str(conflict))
        except StoreUnavailable:
            raise
        except Exception as error:  # put aside before the loop logs it, so that it does not keep others waiting
            self._put_aside(workflow, error)
            raise
        return True

    def _put_aside(self, workflow: Workflow, error: Exception) -> None:
        problem = (
            f"a step failed in a way that nobody foresaw ({type(error).__name__}); the recommender's log says more"
        )
        step = unforeseen(workflow, problem, self._clock.now(), self._limits)
        with suppress(Conflict):  # the step had saved its intent: those attempts are counted and have an end
            self._hands.act(workflow, step, Observation())

    def _observe(self, workflow: Workflow) -> Observation:
        if workflow.state not in ACTIVE:
            return Observation()
        targets = {target.instance: target for target in self._targets(workflow.service)}
        executor = self._executors.get(workflow.plan.executor)
        if executor is None or executor.name == DRY_RUN:
            return Observation(targets, {}, executor_known=executor is not None)
        ready = {instance: executor.ready(target) for instance, target in targets.items()}
        return Observation(targets, ready)
