"""What a Prometheus without our rules scrapes: engines, and the services that they are taken to be.

A service is a set of interchangeable replicas. Where the targets have a label `service`, it says which; where they have
none, a scrape job is a service, or each model (or engine) of a job that has several.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from exporters.catalog import COMPANIONS, Engine, load_engine, spellings
from recommender.contracts import Sample

PROBED = "llm_up"
"""The series of OptiInfra's own prober, which names the engine in a label."""
_ENGINES = tuple(engine for engine in Engine if engine not in COMPANIONS)


@dataclass(frozen=True, slots=True)
class Target:
    """One engine that is scraped, as its series' labels tell; empty where they do not."""

    job: str
    instance: str
    engine: Engine
    probed: bool = False
    service: str = ""
    namespace: str = ""
    node: str = ""
    models: tuple[str, ...] = ()
    given: str = ""
    """The service of the inventory that lists this address."""
    placed: str = ""
    """The node that the inventory puts it on, where its series tell none."""


@dataclass(frozen=True, slots=True)
class Service:
    """Targets that are taken to be one service. `derived`: where its name is from, when no label `service` gave it."""

    name: str
    targets: tuple[Target, ...]
    derived: str = ""

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Its engines, in the catalogue's order."""
        return tuple(engine for engine in Engine if any(target.engine is engine for target in self.targets))


def markers() -> Mapping[str, Engine]:
    """Series by which an engine is known -> the engine, in order of precedence; Ollama has none."""
    found: dict[str, Engine] = {}
    for engine in _ENGINES:
        for name in load_engine(engine).detect:
            for spelled in spellings(name):
                found.setdefault(spelled, engine)
    return found


def targets_of(samples: Iterable[Sample]) -> list[Target]:
    """The engines whose marker series (or `llm_up`) are among `samples`; what two jobs scrape is one engine."""
    known = markers()
    found: dict[tuple[str, str, bool], list[tuple[Engine, Mapping[str, str]]]] = defaultdict(list)
    for sample in samples:
        name, labels = sample.labels.get("__name__", ""), sample.labels
        engine = _engine(labels.get("engine", "")) if name == PROBED else known.get(name)
        if engine is not None and labels.get("instance"):
            found[labels.get("job", ""), labels["instance"], name == PROBED].append((engine, labels))
    every = [_target(*key, told) for key, told in sorted(found.items())]
    return _once(every)


def _engine(name: str) -> Engine | None:
    return Engine(name) if name in set(_ENGINES) else None


def _target(job: str, instance: str, probed: bool, told: Sequence[tuple[Engine, Mapping[str, str]]]) -> Target:  # noqa: FBT001 - a key's part
    engine = min((engine for engine, _ in told), key=list(Engine).index)
    own = [labels for one, labels in told if one is engine]
    model = load_engine(engine).model_label or "model"
    return Target(
        job=job,
        instance=instance,
        engine=engine,
        probed=probed,
        service=_first(own, "service"),
        namespace=_first(own, "namespace"),
        node=_first(own, "node"),
        models=tuple(sorted({labels[model] for labels in own if labels.get(model)})),
    )


def _first(labels: Iterable[Mapping[str, str]], name: str) -> str:
    return min((one[name] for one in labels if one.get(name)), default="")


def _once(targets: Sequence[Target]) -> list[Target]:
    """Each engine by the job that knows most of it: one that says its service, directly before through the prober."""
    best: dict[tuple[str, str], Target] = {}
    for target in sorted(targets, key=lambda one: (not one.service, one.probed, one.job)):
        best.setdefault((target.instance, target.namespace), target)
    return sorted(best.values(), key=lambda one: (one.job, one.instance))


def services_of(targets: Iterable[Target], listed: Mapping[str, str]) -> list[Service]:
    """The services, by name. `listed`: instance -> service of the inventory."""
    groups: dict[tuple[str, str, bool], list[Target]] = defaultdict(list)
    given: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        if target.instance in listed:
            given[listed[target.instance]].append(replace(target, given=listed[target.instance]))
        else:
            groups[target.namespace, target.service or target.job, bool(target.service)].append(target)
    found = [service for key, members in sorted(groups.items()) for service in _split(key, members)]
    found += [Service(name, tuple(members), "the inventory") for name, members in sorted(given.items())]
    names = [service.name for service in found]
    return sorted((_told_apart(service, names) for service in found), key=lambda one: one.name)


def _split(key: tuple[str, str, bool], members: Sequence[Target]) -> list[Service]:
    _, base, labelled = key
    if labelled:
        return [Service(base, tuple(members))]
    kinds: dict[tuple[Engine, tuple[str, ...]], list[Target]] = defaultdict(list)
    for target in members:
        kinds[target.engine, target.models].append(target)
    if len(kinds) == 1:
        return [Service(base, tuple(members), f"the scrape job {base}")]
    several = len({engine for engine, _ in kinds}) == len(kinds)
    found = []
    for (engine, models), parts in sorted(kinds.items()):
        part = engine.value if several or not models else ",".join(models)
        found.append(Service(f"{base}/{part}", tuple(parts), f"the scrape job {base}, which has several, and {part}"))
    return found


def _told_apart(service: Service, names: Sequence[str]) -> Service:
    """With its namespace before the name where another has the same name."""
    namespace = service.targets[0].namespace
    if names.count(service.name) < 2 or not namespace:  # noqa: PLR2004 - another one
        return service
    source = service.derived or f"the label service={service.name}"
    return replace(service, name=f"{namespace}/{service.name}", derived=f"{source} and the namespace {namespace}")
