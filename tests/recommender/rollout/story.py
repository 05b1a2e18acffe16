"""Runs a rollout to its end on a clock set by hand, with the real store."""

from collections.abc import Mapping
from pathlib import Path

from recommender import executors
from recommender.contracts import Executor, WorkflowStore
from recommender.model import Workflow, WorkflowState
from recommender.rollout.observation import Limits
from recommender.rollout.reconciler import Reconciler
from recommender.rollout.states import ACTIVE
from recommender.store import Store
from recommender.store.database import Database
from tests.recommender.rollout.builders import HandClock, make_plan, make_workflow
from tests.recommender.rollout.world import World

FEW_STEPS = Limits(watch_seconds=3600)  # no looking in between: fewer steps, the same story
_MOST_STEPS = 400


def open_store(folder: Path) -> Store:
    file = folder / "optiinfra.db"
    fresh = not file.exists()
    database = Database(f"sqlite:///{file}")
    if fresh:
        database.migrate()
    return Store(database)


def approved(store: Store, world: World, **update: object) -> Workflow:
    """An approved workflow of the standard plan for the world's engines."""
    plan = make_plan(instances=world.instances, **update)
    return store.create(make_workflow(WorkflowState.APPROVED, plan=plan), [])


def reconciler(
    store: WorkflowStore,
    world: World,
    clock: HandClock,
    *,
    using: Mapping[str, Executor] | None = None,
    limits: Limits = FEW_STEPS,
) -> Reconciler:
    return Reconciler(store, world, using or executors.build(), world.targets, clock, "recommender-1", limits=limits)


def run_to_end(store: Store, world: World, clock: HandClock, workflow_id: str = "w1", **options: object) -> Workflow:
    """Step until nothing is active any more; time jumps to whatever is due next."""
    hands = reconciler(store, world, clock, **options)
    for _ in range(_MOST_STEPS):
        workflow = store.workflow(workflow_id)
        if workflow.state not in ACTIVE:
            return workflow
        if not hands.run_once():
            clock.instant = max(clock.instant, workflow.due_at or clock.instant)
    raise AssertionError(f"no end after {_MOST_STEPS} steps: {workflow.state}, {workflow.reason}")


def run_until(store: Store, world: World, clock: HandClock, state: WorkflowState, **options: object) -> Workflow:
    """Step until the workflow is in `state`."""
    hands = reconciler(store, world, clock, **options)
    for _ in range(_MOST_STEPS):
        workflow = store.workflow("w1")
        if workflow.state is state:
            return workflow
        if not hands.run_once():
            clock.instant = max(clock.instant, workflow.due_at or clock.instant)
    raise AssertionError(f"never {state}: {workflow.state}, {workflow.reason}")


def kinds(store: Store) -> list[str]:
    """The audit rows of the story: transitions by their target, all else by kind."""
    return [row.to_state or row.kind for row in store.audit_of("w1")]
