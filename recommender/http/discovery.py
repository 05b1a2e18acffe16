"""Prometheus HTTP service discovery from the inventory."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from urllib.parse import urlsplit

from flask import Response, jsonify
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from exporters.catalog import METRICS_PATH, Engine, EngineCatalogue, load_engine
from recommender.http.context import context
from recommender.http.guard import SECURITY
from recommender.inventory import Inventory, instance_of

api = APIBlueprint(
    "discovery", __name__, url_prefix="/api/v1/sd", abp_tags=[Tag(name="service discovery")], abp_security=SECURITY
)


class Job(StrEnum):
    """Scrape jobs whose targets come from here."""

    LLM_PROBE = "llm-probe"
    LLM_DIRECT = "llm-direct"
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
    """The targets of `job`: exporters, or engines and their companions, read through the prober or directly."""
    if job is Job.NODE:
        return [
            TargetGroup(targets=[address], labels={"node": node})
            for node, address in sorted(inventory.exporters().items())
        ]
    return [
        _probed(each) if job is Job.LLM_PROBE else _direct(each)
        for each in _pages(inventory)
        if each.direct == (job is Job.LLM_DIRECT)
    ]


@dataclass(frozen=True, slots=True)
class _Page:
    """A page to be read. `model` is what the inventory says of it, which no companion has."""

    url: str
    engine: str
    service: str
    node: str | None
    model: str | None
    direct: bool

    @property
    def labels(self) -> dict[str, str]:
        node = {"node": self.node} if self.node else {}
        return {"service": self.service, "engine": self.engine} | node


def _pages(inventory: Inventory) -> Iterator[_Page]:
    for name, service in inventory.services.items():
        direct = service.scrape == "direct"
        for replica in service.replicas:
            yield _Page(replica.url, service.engine, name, replica.node, service.model, direct)
            for companion in replica.companions:
                yield _Page(companion.url, companion.engine, name, replica.node, None, direct)


def _probed(page: _Page) -> TargetGroup:
    return TargetGroup(targets=[page.url], labels=page.labels)


def _direct(page: _Page) -> TargetGroup:
    """As Prometheus scrapes it: address, scheme and path apart, and `model` where the engine's series name none."""
    catalogue = _catalogue(page.engine)
    parts = urlsplit(page.url)
    base = parts.path.removesuffix(catalogue.metrics_path).removesuffix(METRICS_PATH)
    labels = {"__scheme__": parts.scheme, "__metrics_path__": base + catalogue.metrics_path}
    model = {"model": page.model} if page.model and catalogue.model_label is None else {}
    return TargetGroup(targets=[instance_of(page.url)], labels=page.labels | model | labels)


@cache
def _catalogue(engine: str) -> EngineCatalogue:
    """The catalogue file of an engine, read once: it is part of the package."""
    return load_engine(Engine(engine))
