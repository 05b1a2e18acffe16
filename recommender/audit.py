"""The audit chain: each row's hash covers its content and the hash before it, so that a change or a gap shows."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from recommender.model import Event

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row as stored: text exactly as hashed. `at` is ISO 8601 in UTC, `detail` is canonical JSON."""

    seq: int
    at: str
    actor: str
    kind: str
    workflow_id: str
    from_state: str
    to_state: str
    reason: str
    detail: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of verifying a chain; `problem` is empty when it holds."""

    rows: int
    head: str
    problem: str = ""


def link(event: Event, workflow_id: str, seq: int, prev_hash: str) -> AuditRow:
    """The row that records `event` at position `seq`, after the row with `prev_hash`."""
    row = AuditRow(
        seq=seq,
        at=event.at.isoformat(),
        actor=event.actor,
        kind=event.kind,
        workflow_id=workflow_id,
        from_state=event.from_state or "",
        to_state=event.to_state or "",
        reason=event.reason,
        detail=json.dumps(event.model_dump(mode="json")["detail"], sort_keys=True, separators=(",", ":"), default=str),
        prev_hash=prev_hash,
        hash="",
    )
    return AuditRow(**{**asdict(row), "hash": _digest(row)})


def verify(rows: Iterable[AuditRow], head_seq: int, head_hash: str) -> AuditReport:
    """Walk the whole chain in order of `seq` and compare its end with the recorded head."""
    count, previous = 0, GENESIS
    for row in rows:
        if row.seq != count + 1:
            return AuditReport(count, previous, f"row {count + 1} is missing: row {row.seq} follows row {count}")
        if row.prev_hash != previous:
            return AuditReport(count, previous, f"row {row.seq} does not follow row {count}: one of them was changed")
        if row.hash != _digest(row):
            return AuditReport(count, previous, f"row {row.seq} was changed after it was written")
        count, previous = row.seq, row.hash
    if (count, previous) != (head_seq, head_hash):
        return AuditReport(count, previous, f"the chain ends at row {count}, its head says row {head_seq}")
    return AuditReport(count, previous)


def _digest(row: AuditRow) -> str:
    content = {key: value for key, value in asdict(row).items() if key != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
