"""Health: alive, ready, and every part tried for real. Open, and without secrets."""

from http import HTTPStatus
from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from recommender.health import Status
from recommender.http.context import context

api = APIBlueprint("health", __name__, url_prefix="/api/v1/health", abp_tags=[Tag(name="health")])


class StatusView(BaseModel):
    """up, degraded or down."""

    status: Status


class ComponentView(BaseModel):
    """One part, tried now."""

    status: Status
    latency_seconds: float | None
    error: str
    essential: bool


class HealthView(StatusView):
    """The whole and its parts."""

    components: dict[str, ComponentView]


Answer = tuple[dict[str, Any], int]


@api.get("", summary="Health in one word", responses={200: StatusView, 503: StatusView})
def health() -> Answer:
    """200 while alerts can be taken, 503 when they cannot."""
    return _answer(context().health.status())


@api.get("/live", summary="The process answers", responses={200: StatusView})
def live() -> Answer:
    """Tries nothing: a restart would not mend a database."""
    return StatusView(status=Status.UP).model_dump(mode="json"), HTTPStatus.OK


@api.get("/ready", summary="Alerts can be taken", responses={200: StatusView, 503: StatusView})
def ready() -> Answer:
    """503 while the store cannot be written."""
    return _answer(context().health.status())


@api.get("/detailed", summary="Every part, tried now", responses={200: HealthView, 503: HealthView})
def detailed() -> Answer:
    """State, latency and error of each part."""
    status, parts = context().health.status(), context().health.components()
    components = {
        part.name: ComponentView(
            status=part.status, latency_seconds=part.latency_seconds, error=part.error, essential=part.essential
        )
        for part in parts
    }
    return HealthView(status=status, components=components).model_dump(mode="json"), _code(status)


def _answer(status: Status) -> Answer:
    return StatusView(status=status).model_dump(mode="json"), _code(status)


def _code(status: Status) -> int:
    return HTTPStatus.SERVICE_UNAVAILABLE if status is Status.DOWN else HTTPStatus.OK
