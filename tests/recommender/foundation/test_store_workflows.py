"""The contract of the workflow store, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from recommender.errors import Conflict, NotFound
from recommender.model import Workflow, WorkflowState
from recommender.rollout.states import ACTIVE, move
from recommender.store import Database, Store

MINUTE = timedelta(minutes=1)
Make = Callable[..., Workflow]


def test_a_workflow_comes_back_as_it_was_stored(store: Store, make_workflow: Make) -> None:
    stored = store.create(make_workflow(), [])
    assert stored.version == 1
    assert store.workflow("w1") == stored


def test_saving_raises_the_version_and_a_stale_version_conflicts(store: Store, make_workflow: Make, clock: Any) -> None:
    first = store.create(make_workflow(), [])
    second, happened = move(first, "approve", clock.now(), actor="ann", reason="ok")
    assert store.save(second, [happened]).version == 2
    with pytest.raises(Conflict, match="approved by now"):
        store.save(second, [happened])
    assert len(store.audit_of("w1")) == 1


def test_saving_what_was_never_stored_is_not_found(store: Store, make_workflow: Make) -> None:
    with pytest.raises(NotFound):
        store.save(make_workflow("unknown"), [])


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_one_workflow_in_flight_a_service(store: Store, make_workflow: Make, state: WorkflowState) -> None:
    store.create(make_workflow("w1", state=state), [])
    with pytest.raises(Conflict, match="already has a workflow"):
        store.create(make_workflow("w2"), [])
    assert store.create(make_workflow("w3", service="other"), []).version == 1
    active = store.active_for("chat")
    assert active is not None
    assert active.id == "w1"


def test_a_workflow_that_waits_for_approval_is_open_and_not_active(store: Store, make_workflow: Make) -> None:
    store.create(make_workflow(), [])
    assert store.active_for("chat") is None
    opened = store.open_for("chat")
    assert opened is not None
    assert opened.id == "w1"


def test_a_finished_workflow_makes_room(store: Store, make_workflow: Make) -> None:
    store.create(make_workflow("w1", state=WorkflowState.SUCCEEDED), [])
    store.create(make_workflow("w2"), [])
    assert {workflow.id for workflow in store.workflows()} == {"w1", "w2"}
    assert store.count_by_state() == {WorkflowState.SUCCEEDED: 1, WorkflowState.PENDING_APPROVAL: 1}
    assert [workflow.id for workflow in store.workflows((WorkflowState.SUCCEEDED,))] == ["w1"]


def test_only_due_workflows_are_claimed_and_the_longest_due_first(
    store: Store, make_workflow: Make, clock: Any
) -> None:
    now = clock.now()
    store.create(make_workflow("later", "a", due_at=now + MINUTE), [])
    store.create(make_workflow("never", "b", due_at=None), [])
    store.create(make_workflow("second", "c", due_at=now), [])
    store.create(make_workflow("first", "d", due_at=now - MINUTE), [])
    claimed = [store.claim_due(now, owner, MINUTE) for owner in ("one", "two", "three")]
    assert [workflow and workflow.id for workflow in claimed] == ["first", "second", None]


def test_a_lease_keeps_others_off_until_it_ends(store: Store, make_workflow: Make, clock: Any) -> None:
    store.create(make_workflow(due_at=clock.now()), [])
    held = store.claim_due(clock.now(), "one", MINUTE)
    assert held is not None
    assert store.claim_due(clock.now(), "two", MINUTE) is None
    clock.advance(61)
    taken = store.claim_due(clock.now(), "two", MINUTE)
    assert taken is not None
    with pytest.raises(Conflict):
        store.save(held, [])  # the one that stalled is fenced off
    store.save(taken, [])


def test_an_owner_takes_its_own_lease_up_again_after_a_restart(store: Store, make_workflow: Make, clock: Any) -> None:
    store.create(make_workflow(due_at=clock.now()), [])
    assert store.claim_due(clock.now(), "one", MINUTE) is not None
    assert store.claim_due(clock.now(), "one", MINUTE) is not None


def test_saving_gives_the_lease_up_unless_told_otherwise(store: Store, make_workflow: Make, clock: Any) -> None:
    store.create(make_workflow(due_at=clock.now()), [])
    held = store.claim_due(clock.now(), "one", MINUTE)
    kept = store.save(held, [], release=False)
    assert store.claim_due(clock.now(), "two", MINUTE) is None
    store.save(kept, [])
    assert store.claim_due(clock.now(), "two", MINUTE) is not None


def test_two_claimers_never_get_the_same_workflow(
    database_url: str, store: Store, make_workflow: Make, clock: Any
) -> None:
    for index in range(12):
        store.create(make_workflow(f"w{index}", f"s{index}", due_at=clock.now()), [])
    claimed: list[str] = []

    def claim(owner: str) -> None:
        own = Database(database_url)
        while workflow := Store(own).claim_due(clock.now(), f"{owner}-{len(claimed)}", MINUTE):
            claimed.append(workflow.id)
        own.close()

    threads = [threading.Thread(target=claim, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(f"w{index}" for index in range(12))
