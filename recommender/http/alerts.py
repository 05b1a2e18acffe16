"""Intake, and what came of it."""

from http import HTTPStatus
from typing import Any

import structlog
from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models import RawModel
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from recommender.errors import BacklogFull, StoreUnavailable
from recommender.http.context import context
from recommender.http.guard import SECURITY
from recommender.http.problems import FieldProblem, Problem, problem
from recommender.intake.model import AlertStatus, Delivery, Incident, Receipt, ReceiptOutcome
from recommender.intake.payload import Malformed, parse

_LOG = structlog.get_logger(__name__)
_EXCERPT_BYTES = 300

api = APIBlueprint("alerts", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="alerts")], abp_security=SECURITY)


class AlertmanagerBody(RawModel):
    """Alertmanager's webhook payload, version 4."""

    mimetypes = ["application/json"]  # noqa: RUF012 - how flask-openapi3 declares it


class ReceiptView(BaseModel):
    """What was done with a notification. Counts are alerts."""

    outcome: str
    opened: int
    updated: int
    resolved: int
    truncated: int = Field(description="Alerts that Alertmanager left out (max_alerts).")
    invalid: list[FieldProblem]


class IncidentList(BaseModel):
    """Incidents, the most recently seen first."""

    incidents: list[Incident]


class IncidentQuery(BaseModel):
    """Which incidents."""

    open: bool = False
    service: str | None = None
    limit: int = Field(100, ge=1, le=1000)


@api.post(
    "/alerts", summary="Take a notification of Alertmanager", responses={200: ReceiptView, 400: Problem, 503: Problem}
)
def receive(raw: AlertmanagerBody) -> Response | dict[str, Any]:  # noqa: ARG001 - documents the body
    """Authenticated, validated, stored, committed; then answered. Nothing else happens in the request."""
    parts, body = context(), request.get_data()
    try:
        delivery = parse(body)
    except Malformed as exc:
        parts.telemetry.notification(ReceiptOutcome.MALFORMED)
        _LOG.warning(
            "notification_malformed", reason=str(exc)[:1000], excerpt=body[:_EXCERPT_BYTES].decode("utf-8", "replace")
        )
        errors = [FieldProblem(path=bad.path, reason=bad.reason) for bad in exc.problems]
        return problem(HTTPStatus.BAD_REQUEST, str(exc), errors)
    try:
        receipt = parts.store.record(delivery, parts.clock.now(), parts.backlog_limit)
    except BacklogFull:
        parts.telemetry.notification(ReceiptOutcome.BACKLOG_FULL)
        raise
    except StoreUnavailable as exc:
        parts.telemetry.notification(ReceiptOutcome.STORE_UNAVAILABLE)
        _LOG.error("notification_not_stored", reason=str(exc))
        raise
    _count(delivery, receipt)
    if receipt.opened:
        parts.wake_intake()
    return _receipt(receipt)


@api.get("/alerts", summary="Incidents and what came of them", responses={200: IncidentList})
def incidents(query: IncidentQuery) -> dict[str, Any]:
    """The most recently seen first."""
    found = context().store.incidents(open_only=query.open, service=query.service, limit=query.limit)
    return IncidentList(incidents=found).model_dump(mode="json")


def _count(delivery: Delivery, receipt: Receipt) -> None:
    telemetry = context().telemetry
    telemetry.notification(receipt.outcome)
    for status in AlertStatus:
        telemetry.alerts(status.value, sum(alert.status is status for alert in delivery.alerts))
    telemetry.alerts("invalid", len(receipt.invalid))
    _LOG.info(
        "notification_stored",
        outcome=receipt.outcome.value,
        group=delivery.group_key[:200],
        opened=receipt.opened,
        updated=receipt.updated,
        resolved=receipt.resolved,
        truncated=receipt.truncated,
        invalid=[f"{bad.path}: {bad.reason}" for bad in receipt.invalid][:10],
    )


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return ReceiptView(
        outcome=receipt.outcome.value,
        opened=receipt.opened,
        updated=receipt.updated,
        resolved=receipt.resolved,
        truncated=receipt.truncated,
        invalid=[FieldProblem(path=bad.path, reason=bad.reason) for bad in receipt.invalid],
    ).model_dump()
