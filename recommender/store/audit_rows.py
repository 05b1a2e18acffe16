"""Audit rows on a connection: append within the caller's transaction, read back in order."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from recommender.audit import AuditReport, AuditRow, link, verify
from recommender.model import Event
from recommender.store.schema import audit, audit_head


def append(connection: sa.Connection, events: Sequence[Event], workflow_id: str = "") -> None:
    """Add `events` to the chain. The head's row lock makes writers wait for one another on PostgreSQL."""
    if not events:
        return
    head = connection.execute(sa.select(audit_head).with_for_update()).one()
    seq, previous = head.seq, head.hash
    rows = []
    for event in events:
        row = link(event, workflow_id, seq + 1, previous)
        rows.append(asdict(row))
        seq, previous = row.seq, row.hash
    connection.execute(sa.insert(audit), rows)
    connection.execute(sa.update(audit_head).values(seq=seq, hash=previous))


def rows_of(connection: sa.Connection, workflow_id: str) -> list[AuditRow]:
    """The rows of one workflow, oldest first."""
    query = sa.select(audit).where(audit.c.workflow_id == workflow_id).order_by(audit.c.seq)
    return [AuditRow(**row) for row in connection.execute(query).mappings()]


def verify_chain(connection: sa.Connection) -> AuditReport:
    """Verify the whole chain, streaming."""
    head = connection.execute(sa.select(audit_head)).one_or_none()
    if head is None:
        return AuditReport(0, "", "the head of the chain is missing")
    query = sa.select(audit).order_by(audit.c.seq).execution_options(yield_per=1000)
    with connection.execute(query) as result:
        return verify((AuditRow(**row) for row in result.mappings()), head.seq, head.hash)
