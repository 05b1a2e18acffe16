"""Alertmanager's webhook payload, version 4, as a `Delivery`. Pure.

Requires little and ignores what it does not know, because Alertmanager adds fields. An alert that cannot be read is
reported by its path and does not take the others of its group with it.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from recommender.intake.model import AlertStatus, Delivery, IncomingAlert, InvalidAlert

SOURCE = "alertmanager"
WATCHDOG = "Watchdog"

# PostgreSQL stores no NUL in text; no label of Prometheus has one.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Malformed(ValueError):
    """A payload that cannot be used at all; `problems` say where and why."""

    def __init__(self, problems: Sequence[InvalidAlert]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{bad.path or 'payload'}: {bad.reason}" for bad in problems))


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("is outside the calendar") from exc


def _real(at: datetime) -> datetime:
    if at.year <= 1:
        raise ValueError("is the zero time")
    return at


Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _Alert(_Camel):
    status: AlertStatus
    labels: dict[Text, Text]
    annotations: dict[Text, Text] = {}
    starts_at: Annotated[Instant, AfterValidator(_real)]
    # Go's zero time while the alert fires: that is no end.
    ends_at: Instant | None = None
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{1,64}$")]


class _Payload(_Camel):
    version: Literal["4"]
    group_key: Text
    status: AlertStatus
    receiver: Text = ""
    truncated_alerts: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    alerts: Annotated[list[Any], Field(min_length=1)]


def parse(body: bytes) -> Delivery:
    """Read a webhook body. Raises Malformed when it is no payload, or none of its alerts can be read."""
    try:
        payload = _Payload.model_validate(from_json(body))
    except ValidationError as exc:
        raise Malformed([InvalidAlert(_path(error["loc"]), error["msg"]) for error in exc.errors()]) from exc
    except ValueError as exc:
        raise Malformed([InvalidAlert("", f"not valid JSON: {exc}")]) from exc
    alerts: list[IncomingAlert] = []
    invalid: list[InvalidAlert] = []
    heartbeat = False
    for index, raw in enumerate(payload.alerts):
        try:
            alert = _alert(raw)
        except ValidationError as exc:
            invalid += [InvalidAlert(_path(("alerts", index, *error["loc"])), error["msg"]) for error in exc.errors()]
            continue
        if alert.label("alertname") == WATCHDOG:
            heartbeat = heartbeat or alert.status is AlertStatus.FIRING
        else:
            alerts.append(alert)
    if invalid and len({bad.path.split(".")[0] for bad in invalid}) == len(payload.alerts):
        raise Malformed(invalid)
    return Delivery(
        key=_key(payload.group_key, alerts, invalid, heartbeat=heartbeat),
        source=SOURCE,
        receiver=payload.receiver,
        group_key=payload.group_key,
        status=payload.status,
        truncated_alerts=payload.truncated_alerts,
        alerts=tuple(alerts),
        invalid=tuple(invalid),
        heartbeat=heartbeat,
    )


def _alert(raw: object) -> IncomingAlert:
    alert = _Alert.model_validate(raw)
    resolved = alert.status is AlertStatus.RESOLVED and alert.ends_at is not None and alert.ends_at.year > 1
    return IncomingAlert(
        fingerprint=alert.fingerprint.lower(),
        status=alert.status,
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        ends_at=alert.ends_at if resolved else None,
    )


def _key(group_key: str, alerts: list[IncomingAlert], invalid: list[InvalidAlert], *, heartbeat: bool) -> str:
    """What the notification says, as a hash: the same for a repeat, a retry, and the twin of an Alertmanager pair."""
    said = sorted((a.fingerprint, a.status, a.starts_at.isoformat(), str(a.ends_at or "")) for a in alerts)
    bad = sorted((item.path, item.reason) for item in invalid)
    return hashlib.sha256(json.dumps([SOURCE, group_key, said, bad, heartbeat]).encode()).hexdigest()


def _path(loc: tuple[int | str, ...]) -> str:
    """`alerts[2].startsAt`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text
