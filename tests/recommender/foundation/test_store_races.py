"""Several recommenders on one database, at the same moment: SQLite makes them wait, PostgreSQL lets them run."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from recommender.errors import Conflict
from recommender.intake.model import ReceiptOutcome
from recommender.model import Event, Workflow
from recommender.store import Database, Store

MINUTE = timedelta(minutes=1)
WRITERS = 6


@pytest.fixture
def stores(database_url: str) -> Iterator[list[Store]]:
    """As many recommenders."""
    databases = [Database(database_url, busy_timeout_seconds=20) for _ in range(WRITERS)]
    databases[0].migrate()
    yield [Store(one) for one in databases]
    for one in databases:
        one.close()


def together(stores: list[Store], act: Callable[[Store, int], Any]) -> list[Any]:
    """What each got, or the Conflict that it met; all begin at once."""
    gate = threading.Barrier(len(stores))

    def one(numbered: tuple[int, Store]) -> Any:
        gate.wait(10)
        try:
            return act(numbered[1], numbered[0])
        except Conflict as exc:
            return exc

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(one, enumerate(stores)))


def test_twin_alertmanagers_are_both_answered_and_open_each_incident_once(
    stores: list[Store], make_alert: Any, make_delivery: Any, clock: Any
) -> None:
    alerts = [make_alert(f"{number:04x}") for number in range(20)]
    first, again = make_delivery(*alerts), make_delivery(*reversed(alerts), key="twin")
    receipts = together(stores, lambda store, number: store.record((first, again)[number % 2], clock.now(), 100))
    assert [receipt.opened + receipt.updated for receipt in receipts] == [20] * WRITERS
    assert sum(receipt.outcome is ReceiptOutcome.ACCEPTED for receipt in receipts) == 2
    assert sorted(one.fingerprint for one in stores[0].incidents()) == sorted(one.fingerprint for one in alerts)


def test_the_first_heartbeats_of_all_are_one_row(stores: list[Store], clock: Any) -> None:
    assert together(stores, lambda store, _: store.beat("health", clock.now())) == [None] * WRITERS
    assert stores[0].last_beat("health") == clock.now()


def test_one_of_many_plans_for_a_service_is_kept(stores: list[Store], make_workflow: Any) -> None:
    results = together(stores, lambda store, number: store.create(make_workflow(f"w{number}"), []))
    [kept] = [result for result in results if isinstance(result, Workflow)]
    assert sum(isinstance(result, Conflict) for result in results) == WRITERS - 1
    assert [workflow.id for workflow in stores[0].workflows()] == [kept.id]


def test_one_of_many_decisions_is_kept(stores: list[Store], make_workflow: Any, clock: Any) -> None:
    workflow = stores[0].create(make_workflow(), [])
    decided = Event(at=clock.now(), actor="ann", kind="decided")
    results = together(stores, lambda store, _: store.save(workflow, [decided]))
    assert sum(isinstance(result, Workflow) for result in results) == 1
    assert len(stores[0].audit_of("w1")) == 1


def test_the_audit_chain_of_many_writers_holds(stores: list[Store], make_workflow: Any, clock: Any) -> None:
    def act(store: Store, number: int) -> None:
        for turn in range(5):
            event = Event(at=clock.now(), actor=f"recommender-{number}", kind="created")
            store.create(make_workflow(f"w{number}-{turn}", f"s{number}-{turn}"), [event])

    together(stores, act)
    report = stores[0].verify_audit()
    assert (report.rows, report.problem) == (5 * WRITERS, "")


def test_a_due_workflow_or_incident_is_leased_to_one(
    stores: list[Store], make_workflow: Any, make_alert: Any, make_delivery: Any, clock: Any
) -> None:
    stores[0].create(make_workflow(due_at=clock.now()), [])
    stores[0].record(make_delivery(make_alert("0001"), make_alert("0002")), clock.now(), 10)
    now = clock.now()
    workflows = together(stores, lambda store, number: store.claim_due(now, f"r{number}", MINUTE))
    assert sum(workflow is not None for workflow in workflows) == 1
    groups = together(stores, lambda store, number: store.claim_incidents(now, f"r{number}", MINUTE))
    assert sorted(incident.fingerprint for group in groups for incident in group) == ["0001", "0002"]
