"""What must not stay as it is: a step that always fails, an approval left alone, attempts of another state."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from recommender import executors
from recommender.contracts import ReplicaTarget
from recommender.decisions import decide
from recommender.model import ReplicaPhase, WorkflowState
from recommender.rollout.reconciler import Reconciler
from recommender.rollout.states import Trigger
from recommender.store import Store
from tests.recommender.rollout.builders import START, HandClock, make_plan, make_workflow
from tests.recommender.rollout.story import FEW_STEPS, approved, open_store, reconciler, run_to_end, run_until
from tests.recommender.rollout.world import OLD, World, running_world

S = WorkflowState


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path / "engines") as made:
        yield made


class Broken:
    """The inventory's targets, failing for one service in a way that nobody foresaw."""

    def __init__(self, world: World, service: str) -> None:
        self.world = world
        self.service = service

    def targets(self, service: str) -> tuple[ReplicaTarget, ...]:
        if service == self.service:
            raise RuntimeError("nobody foresaw this")
        return self.world.targets(service)

    def reconciler(self, store: Store, clock: HandClock) -> Reconciler:
        return Reconciler(store, self.world, executors.build(), self.targets, clock, "recommender-1", limits=FEW_STEPS)


def step(hands: Reconciler, clock: HandClock, store: Store, workflow_id: str) -> None:
    """One step, at the instant at which the workflow is due."""
    clock.instant = max(clock.instant, store.workflow(workflow_id).due_at or clock.instant)
    try:
        hands.run_once()
    except RuntimeError:
        return


def test_a_step_that_always_fails_does_not_keep_other_workflows_waiting(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    poison = make_plan(service="poison", instances=world.instances)
    store.create(make_workflow(S.APPROVED, id="w0", plan=poison, due_at=START - timedelta(seconds=1)), [])
    hands = Broken(world, "poison").reconciler(store, clock)
    with pytest.raises(RuntimeError):
        hands.run_once()
    assert hands.run_once()
    assert store.workflow("w1").state is S.CANARY
    waiting = store.workflow("w0")
    assert waiting.due_at is not None
    assert waiting.due_at > clock.now()
    assert "RuntimeError" in waiting.reason


def test_a_change_whose_steps_keep_failing_is_rolled_back(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world)
    run_until(store, world, clock, S.ROLLING_OUT)
    hands = Broken(world, "chat").reconciler(store, clock)
    for _ in range(FEW_STEPS.measure_errors):
        step(hands, clock, store, "w1")
    assert store.workflow("w1").state is S.ROLLING_BACK
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK, done.reason
    assert [engine.running for engine in world.engines] == [OLD] * 3


@pytest.mark.parametrize(("state", "ends"), [(S.APPROVED, S.CANCELLED), (S.ROLLING_BACK, S.ROLLBACK_FAILED)])
def test_what_keeps_failing_ends_where_a_person_sees_it(
    store: Store, world: World, clock: HandClock, state: WorkflowState, ends: WorkflowState
) -> None:
    store.create(make_workflow(state, plan=make_plan(instances=world.instances)), [])
    hands = Broken(world, "chat").reconciler(store, clock)
    for _ in range(FEW_STEPS.measure_errors):
        step(hands, clock, store, "w1")
    assert store.workflow("w1").state is ends


def test_an_approval_that_nobody_acted_on_for_hours_is_not_carried_out(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    clock.advance(48 * 3600)  # no recommender ran meanwhile
    done = run_to_end(store, world, clock)
    assert done.state is S.EXPIRED
    assert "within 30 minutes of its approval" in done.reason
    assert [engine.restarts for engine in world.engines] == [0, 0, 0]


def test_a_cancelled_change_that_was_tried_often_is_still_put_back(
    store: Store, world: World, clock: HandClock
) -> None:
    approved(store, world)
    workflow = run_until(store, world, clock, S.CANARY)
    canary = workflow.replicas[0].model_copy(update={"phase": ReplicaPhase.APPLYING, "attempts": FEW_STEPS.attempts})
    store.save(workflow.model_copy(update={"replicas": (canary, *workflow.replicas[1:])}), [])
    decide(store, "w1", Trigger.CANCEL, actor="ann", comment="", now=clock.now())
    done = run_to_end(store, world, clock)
    assert done.state is S.ROLLED_BACK, done.reason
    assert [engine.running for engine in world.engines] == [OLD] * 3


def test_a_healthy_recommender_forgets_earlier_failures(store: Store, world: World, clock: HandClock) -> None:
    approved(store, world)
    broken = Broken(world, "chat").reconciler(store, clock)
    for _ in range(FEW_STEPS.measure_errors - 1):
        step(broken, clock, store, "w1")
    step(reconciler(store, world, clock), clock, store, "w1")
    assert (store.workflow("w1").state, store.workflow("w1").errors) == (S.CANARY, 0)
