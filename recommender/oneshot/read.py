"""Services and where their signals come from: the recording rules, or the rules evaluated here over raw series."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from recommender.contracts import PromQL, Sample
from recommender.errors import NotFound
from recommender.inventory import Inventory
from recommender.oneshot.client import ReadingClient
from recommender.oneshot.evaluate import DEFAULT_STEPS, evaluate
from recommender.oneshot.find import LOOK_BACK, Raw, raw, recorded
from recommender.oneshot.report import NotJudged, Source
from recommender.oneshot.settings import constants
from recommender.oneshot.snapshot import Snapshot
from recommender.oneshot.targets import Service, markers
from rules.inline.inliner import Inliner, Limits
from rules.pack import Rule

_DEEP = 4  # times as many look-ups, and as long a query
# A look-up is one of each replica: with more than sixty, one query may take fewer, and what reads back far is refused.
_LOOK_UPS = 1_200_000
_MOST_SERVICES = 50
_SHOWN = 4
_CONDITION = ":bottleneck:evidence"


class NothingFound(NotFound):
    """There is no LLM series in this Prometheus, or no service of the wanted name."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `service` and `engine` narrow what is looked at; `source` None takes what there is.

    `engine_version` is what the one engine that is looked at runs, where it does not tell it.
    """

    service: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    at: datetime | None = None
    source: Source | None = None
    deep: bool = False
    inventory: Inventory = field(default_factory=Inventory)


@dataclass(frozen=True, slots=True)
class Known:
    """A service as it was found."""

    name: str
    named_by: str
    engines: tuple[str, ...]
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Services, and what their signals are read from."""

    source: Source
    services: tuple[Known, ...]
    promql: PromQL
    not_judged: tuple[NotJudged, ...] = ()
    notes: tuple[str, ...] = ()


def read(client: ReadingClient, rules: Sequence[Rule], wish: Wish, at: datetime) -> Read:
    """What there is of what is wanted. Raises PrometheusError, and NothingFound where there is nothing."""
    return _recorded(client, wish, at) or _raw(client, rules, wish, at)


def _recorded(client: ReadingClient, wish: Wish, at: datetime) -> Read | None:
    """By the recording rules; None where they do not run, or what is wanted is not among what they record."""
    if wish.source is Source.RAW:
        return None
    found = recorded(client, at)
    services = tuple(
        Known(name, "the label service", engines, found.instances[name])
        for name, engines in found.engines.items()
        if wish.service in (None, name) and (wish.engine is None or wish.engine in engines)
    )
    if services:
        _few([service.name for service in services])
        return Read(Source.RECORDED, services, client)
    if wish.source is Source.RECORDED:
        raise NothingFound(_nothing_recorded(found.engines, wish))
    return None


