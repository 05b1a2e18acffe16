"""Prometheus HTTP service discovery from the inventory."""

from enum import StrEnum

from flask import Response, jsonify
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from recommender.http.context import context
from recommender.http.guard import SECURITY
from recommender.inventory import Inventory

api = APIBlueprint(
    "discovery", __name__, url_prefix="/api/v1/sd", abp_tags=[Tag(name="service discovery")], abp_security=SECURITY
)


class Job(StrEnum):
    """Scrape jobs whose targets come from here."""

    LLM_PROBE = "llm-probe"
    VLLM = "vllm"
    NODE = "node"


class JobPath(BaseModel):
    """Which job."""

    job: Job


class TargetGroup(BaseModel):
    """One element of Prometheus's answer format."""

    targets: list[str]
    labels: dict[str, str]


@api.get("/<job>", summary="Targets of a scrape job", responses={200: {"description": "Target groups", "content": {}}})
def targets(path: JobPath) -> Response:
    """Targets with the labels `service`, `node` and `engine`, in Prometheus's HTTP service-discovery format."""
    return jsonify([group.model_dump() for group in target_groups(context().inventory, path.job)])


def target_groups(inventory: Inventory, job: Job) -> list[TargetGroup]:
    """The targets of `job`: engines that are read through the prober, vLLM engines read directly, or exporters."""
    if job is Job.NODE:
        return [
            TargetGroup(targets=[address], labels={"node": node})
            for node, address in sorted(inventory.exporters().items())
        ]
    return [
        TargetGroup(targets=[replica.url], labels=_labels(name, replica.node, service.engine))
        for name, service in inventory.services.items()
        if (service.scrape == "direct") == (job is Job.VLLM) and (job is Job.LLM_PROBE or service.engine == "vllm")
        for replica in service.replicas
    ]


def _labels(service: str, node: str | None, engine: str) -> dict[str, str]:
    return {"service": service, "engine": engine} | ({"node": node} if node else {})
