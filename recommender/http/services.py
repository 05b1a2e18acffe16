"""Services of the inventory, their diagnosis and their plan now."""

from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from recommender.errors import NotFound
from recommender.http.context import context
from recommender.http.guard import SECURITY
from recommender.http.problems import Problem
from recommender.inventory import ServiceConfig
from recommender.model import Diagnosis, Evidence, Plan, Workflow

api = APIBlueprint(
    "services", __name__, url_prefix="/api/v1/services", abp_tags=[Tag(name="services")], abp_security=SECURITY
)


class ReplicaView(BaseModel):
    """One replica. How it is restarted stays on the recommender's machine."""

    instance: str
    url: str
    node: str | None


class ServiceView(BaseModel):
    """A service as the inventory describes it."""

    name: str
    engine: str
    model: str | None
    objectives: dict[str, float]
    settings: dict[str, Any]
    replicas: list[ReplicaView]
    executor: str
    approval: str
    open_workflow: str | None = Field(description="Id of the workflow in flight or waiting for approval.")


class ServiceList(BaseModel):
    """Services by name."""

    services: list[ServiceView]


class ServicePath(BaseModel):
    """Which service."""

    name: str


class DiagnosisView(BaseModel):
    """What limits a service now, and the evidence for it."""

    diagnosis: Diagnosis
    evidence: Evidence


class ProposalView(BaseModel):
    """What would be planned now."""

    diagnosis: Diagnosis
    plan: Plan | None = Field(description="Null where nothing is to be done; its change is null where it is advice.")
    admission: str = Field(description="What the policy would make of it, and why.")


@api.get("", summary="List services", responses={200: ServiceList})
def services() -> dict[str, Any]:
    """Services of the inventory, by name."""
    found = context().inventory.services
    return ServiceList(services=[_view(name, config) for name, config in sorted(found.items())]).model_dump()


@api.get("/<name>", summary="One service", responses={200: ServiceView, 404: Problem})
def service(path: ServicePath) -> dict[str, Any]:
    """One service of the inventory."""
    config = context().inventory.services.get(path.name)
    if config is None:
        raise NotFound(f"the inventory has no service '{path.name}'")
    return _view(path.name, config).model_dump()


@api.get("/<name>/evidence", summary="Read the evidence of a service now", responses={200: Evidence, 503: Problem})
def evidence(path: ServicePath) -> dict[str, Any]:
    """Every signal of a service with the query that gives it, where its replicas run, and what holds now."""
    return context().pipeline.evidence(path.name).model_dump(mode="json")


@api.get("/<name>/diagnosis", summary="Diagnose a service now", responses={200: DiagnosisView, 503: Problem})
def diagnosis(path: ServicePath) -> dict[str, Any]:
    """Reads Prometheus now; a service need not be in the inventory."""
    seen, found = context().pipeline.diagnosis(path.name)
    return DiagnosisView(diagnosis=found, evidence=seen).model_dump(mode="json")


@api.get("/<name>/plan", summary="Plan now", responses={200: ProposalView, 404: Problem, 503: Problem})
def plan(path: ServicePath) -> dict[str, Any]:
    """Reads Prometheus now and makes the plan that an alert would bring. Nothing is stored, and nothing changed."""
    found = context().pipeline.proposal(path.name)
    return ProposalView(diagnosis=found.diagnosis, plan=found.plan, admission=found.admission).model_dump(mode="json")


def _view(name: str, config: ServiceConfig) -> ServiceView:
    current: Workflow | None = context().store.open_for(name)
    return ServiceView(
        name=name,
        engine=config.engine,
        model=config.model,
        objectives=config.objectives.declared(),
        settings=config.settings.declared(),
        replicas=[ReplicaView(instance=one.instance, url=one.url, node=one.node) for one in config.replicas],
        executor=config.executor.type,
        approval=config.policy.approval,
        open_workflow=current.id if current else None,
    )