def _raw(client: ReadingClient, rules: Sequence[Rule], wish: Wish, at: datetime) -> Read:
    replicas_of = {name: wish.inventory.targets(name) for name in wish.inventory.services}
    listed = {target.instance: name for name, targets in replicas_of.items() for target in targets}
    nodes = {target.instance: target.node for targets in replicas_of.values() for target in targets if target.node}
    found = raw(client, rules, at, listed, nodes)
    chosen = [
        service
        for service in found.services
        if wish.service in (None, service.name) and (wish.engine is None or wish.engine in service.engines)
    ]
    if not chosen:
        raise NothingFound(_nothing_raw(found, wish, client.shown_url))
    _few([service.name for service in chosen])
    around = _around(chosen, found)
    known = constants(rules, [service.name for service in around], wish.inventory)
    replicas = sum(len(service.targets) for service in around)
    times = _DEEP if wish.deep else 1
    steps = min(DEFAULT_STEPS, _LOOK_UPS // replicas) * times
    limits = Limits(characters=Limits().characters * times, steps=steps)
    inliner = Inliner(rules, found.place(around), known, limits)
    # What is known already is not asked for: an objective's default beside the inventory's would be a second value.
    unknown = [rule for rule in rules if rule.name not in known]
    evaluated = evaluate(client, inliner, unknown, at, steps=steps)
    figures = [
        Sample({"__name__": name, **labels}, value) for name, series in known.items() for labels, value in series.values
    ]
    return Read(
        Source.RAW,
        tuple(_known(service) for service in chosen),
        Snapshot([*evaluated.samples, *figures], inliner, client),
        tuple(_not_judged(evaluated.refused)),
        (*_scraped_twice(found), *_unseen_machines(chosen, found)),
    )


def _scraped_twice(found: Raw) -> Iterator[str]:
    if found.twice:
        yield f"Scraped by several jobs, and counted once: {_shown(found.twice)}."


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _unseen_machines(chosen: Sequence[Service], found: Raw) -> Iterator[str]:
    """Which causes outside the engines cannot be seen, and why."""
    if not found.machines.names:
        yield (
            "No GPU or host is seen: there are no series of dcgm-exporter, nvidia_gpu_exporter, node_exporter or "
            "optiinfra exporter. Heat, power, memory of devices and busy CPUs are unknown as causes."
        )
        return
    apart = sorted({target.instance for service in chosen for target in service.targets if not found.node_of(target)})
    if apart:
        yield (
            f"Which machine these run on is not known: {_shown(apart)}. No exporter of GPUs or hosts is scraped at "
            "the same host name: give both targets the label node, spelled alike."
        )


def _around(chosen: Sequence[Service], found: Raw) -> list[Service]:
    """With the services that share a node with them: a GPU of which only one engine is seen would be called idle."""
    nodes = {found.node_of(target) for service in chosen for target in service.targets} - {""}
    return [
        service
        for service in found.services
        if service in chosen or any(found.node_of(target) in nodes for target in service.targets)
    ]


def _few(names: Sequence[str]) -> None:
    if len(names) > _MOST_SERVICES:
        raise NothingFound(f"there are {len(names)} services ({_shown(names)}); choose one with --service")


def _known(service: Service) -> Known:
    return Known(
        service.name,
        service.derived or "the label service",
        tuple(engine.value for engine in service.engines),
        tuple(target.instance for target in service.targets),
    )


def _not_judged(refused: Mapping[str, str]) -> list[NotJudged]:
    """Conditions alone: a signal that is unknown shows where it is needed."""
    found = []
    for place, reason in sorted(refused.items()):
        _, _, rule = place.partition(": ")
        name, _, labels = rule.partition(", ")
        if name.endswith(_CONDITION):
            found.append(NotJudged(condition=labels.replace("bottleneck=", "", 1), reason=reason))
    return found


def _nothing_recorded(engines: Mapping[str, Sequence[str]], wish: Wish) -> str:
    if wish.service is not None and engines:
        return f"no service {wish.service!r} is recorded; there are: {', '.join(engines)}"
    return (
        "OptiInfra's recording rules do not run in this Prometheus, or have seen no engine: "
        "leave --signals out, or see optiinfra diagnose --install-rules"
    )


def _nothing_raw(found: Raw, wish: Wish, url: str) -> str:
    if found.services:
        known = ", ".join(f"{one.name} ({' '.join(one.engines)})" for one in found.services)
        asked = " and ".join(f"{option} {value}" for option, value in _asked(wish) if value)
        return f"{url} has no service that fits {asked}; it has: {known}"
    minutes = int(LOOK_BACK.total_seconds() // 60)
    when = f"the last {minutes} minutes" if wish.at is None else f"the {minutes} minutes before {wish.at:%F %T} UTC"
    looked = ", ".join(sorted(name for name in markers() if ":" in name or name.partition("_")[0] not in _spelled()))
    return (
        f"{url} has no series of an LLM engine in {when}. Looked for replica:llm_up "
        f"(OptiInfra's rules), llm_up (its prober), and {looked}. Let Prometheus scrape the engines' own metrics (vLLM,"
        " SGLang, TGI, TensorRT-LLM, Triton, llama.cpp with --metrics, Dynamo); Ollama has none: optiinfra exporter "
        "reads it."
    )


def _asked(wish: Wish) -> tuple[tuple[str, str | None], ...]:
    return (("--service", wish.service), ("--engine", wish.engine))


def _spelled() -> frozenset[str]:
    """Beginnings of names that are only another spelling of one with a colon."""
    return frozenset(name.partition(":")[0] for name in markers() if ":" in name)
