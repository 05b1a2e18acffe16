"""Which version of its engine a service runs: as its replicas tell, else as the inventory declares, else unknown."""

from collections.abc import Iterable
from dataclasses import dataclass

from recommender.inventory import ServiceConfig
from recommender.knobs.version import parse
from recommender.model import Ask, Evidence

ENGINE_VERSION = "engine_version"


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """`value` None: unknown. `problem` says why, where somebody tells one all the same."""

    value: str | None = None
    source: str = ""
    problem: str = ""

    def ask(self, service: str, needed_for: str) -> Ask:
        """How it can be given."""
        how = self.problem or (
            f"scrape the engine through the exporter's prober, or set services.{service}.{ENGINE_VERSION}"
        )
        return Ask(fact=ENGINE_VERSION, needed_for=needed_for, how=how)


def engine_version(config: ServiceConfig, evidence: Evidence | None, instances: Iterable[str] = ()) -> EngineVersion:
    """The one version of all replicas. Replicas that contradict each other or the inventory leave it unknown.

    `instances` are the replicas; empty: all that the evidence knows. Without a declared version one that tells none
    leaves it unknown too: it may be the one that was updated.
    """
    declared = config.engine_version
    told: dict[str, str | None] = {}
    if evidence is not None:
        seen, own = evidence.replica_readings.keys(), set(instances)
        told = {one: evidence.fact(ENGINE_VERSION, one) for one in sorted(seen & own if own else seen)}
    known = {one: version for one, version in told.items() if version is not None}
    different = {parse(version) or version for version in known.values()}
    if len(different) > 1:
        said = ", ".join(f"{one} tells {version}" for one, version in known.items())
        return EngineVersion(problem=f"{said}: wait until all replicas run one version")
    if declared is None:
        complete = bool(told) and len(known) == len(told)
        return EngineVersion(next(iter(known.values())), "the engine") if complete else EngineVersion()
    contrary = next(((one, each) for one, each in known.items() if parse(each) not in {None, parse(declared)}), None)
    if contrary is not None:
        where = f"services.{evidence.service if evidence else ''}.{ENGINE_VERSION}"
        text = f"{contrary[0]} tells {contrary[1]} and {where} says {declared}: correct or remove it"
        return EngineVersion(problem=text)
    return EngineVersion(declared, f"inventory: {ENGINE_VERSION}")
