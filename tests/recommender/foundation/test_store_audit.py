"""The audit chain: it holds, and every way of tampering shows."""

from typing import Any

import pytest
import sqlalchemy as sa

from recommender.model import Event, WorkflowState
from recommender.store import Database, Store
from recommender.store.schema import audit, audit_head


@pytest.fixture
def chain(store: Store, make_workflow: Any, clock: Any) -> Store:
    workflow = store.create(make_workflow(), [Event(at=clock.now(), actor="optiinfra", kind="created")])
    for reason in ("one", "two", "three"):
        happened = Event(
            at=clock.now(),
            actor="ann",
            kind="transition",
            from_state=WorkflowState.PENDING_APPROVAL,
            to_state=WorkflowState.APPROVED,
            reason=reason,
            detail={"ü": [1, {"b": None}]},
        )
        workflow = store.save(workflow, [happened])
    return store


def test_an_untouched_chain_holds(chain: Store) -> None:
    report = chain.verify_audit()
    assert (report.rows, report.problem) == (4, "")
    assert [row.reason for row in chain.audit_of("w1")] == ["", "one", "two", "three"]


def test_an_empty_chain_holds(store: Store) -> None:
    assert store.verify_audit().problem == ""


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (sa.update(audit).where(audit.c.seq == 2).values(reason="x"), "row 2 was changed"),
        (sa.update(audit).where(audit.c.seq == 2).values(detail="{}"), "row 2 was changed"),
        (sa.update(audit).where(audit.c.seq == 3).values(prev_hash="0" * 64), "row 3 does not follow row 2"),
        (sa.delete(audit).where(audit.c.seq == 1), "row 1 is missing"),
        (sa.delete(audit).where(audit.c.seq == 3), "row 3 is missing"),
        (sa.delete(audit).where(audit.c.seq == 4), "ends at row 3, its head says row 4"),
        (sa.delete(audit), "ends at row 0, its head says row 4"),
        (sa.delete(audit_head), "head of the chain is missing"),
    ],
)
def test_tampering_shows(chain: Store, database: Database, tamper: Any, problem: str) -> None:
    with database.write() as connection:
        connection.execute(tamper)
    assert problem in chain.verify_audit().problem
