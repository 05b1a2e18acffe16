"""Agents: exporters register, say that they live, take leave; people see who is there."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

import structlog
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from recommender.http.context import context
from recommender.http.guard import SECURITY, principal
from recommender.http.problems import Problem
from recommender.registry.model import Agent, AgentId, AgentState, Capabilities, Figures, Heartbeat, Registration

_LOG = structlog.get_logger(__name__)

api = APIBlueprint(
    "agents", __name__, url_prefix="/api/v1/agents", abp_tags=[Tag(name="agents")], abp_security=SECURITY
)


class AgentView(BaseModel):
    """An agent, and how it is by the age of its last word."""

    id: str
    state: AgentState
    hostname: str
    version: str
    exporter_url: str | None
    heartbeat_interval_seconds: float
    capabilities: Capabilities
    token: str = Field(description="Name of the token that it registered with.")
    registered_at: datetime
    last_seen_at: datetime
    figures: Figures | None = Field(description="What it said of itself last; null before its first heartbeat.")


class AgentList(BaseModel):
    """Agents by id."""

    agents: list[AgentView]


class AgentPath(BaseModel):
    """Which agent."""

    id: AgentId


_REFUSALS: dict[str | int, type[BaseModel] | dict[Any, Any] | None] = {400: Problem, 403: Problem, 503: Problem}


@api.post("/register", summary="Introduce an agent", responses={200: AgentView, 409: Problem, **_REFUSALS})
def register(body: Registration) -> dict[str, Any]:
    """From then on the id belongs to the token that was used, until the agent takes leave. May be repeated."""
    parts, who = context(), principal()
    agent = parts.store.register_agent(body, who.name, parts.clock.now())
    _LOG.info("agent_registered", agent=body.id, token=who.name, version=body.version)
    return _view(agent)


@api.post("/heartbeat", summary="Say that an agent lives", responses={200: AgentView, 404: Problem, **_REFUSALS})
def heartbeat(body: Heartbeat) -> dict[str, Any]:
    """404 for an agent that is not registered (any more): it should register."""
    parts = context()
    return _view(parts.store.agent_heartbeat(body, principal().name, parts.clock.now()))


@api.delete("/<id>", summary="Take leave", responses={204: None, 404: Problem, **_REFUSALS})
def deregister(path: AgentPath) -> tuple[str, int]:
    """An agent takes leave of its own accord; one that only falls silent is shown as late, then as gone."""
    context().store.deregister_agent(path.id, principal().name)
    _LOG.info("agent_deregistered", agent=path.id)
    return "", HTTPStatus.NO_CONTENT


@api.get("", summary="List agents", responses={200: AgentList})
def agents() -> dict[str, Any]:
    """All agents, by id."""
    return {"agents": [_view(agent) for agent in context().store.agents()]}


def _view(agent: Agent) -> dict[str, Any]:
    return AgentView(
        **dict(agent.registration),
        state=agent.state(context().clock.now()),
        token=agent.token,
        registered_at=agent.registered_at,
        last_seen_at=agent.last_seen_at,
        figures=agent.figures,
    ).model_dump(mode="json")
