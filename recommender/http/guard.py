"""Who may call what. A route without an entry is refused, so that a new one cannot be open by mistake."""

from http import HTTPStatus

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import BadRequest

from recommender.auth import Principal, Role
from recommender.http.context import context
from recommender.http.problems import problem
from recommender.intake.model import ReceiptOutcome

_LOG = structlog.get_logger(__name__)
_OPEN = None

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]  # how the API's description says "a token is needed"

# Endpoint -> the role that it takes; None: open to anybody, and shows no secret.
ACCESS: dict[str, Role | None] = {
    "root.index": _OPEN,
    "root.metrics": _OPEN,
    "health.health": _OPEN,
    "health.live": _OPEN,
    "health.ready": _OPEN,
    "health.detailed": _OPEN,
    "openapi.doc_url": _OPEN,
    "openapi.openapi": _OPEN,
    "alerts.receive": Role.ALERT_SOURCE,
    "alerts.incidents": Role.VIEWER,
    "services.services": Role.VIEWER,
    "services.service": Role.VIEWER,
    "services.diagnosis": Role.VIEWER,
    "services.plan": Role.VIEWER,
    "services.evidence": Role.VIEWER,
    "effects.effects": Role.VIEWER,
    "whatif.whatif": Role.VIEWER,
    "workflows.workflows": Role.VIEWER,
    "workflows.workflow": Role.VIEWER,
    "workflows.approve": Role.APPROVER,
    "workflows.reject": Role.APPROVER,
    "workflows.cancel": Role.APPROVER,
    "discovery.targets": Role.VIEWER,
    "agents.register": Role.AGENT,
    "agents.heartbeat": Role.AGENT,
    "agents.deregister": Role.AGENT,
    "agents.agents": Role.VIEWER,
}


def principal() -> Principal:
    """Who sent this request; only for routes that are not open."""
    who: Principal = g.principal
    return who


def register(app: Flask) -> None:
    """Check every request of `app` before its handler."""

    def check() -> Response | None:
        if request.endpoint is None:
            return None  # no such route: 404 or 405 tells nothing
        if request.endpoint not in ACCESS:
            return problem(HTTPStatus.FORBIDDEN, "nobody may call this")
        refused = _authorize(ACCESS[request.endpoint])
        return refused or _check_body()

    app.before_request(check)


def _authorize(role: Role | None) -> Response | None:
    if role is None:
        return None
    header = request.authorization
    token = header.token if header is not None and header.type == "bearer" else None
    who = context().tokens.authenticate(token) if token else None
    if who is None:
        _refused()
        challenge = {"WWW-Authenticate": 'Bearer realm="optiinfra"'}
        detail = "a valid token is needed: Authorization: Bearer <token>"
        return problem(HTTPStatus.UNAUTHORIZED, detail, headers=challenge)
    if not who.may(role):
        _refused()
        return problem(HTTPStatus.FORBIDDEN, f"token '{who.name}' has the role {who.role}; this takes {role}")
    g.principal = who
    return None


def _refused() -> None:
    _LOG.warning("request_refused", endpoint=request.endpoint, client=request.remote_addr)
    if request.endpoint == "alerts.receive":
        context().telemetry.notification(ReceiptOutcome.UNAUTHORIZED)


def _check_body() -> Response | None:
    if request.method != "POST":
        return None
    if (request.content_length or 0) > context().max_body_bytes:
        if request.endpoint == "alerts.receive":
            context().telemetry.notification(ReceiptOutcome.TOO_LARGE)
        detail = f"the body has {request.content_length} bytes, the limit is {context().max_body_bytes}"
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    if not request.get_data():
        return None
    if not request.is_json:
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json")
    if request.endpoint != "alerts.receive":  # intake reads its body itself, and says where it is wrong
        try:
            request.get_json()
        except (BadRequest, RecursionError):  # the second one for brackets in brackets in brackets
            return problem(HTTPStatus.BAD_REQUEST, "the body is not valid JSON")
    return None
