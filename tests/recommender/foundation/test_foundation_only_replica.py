"""Alerts of a service with one replica: its plan is advice, unless its owner allows the restart."""

from collections.abc import Callable

import pytest

from recommender.errors import Conflict
from recommender.intake.model import IncidentOutcome
from recommender.inventory import Inventory
from recommender.model import WorkflowState
from recommender.rollout.states import move
from tests.recommender.foundation.pipeline_world import World
from tests.recommender.foundation.stub_prometheus import (
    limited_service,
)


@pytest.fixture
def alone(world: World) -> Callable[..., Inventory]:
    """The service with one replica, in Prometheus and in the inventory."""
    chat = world.inventory.services["chat"]
    world.prometheus.series = limited_service(instances=(chat.replicas[0].instance,))

    def inventory(**policy: object) -> Inventory:
        update = {"replicas": chat.replicas[:1], "policy": chat.policy.model_copy(update=policy)}
        return Inventory(services={"chat": chat.model_copy(update=update)})

    return inventory


def test_the_only_replica_gets_the_whole_plan_as_advice_once(world: World, alone: Callable[..., Inventory]) -> None:
    world.fire()
    pipeline = world.pipeline(alone(approval="auto"))
    for _ in range(3):
        pipeline.run_once()
        world.clock.advance(300)
    [workflow] = world.store.workflows()
    assert (workflow.state, workflow.due_at, workflow.expires_at) == (WorkflowState.ADVISED, None, None)
    plan = workflow.plan
    assert plan.change is not None
    assert all((plan.change.formula, plan.patches, plan.verification_queries, plan.rollback_queries, plan.verification))
    assert "no second healthy replica" in plan.withheld
    assert workflow.reason.startswith(plan.withheld)
    assert (world.incident().outcome, world.incident().workflow_id) == (IncidentOutcome.ADVISED, workflow.id)
    assert [row.kind for row in world.store.audit_of(workflow.id)] == ["created"]
    with pytest.raises(Conflict):
        move(workflow, "approve", world.clock.now(), actor="ann", reason="do it")


def test_the_only_replica_whose_owner_allows_it_waits_for_a_person_under_any_policy(
    world: World, alone: Callable[..., Inventory]
) -> None:
    world.fire()
    world.pipeline(alone(approval="auto", allow_restart_of_last_replica=True)).run_once()
    assert world.states() == ["pending_approval"]


def test_advice_for_the_only_replica_becomes_a_plan_when_a_second_one_is_there(
    world: World, alone: Callable[..., Inventory]
) -> None:
    world.fire()
    world.pipeline(alone()).run_once()
    world.prometheus.series = limited_service()
    world.clock.advance(61)
    world.pipeline(owner="again").run_once()
    assert sorted(world.states()) == ["advised", "pending_approval"]
