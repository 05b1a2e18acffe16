"""Notification and incident rows on a connection.

Recording is idempotent: the same delivery again changes nothing but `deliveries` and `last_seen`. The last word on an
alert wins: a firing alert whose incident was closed opens it again when it began during it (Prometheus came back from
an outage), and opens a new one when it began later.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

import sqlalchemy as sa

from recommender.errors import BacklogFull
from recommender.intake.model import (
    AlertStatus,
    Backlog,
    Delivery,
    Incident,
    IncidentOutcome,
    IncomingAlert,
    Receipt,
    ReceiptOutcome,
    Settlement,
)
from recommender.store.schema import incidents, notifications

_C = incidents.c
_FIELDS = tuple(Incident.__dataclass_fields__)


def record(
    connection: sa.Connection, delivery: Delivery, now: datetime, limit: int, new_id: Callable[[], str]
) -> Receipt:
    """Store a delivery and what it says of each alert. BacklogFull when more than `limit` incidents would wait."""
    notification_id, fresh = _upsert_notification(connection, delivery, now)
    counts = {"opened": 0, "updated": 0, "resolved": 0}
    for alert in sorted(delivery.alerts, key=attrgetter("fingerprint")):  # rows locked in one order: no deadlock
        counts[_upsert_incident(connection, alert, notification_id, now, new_id)] += 1
    if counts["opened"] and (waiting := backlog(connection).incidents) > limit:
        raise BacklogFull(f"{waiting} alerts would wait to be looked at, the limit is {limit}")
    outcome = ReceiptOutcome.ACCEPTED if fresh or counts["opened"] else ReceiptOutcome.DUPLICATE
    return Receipt(outcome, **counts, invalid=delivery.invalid, truncated=delivery.truncated_alerts)


def _upsert_notification(connection: sa.Connection, delivery: Delivery, now: datetime) -> tuple[int, bool]:
    known = sa.select(notifications.c.id).where(notifications.c.delivery_key == delivery.key)
    found: int | None = connection.execute(known).scalar_one_or_none()
    if found is not None:
        again = {"deliveries": notifications.c.deliveries + 1, "last_received_at": now}
        connection.execute(sa.update(notifications).where(notifications.c.id == found).values(again))
        return found, False
    fresh = sa.insert(notifications).values(
        delivery_key=delivery.key,
        source=delivery.source,
        receiver=delivery.receiver,
        group_key=delivery.group_key,
        status=delivery.status.value,
        truncated_alerts=delivery.truncated_alerts,
        alerts=len(delivery.alerts) + len(delivery.invalid),
        invalid=[{"path": bad.path, "reason": bad.reason} for bad in delivery.invalid],
        deliveries=1,
        first_received_at=now,
        last_received_at=now,
    )
    return int(connection.execute(fresh.returning(notifications.c.id)).scalar_one()), True


def _upsert_incident(
    connection: sa.Connection, alert: IncomingAlert, notification_id: int, now: datetime, new_id: Callable[[], str]
) -> str:
    """Apply one alert; returns which count it adds to."""
    row = _open(connection, alert.fingerprint)
    if alert.status is AlertStatus.FIRING:
        if row is not None:
            seen = {
                "last_seen": now,
                "starts_at": min(row.starts_at, alert.starts_at),  # Alertmanager may merge an earlier start
                "annotations": alert.annotations,
            }
            _set(connection, row.id, seen)
            return "updated"
        return _open_again_or_new(connection, alert, notification_id, now, new_id)
    ends_at = max(alert.ends_at or now, alert.starts_at)
    if row is not None:
        _close(connection, row, alert, ends_at, now)
        return "resolved"
    if _closed(connection, alert) is None:  # resolved before firing: recorded, not dropped
        outcome = {"outcome": IncidentOutcome.RESOLVED.value, "reason": "it had ended when it was told"}
        _insert(
            connection, alert, notification_id, now, {"id": new_id(), "ends_at": ends_at, "due_at": None, **outcome}
        )
    return "resolved"


def _open_again_or_new(
    connection: sa.Connection, alert: IncomingAlert, notification_id: int, now: datetime, new_id: Callable[[], str]
) -> str:
    closed = _closed(connection, alert)
    if closed is None:
        _insert(connection, alert, notification_id, now, {"id": new_id(), "ends_at": None, "due_at": now})
    else:
        again = {"ends_at": None, "received_at": now, "last_seen": now, "due_at": now, "attempts": 0}
        _set(connection, closed.id, {**again, "outcome": "", "reason": ""})
    return "opened"


def _close(
    connection: sa.Connection, row: sa.Row[tuple[object, ...]], alert: IncomingAlert, ends_at: datetime, now: datetime
) -> None:
    starts_at = min(row.starts_at, alert.starts_at)
    values: dict[str, object] = {"starts_at": starts_at, "ends_at": ends_at, "last_seen": now, "due_at": None}
    if not row.outcome:
        values |= {"outcome": IncidentOutcome.RESOLVED.value, "reason": "it ended before it was looked at"}
    _set(connection, row.id, values)


def _insert(
    connection: sa.Connection, alert: IncomingAlert, notification_id: int, now: datetime, values: Mapping[str, object]
) -> None:
    row: dict[str, object] = {
        "fingerprint": alert.fingerprint,
        "alertname": alert.label("alertname"),
        "service": alert.label("service"),
        "node": alert.label("node"),
        "bottleneck": alert.label("bottleneck"),
        "severity": alert.label("severity"),
        "labels": alert.labels,
        "annotations": alert.annotations,
        "notification_id": notification_id,
        "starts_at": alert.starts_at,
        "received_at": now,
        "last_seen": now,
        "attempts": 0,
        "outcome": "",
        "reason": "",
    }
    connection.execute(sa.insert(incidents).values({**row, **values}))


def _set(connection: sa.Connection, incident_id: str, values: dict[str, object]) -> None:
    connection.execute(sa.update(incidents).where(_C.id == incident_id).values(values))


def _open(connection: sa.Connection, fingerprint: str) -> sa.Row[tuple[object, ...]] | None:
    query = sa.select(incidents).where(_C.fingerprint == fingerprint, _C.ends_at.is_(None)).with_for_update()
    return connection.execute(query).one_or_none()


def _closed(connection: sa.Connection, alert: IncomingAlert) -> sa.Row[tuple[object, ...]] | None:
    """The incident that was closed and during which this alert began."""
    query = sa.select(incidents).where(
        _C.fingerprint == alert.fingerprint, _C.starts_at <= alert.starts_at, _C.ends_at >= alert.starts_at
    )
    return connection.execute(query.order_by(_C.starts_at.desc(), _C.id).limit(1)).one_or_none()


def claim_due(connection: sa.Connection, now: datetime, owner: str, lease: timedelta) -> list[Incident]:
    """Lease all due incidents of the subject (service, else node) that has waited longest; empty when none is due."""
    free = sa.or_(_C.lease_until.is_(None), _C.lease_until <= now, _C.lease_owner == owner)
    due = sa.select(incidents).where(_C.due_at <= now, free).with_for_update(skip_locked=True)
    first = connection.execute(due.order_by(_C.due_at, _C.id).limit(1)).one_or_none()
    if first is None:
        return []
    subject = _C.service == first.service if first.service else sa.and_(_C.service == "", _C.node == first.node)
    group = [_incident(row) for row in connection.execute(due.where(subject).order_by(_C.received_at, _C.id))]
    ids = [incident.id for incident in group]
    connection.execute(sa.update(incidents).where(_C.id.in_(ids)).values(lease_owner=owner, lease_until=now + lease))
    return group


def settle(connection: sa.Connection, settlement: Settlement) -> None:
    """Write what came of incidents and give up their lease. One that ended meanwhile is not looked at again."""
    values: dict[str, object] = {
        "outcome": settlement.outcome.value,
        "reason": settlement.reason,
        "processed_at": settlement.at,
        "due_at": None,
        "attempts": settlement.attempts,
        "lease_owner": None,
        "lease_until": None,
    }
    if settlement.workflow_id is not None:
        values["workflow_id"] = settlement.workflow_id
    if settlement.due_at is not None:
        values["due_at"] = sa.case((_C.ends_at.is_(None), settlement.due_at), else_=sa.null())
    connection.execute(sa.update(incidents).where(_C.id.in_(settlement.incident_ids)).values(values))


def find(connection: sa.Connection, *, open_only: bool, service: str | None, limit: int) -> list[Incident]:
    """Incidents, the most recently seen first."""
    query = sa.select(incidents).order_by(_C.last_seen.desc(), _C.id).limit(limit)
    if open_only:
        query = query.where(_C.ends_at.is_(None))
    if service is not None:
        query = query.where(_C.service == service)
    return [_incident(row) for row in connection.execute(query)]


def backlog(connection: sa.Connection) -> Backlog:
    """Incidents that wait for their first look."""
    query = sa.select(sa.func.count(), sa.func.min(_C.received_at)).where(_C.outcome == "", _C.due_at.is_not(None))
    count, oldest = connection.execute(query).one()
    return Backlog(count, oldest)


def _incident(row: sa.Row[tuple[object, ...]]) -> Incident:
    values: Sequence[tuple[str, object]] = [(name, row._mapping[name]) for name in _FIELDS]  # noqa: SLF001 - SQLAlchemy's public name for it
    return Incident(**dict(values))  # type: ignore[arg-type]  # column types are the schema's
