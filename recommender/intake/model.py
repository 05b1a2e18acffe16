"""What intake makes of a notification, and what the store makes of that."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AlertStatus(StrEnum):
    """What Alertmanager says of an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class IncomingAlert:
    """One valid alert of a notification. `ends_at` is None while it fires."""

    fingerprint: str
    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None

    def label(self, name: str) -> str:
        """A label's value; empty when it is not set, as in Prometheus."""
        return self.labels.get(name, "")


@dataclass(frozen=True, slots=True)
class InvalidAlert:
    """One alert that could not be read: where (`alerts[2].startsAt`) and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification, parsed. Equal `key`s say the same thing, whoever sends them and however often."""

    key: str
    source: str
    receiver: str
    group_key: str
    status: AlertStatus
    truncated_alerts: int
    alerts: tuple[IncomingAlert, ...]
    invalid: tuple[InvalidAlert, ...] = ()
    heartbeat: bool = False  # it carried the Watchdog


class ReceiptOutcome(StrEnum):
    """What became of a notification; the values of the `outcome` label."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    UNAUTHORIZED = "unauthorized"
    TOO_LARGE = "too_large"
    BACKLOG_FULL = "backlog_full"
    STORE_UNAVAILABLE = "store_unavailable"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What recording a delivery did. Counts are alerts."""

    outcome: ReceiptOutcome
    opened: int = 0
    updated: int = 0
    resolved: int = 0
    invalid: tuple[InvalidAlert, ...] = field(default=())
    truncated: int = 0


class IncidentOutcome(StrEnum):
    """What came of looking at an incident. Empty in the store until it was looked at."""

    PLANNED = "planned"  # a workflow was made for it, or joined the one that its service has
    ADVISED = "advised"  # advice for a person; nothing that OptiInfra carries out
    REFUSED = "refused"  # the policy does not allow a change now
    NOT_CONFIRMED = "not_confirmed"  # its condition does not hold in Prometheus
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"
    NO_PLAN = "no_plan"  # diagnosed, and no playbook applies
    NO_SERVICE = "no_service"  # it names no service, and none of the inventory runs on its node
    PROMETHEUS_UNREACHABLE = "prometheus_unreachable"
    FAILED = "failed"  # looking at it went wrong in a way that nobody foresaw
    RESOLVED = "resolved"  # it ended before it was looked at


@dataclass(frozen=True, slots=True)
class Incident:
    """One alert from its first firing to its end, as stored."""

    id: str
    fingerprint: str
    alertname: str
    service: str
    node: str
    bottleneck: str
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None
    received_at: datetime
    last_seen: datetime
    due_at: datetime | None
    attempts: int
    outcome: str
    reason: str
    processed_at: datetime | None
    workflow_id: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to write on incidents that were looked at. `due_at` None: not to be looked at again."""

    incident_ids: tuple[str, ...]
    outcome: IncidentOutcome
    reason: str
    at: datetime
    due_at: datetime | None
    attempts: int  # looks in a row with this outcome
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Incidents that nobody has looked at yet."""

    incidents: int
    oldest_received_at: datetime | None
