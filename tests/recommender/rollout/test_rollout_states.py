"""The transition table, exhaustively, and the page drawn from it."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from recommender.errors import Conflict
from recommender.model import WorkflowState
from recommender.rollout import diagram
from recommender.rollout.states import (
    ACTIVE,
    TERMINAL,
    TRANSITIONS,
    WAITING_FOR_PERSON,
    Trigger,
    move,
    next_state,
)

PAGE = Path(__file__).parents[3] / "docs" / "workflow-states.md"
TOUCHED = {WorkflowState.CANARY, WorkflowState.ROLLING_OUT, WorkflowState.VALIDATING, WorkflowState.ROLLING_BACK}


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(WorkflowState, Trigger)))
def test_every_pair_is_either_in_the_table_or_refused(state: WorkflowState, trigger: Trigger) -> None:
    if (state, trigger) in TRANSITIONS:
        assert next_state(state, trigger.value) is TRANSITIONS[state, trigger]
    else:
        with pytest.raises(Conflict, match=f"cannot {trigger} a workflow that is {state}"):
            next_state(state, trigger)


def test_an_unknown_event_is_refused_with_what_is_possible() -> None:
    with pytest.raises(Conflict, match=r"cannot explode .* possible from here: approve, cancel, expire"):
        next_state(WorkflowState.PENDING_APPROVAL, "explode")


def test_every_state_is_either_active_waiting_or_over() -> None:
    assert sorted([*ACTIVE, *WAITING_FOR_PERSON, *TERMINAL]) == sorted(WorkflowState)


def test_every_state_can_be_reached_and_every_open_one_leads_to_an_end() -> None:
    first = {WorkflowState.PENDING_APPROVAL, WorkflowState.ADVISED}
    assert first | set(TRANSITIONS.values()) == set(WorkflowState)
    for state in set(WorkflowState) - TERMINAL:
        reached = {state}
        while grown := {to for (source, _), to in TRANSITIONS.items() if source in reached} - reached:
            reached |= grown
        assert reached & TERMINAL, state


def test_once_a_replica_may_be_changed_only_success_or_a_rollback_ends_the_workflow() -> None:
    reached = set(TOUCHED)
    while grown := {to for (source, _), to in TRANSITIONS.items() if source in reached} - reached:
        reached |= grown
    ends = {WorkflowState.SUCCEEDED, WorkflowState.ROLLED_BACK, WorkflowState.ROLLBACK_FAILED}
    assert reached - TOUCHED == ends


def test_success_is_only_reached_by_way_of_a_canary_and_a_validation() -> None:
    assert [source for (source, _), to in TRANSITIONS.items() if to is WorkflowState.SUCCEEDED] == [
        WorkflowState.VALIDATING
    ]
    assert next_state(WorkflowState.APPROVED, Trigger.START) is WorkflowState.CANARY


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_person_can_stop_whatever_is_under_way(state: WorkflowState) -> None:
    if state is not WorkflowState.ROLLING_BACK:
        assert next_state(state, Trigger.CANCEL) in {WorkflowState.CANCELLED, WorkflowState.ROLLING_BACK}


def test_a_move_sets_the_instants_that_the_reconciler_relies_on(make: Any, clock: Any) -> None:
    clock.advance(30)
    workflow = make.workflow(WorkflowState.PENDING_APPROVAL, extensions=1, errors=2, expires_at=make.start)
    approved, event = move(workflow, "approve", clock.now(), actor="alice", reason="looks right")
    assert (approved.state, approved.due_at) == (WorkflowState.APPROVED, clock.now())
    assert (approved.phase_started_at, approved.extensions, approved.errors) == (clock.now(), 0, 0)
    assert (event.actor, event.from_state, event.to_state) == ("alice", workflow.state, approved.state)
    rejected, _ = move(workflow, "reject", clock.now(), actor="alice", reason="no")
    assert rejected.due_at is None


def test_the_documented_diagram_is_the_table() -> None:
    assert PAGE.read_text() == diagram.page(), "run: python -m recommender.rollout.diagram > docs/workflow-states.md"
