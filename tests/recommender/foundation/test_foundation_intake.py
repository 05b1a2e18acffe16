"""Payloads and their recording: every duplicate, reordering and repeat leaves one open incident an alert."""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from recommender.errors import BacklogFull
from recommender.intake.model import Delivery, IncidentOutcome, IncomingAlert, ReceiptOutcome, Settlement
from recommender.intake.payload import Malformed, parse
from recommender.store import Database, Store
from recommender.store.schema import incidents, notifications
from tests.recommender.foundation.live import alert, payload

LIMIT = 1000
MINUTE = timedelta(minutes=1)
Alert = Callable[..., IncomingAlert]
Message = Callable[..., Delivery]


def test_a_payload_is_read_as_alertmanager_sends_it() -> None:
    resolved = {**alert("BEEF", "resolved"), "newField": {"of": "a later version"}}
    delivery = parse(to_json(payload(alert(), resolved, notification_reason="new")))
    first, second = delivery.alerts
    assert (first.status, first.ends_at) == ("firing", None)
    assert first.starts_at == datetime(2026, 11, 21, 4, 0, 0, 123456, tzinfo=UTC)
    assert (second.fingerprint, second.ends_at) == ("beef", datetime(2026, 11, 21, 4, 10, tzinfo=UTC))


def test_the_delivery_key_ignores_the_order_of_alerts_and_what_does_not_matter() -> None:
    one, two = alert("0001"), alert("0002")
    said = parse(to_json(payload(one, two))).key
    assert parse(to_json(payload(two, one, externalURL="http://the-other-alertmanager"))).key == said
    assert parse(to_json(payload(one, {**two, "status": "resolved"}))).key != said
    assert parse(to_json(payload(one, two, groupKey="another"))).key != said
    assert parse(to_json(payload(one))).key != said


