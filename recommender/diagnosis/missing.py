"""What would have to be known, and how to get it: by signal, for the engine that lacks it.

`obtain.yml` is the table; what an engine can tell at all comes from the exporters' catalogue.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from exporters.catalog import Engine, load_engine
from recommender.evidence import quote, signal_query
from recommender.model import Check, CheckWeight, Evidence, Missing, Reading
from rules.catalog import THRESHOLDS

_TABLE = Path(__file__).with_name("obtain.yml")
_ASKED = frozenset({CheckWeight.CONDITION, CheckWeight.DEFINING, CheckWeight.EXPECTED})
_OBJECTIVE = "service:objective:"
_BESIDE = ("node:", "gpu:")
_NO_NODE = (
    "No series says on which node these replicas run: give their targets the label node (the inventory's `node`)."
)


class _Entry(BaseModel):
    """How to get some signals. `families`: what the exporters call what the rules make them of; all are needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signals: tuple[str, ...]
    families: tuple[str, ...] = ()
    how: str = ""
    engines: dict[str, str] = {}  # what is to be known of one engine
    never: dict[str, str] = {}  # engines that do not tell it, and what does instead


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    engines: dict[str, str]  # how an engine is made to tell anything
    unknown_engine: str
    none: str  # the catalogue knows no way
    json_only: str
    entries: tuple[_Entry, ...]


def unknown(checks: Iterable[Check]) -> list[Check]:
    """Checks without an answer; hints are left out, since a class is certain without them."""
    return [check for check in checks if check.agrees is None and check.weight in _ASKED]


def missing_of(evidence: Evidence, lacking: Iterable[Check | Reading]) -> tuple[Missing, ...]:
    """What these checks or readings lack, one entry a signal, in the order of the checks."""
    signals: dict[str, dict[str, Reading]] = {}
    thresholds: dict[str, None] = {}
    for one in lacking:
        for reading in (one,) if isinstance(one, Reading) else one.readings:
            if reading.value is None:
                signals.setdefault(reading.name, {})[reading.instance or ""] = reading
        if isinstance(one, Check) and one.threshold is not None and one.threshold_value is None:
            thresholds[one.threshold] = None
    found = [_signal(evidence, name, readings) for name, readings in signals.items()]
    return (*found, *(_resolved(evidence, name) for name in thresholds))


def of_thresholds(evidence: Evidence, names: Iterable[str]) -> tuple[Missing, ...]:
    """Thresholds, by name, that Prometheus does not have."""
    return tuple(_resolved(evidence, THRESHOLDS[name].resolved) for name in names)


def obtain(signal: str, engine: str | None) -> tuple[str, bool | None]:
    """How to get a signal of an engine (None: not known which), and whether that is possible at all."""
    entry = _entries().get(_stem(signal))
    table = _table()
    if entry is None:
        return ("", None)
    if engine in entry.never:
        return (entry.never[engine], False)
    said = _joined(entry.engines.get(engine or "", ""), entry.how)
    if not entry.families:
        return (said, True)
    if engine not in table.engines:
        return (_joined(said, table.unknown_engine), None)
    told, only_json = _tells(engine, entry.families)
    if not told:
        return (table.none, False)
    return (_joined(said, table.json_only if only_json else table.engines[engine]), True)


def _signal(evidence: Evidence, name: str, readings: Mapping[str, Reading]) -> Missing:
    instances = tuple(sorted(one for one in readings if one))
    engine = _engine(evidence, instances or tuple(sorted(evidence.replica_readings)))
    how, obtainable = obtain(name, engine)
    if name.startswith(_BESIDE) and not any(_node(evidence, one) for one in instances):
        how = f"{_NO_NODE} {how}"
    return Missing(
        query=_query(evidence, name, instances, next(iter(readings.values()))),
        signal=name,
        instances=instances,
        engine=engine,
        how=_of_service(how, evidence),
        obtainable=obtainable,
    )


def _node(evidence: Evidence, instance: str) -> str | None:
    placed = evidence.placements.get(instance)
    return placed.node if placed else None


def _query(evidence: Evidence, name: str, instances: Sequence[str], one: Reading) -> str:
    if len(instances) < 2 or not name.startswith("replica:"):  # noqa: PLR2004 - one replica is asked for by name
        return one.query
    pattern = "|".join(re.escape(instance) for instance in instances)
    return f"{name}{{service={quote(evidence.service)},instance=~{quote(pattern)}}}"


def _engine(evidence: Evidence, instances: Sequence[str]) -> str | None:
    """The engine of these replicas, where all that tell one tell the same."""
    told = {engine for instance in instances if (engine := evidence.fact("engine", instance)) is not None}
    known = {engine for engine in told if engine in set(Engine)}
    return next(iter(known)) if len(told) == 1 and known else None


def _resolved(evidence: Evidence, series: str) -> Missing:
    """A threshold or an objective, by its recorded series."""
    how = _entries()["objective" if series.startswith(_OBJECTIVE) else "threshold"].how
    query = signal_query(series, service=evidence.service) if series.startswith("service:") else series
    return Missing(query=query, signal=series, how=_of_service(how, evidence), obtainable=True)


def _of_service(how: str, evidence: Evidence) -> str:
    """With the service's own name in keys of the inventory."""
    return how.replace("services.NAME.", f"services.{evidence.service}.")


def _stem(signal: str) -> str:
    """The part of a signal's name between its level and what is done to it."""
    return signal.split(":")[1] if ":" in signal else signal


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


@cache
def _tells(engine: str, families: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether an engine tells all of these families, and whether one of them is told by a JSON page only."""
    catalogue = load_engine(Engine(engine))
    page = {*catalogue.families, *catalogue.numbers, *catalogue.texts}
    json = {name for one in catalogue.pages for name in (*one.numbers, *one.texts)}
    if catalogue.models is not None:
        json |= {*catalogue.models.numbers, *catalogue.models.times, *catalogue.models.texts}
    wanted = set(families)
    return wanted <= page | json, not wanted <= page


@cache
def _table() -> _Table:
    return _Table.model_validate(yaml.safe_load(_TABLE.read_text(encoding="utf-8")))


@cache
def _entries() -> Mapping[str, _Entry]:
    return {signal: entry for entry in _table().entries for signal in entry.signals}
