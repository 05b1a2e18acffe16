"""Errors as RFC 9457 problem documents: one place decides status and wording."""

from collections.abc import Sequence
from http import HTTPStatus

import structlog
from flask import Flask, Response, jsonify
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from recommender.errors import (
    BacklogFull,
    Conflict,
    Forbidden,
    NotFound,
    PrometheusError,
    RecommenderError,
    Refused,
    StoreUnavailable,
)
from recommender.http.context import context

_LOG = structlog.get_logger(__name__)
_STATUS: dict[type[RecommenderError], HTTPStatus] = {
    BacklogFull: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    PrometheusError: HTTPStatus.SERVICE_UNAVAILABLE,
    Conflict: HTTPStatus.CONFLICT,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Refused: HTTPStatus.BAD_REQUEST,
}
_RETRY_AFTER_SECONDS = 5


class FieldProblem(BaseModel):
    """One wrong field: its path and why."""

    path: str
    reason: str


class Problem(BaseModel):
    """RFC 9457 problem document."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


def problem(
    status: HTTPStatus, detail: str, errors: Sequence[FieldProblem] = (), headers: dict[str, str] | None = None
) -> Response:
    """A response with a problem document."""
    document = Problem(title=status.phrase, status=status, detail=detail, errors=list(errors))
    response = jsonify(document.model_dump(exclude_defaults=True) | {"type": document.type})
    response.status_code = status
    response.mimetype = "application/problem+json"
    response.headers.update(headers or {})
    return response


def validation_problem(error: ValidationError) -> Response:
    """What flask-openapi3 answers when a query or a body does not fit its model."""
    errors = [
        FieldProblem(path=".".join(map(str, item["loc"])) or "body", reason=item["msg"]) for item in error.errors()
    ]
    return problem(HTTPStatus.BAD_REQUEST, "; ".join(f"{bad.path}: {bad.reason}" for bad in errors), errors)


def register(app: Flask) -> None:
    """Map errors to problems, for every route of `app`."""

    def known(error: RecommenderError) -> Response:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), None)
        if status is None:
            return unforeseen(error)
        later = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        return problem(status, str(error), headers=later)

    def http(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {name: value for name, value in error.get_headers() if name in {"Allow", "WWW-Authenticate"}}
        return problem(status, error.description or status.phrase, headers=headers)

    def unforeseen(_error: Exception) -> Response:
        context().telemetry.http_error()
        _LOG.exception("request_failed")
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; the log says what")

    app.register_error_handler(RecommenderError, known)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, unforeseen)