@settings(max_examples=200, deadline=None)
@given(
    path=st.lists(st.sampled_from(["alerts", "status", "labels", "startsAt", "fingerprint", "version", 0]), max_size=3),
    junk=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_whatever_is_sent_it_is_read_or_malformed(path: list[Any], junk: Any) -> None:
    document: Any = copy.deepcopy(payload(alert("0001"), alert("0002")))
    place = document
    for step in path[:-1]:
        place = place[step] if isinstance(place, dict) and step in place else place
        place = place[0] if isinstance(place, list) and place else place
    if isinstance(place, dict) and path and isinstance(path[-1], str):
        place[path[-1]] = junk
    body = to_json(document, inf_nan_mode="constants")
    with suppress(Malformed):
        assert parse(body).alerts


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


def test_repeats_update_and_open_nothing(store: Store, make_alert: Alert, make_delivery: Message, clock: Any) -> None:
    first = store.record(make_delivery(make_alert()), clock.now(), LIMIT)
    clock.advance(3600)
    again = store.record(make_delivery(make_alert()), clock.now(), LIMIT)
    assert (first.outcome, again.outcome) == (ReceiptOutcome.ACCEPTED, ReceiptOutcome.DUPLICATE)
    [incident] = store.incidents()
    assert incident.last_seen == clock.now()
    assert incident.received_at == clock.now() - timedelta(hours=1)


def test_an_earlier_start_moves_the_open_incident(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    store.record(make_delivery(make_alert()), clock.now(), LIMIT)
    earlier = make_alert(starts_at=clock.now() - MINUTE)
    store.record(make_delivery(earlier, key="2"), clock.now(), LIMIT)
    [incident] = store.incidents()
    assert incident.starts_at == clock.now() - MINUTE


def test_resolved_closes_and_a_later_firing_opens_a_new_one(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    store.record(make_delivery(make_alert()), clock.now(), LIMIT)
    clock.advance(60)
    store.record(make_delivery(make_alert(status="resolved", ends_at=clock.now()), key="2"), clock.now(), LIMIT)
    assert store.incidents(open_only=True) == []
    assert store.incidents()[0].outcome == IncidentOutcome.RESOLVED
    assert store.claim_incidents(clock.now(), "me", MINUTE) == []
    clock.advance(60)
    store.record(make_delivery(make_alert(starts_at=clock.now()), key="3"), clock.now(), LIMIT)
    assert len(store.incidents()) == 2
    assert len(store.claim_incidents(clock.now(), "me", MINUTE)) == 1


def test_the_same_alert_after_an_outage_opens_its_incident_again(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    """Prometheus restores `startsAt` of a pending alert after a restart, so the delivery key repeats too."""
    start = clock.now()
    store.record(make_delivery(make_alert(starts_at=start)), clock.now(), LIMIT)
    store.record(make_delivery(make_alert(status="resolved", starts_at=start), key="2"), clock.now(), LIMIT)
    receipt = store.record(make_delivery(make_alert(starts_at=start)), clock.now(), LIMIT)
    assert (receipt.outcome, receipt.opened) == (ReceiptOutcome.ACCEPTED, 1)
    [incident] = store.incidents()
    assert incident.ends_at is None


def test_resolved_before_firing_is_recorded(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    store.record(make_delivery(make_alert(status="resolved", ends_at=clock.now())), clock.now(), LIMIT)
    [incident] = store.incidents()
    assert (incident.outcome, incident.due_at) == (IncidentOutcome.RESOLVED, None)


def test_a_full_backlog_takes_nothing_new_and_rolls_back(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    store.record(make_delivery(make_alert("0001"), make_alert("0002")), clock.now(), 2)
    with pytest.raises(BacklogFull, match="the limit is 2"):
        store.record(make_delivery(make_alert("0003"), key="2", heartbeat=True), clock.now(), 2)
    assert store.backlog().incidents == 2
    assert store.last_beat("watchdog") is None
    known = make_alert("0001")
    assert store.record(make_delivery(known, key="3"), clock.now(), 2).updated == 1


def test_incidents_of_one_service_are_claimed_together(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    alerts = [make_alert(f"000{n}", service=name) for n, name in enumerate(["a", "b", "a"])]
    store.record(make_delivery(*alerts), clock.now(), LIMIT)
    groups = [store.claim_incidents(clock.now(), owner, MINUTE) for owner in ("one", "two", "three")]
    assert sorted(sorted(one.fingerprint for one in group) for group in groups) == [[], ["0000", "0002"], ["0001"]]


def test_an_incident_that_ended_meanwhile_is_not_looked_at_again(
    store: Store, make_alert: Alert, make_delivery: Message, clock: Any
) -> None:
    store.record(make_delivery(make_alert()), clock.now(), LIMIT)
    [incident] = store.claim_incidents(clock.now(), "me", MINUTE)
    store.record(make_delivery(make_alert(status="resolved"), key="2"), clock.now(), LIMIT)
    later = clock.now() + MINUTE
    store.settle(Settlement((incident.id,), IncidentOutcome.NOT_CONFIRMED, "no", clock.now(), later, attempts=1))
    assert store.claim_incidents(later, "me", MINUTE) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["firing", "resolved"]), st.integers(0, 2), st.booleans()),
        min_size=1,
        max_size=25,
    )
)
def test_any_sequence_of_deliveries_leaves_at_most_one_open_incident_an_alert(
    database: Database, make_alert: Alert, make_delivery: Message, clock: Any, sent: list[Any]
) -> None:
    store = Store(database)
    with database.write() as connection:  # what the example before left
        connection.execute(sa.delete(incidents))
        connection.execute(sa.delete(notifications))
    last: dict[str, str] = {}
    for fingerprint, status, start, again in sent:
        began = clock.now() + timedelta(minutes=start)
        message = make_delivery(make_alert(fingerprint, status, began), key=f"{fingerprint}{status}{start}")
        for delivered in [message, message] if again else [message]:
            store.record(delivered, clock.now(), LIMIT)
        last[fingerprint] = status
    opened = [incident.fingerprint for incident in store.incidents(open_only=True)]
    assert sorted(opened) == sorted(name for name, status in last.items() if status == "firing")
    before = [replace(one, last_seen=clock.now()) for one in store.incidents()]
    store.record(delivered, clock.now(), LIMIT)
    assert [replace(one, last_seen=clock.now()) for one in store.incidents()] == before
