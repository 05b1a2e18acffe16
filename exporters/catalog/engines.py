"""Engine catalogue: how an engine's own series become the canonical `llm_*` families. The data is `engines/*.yml`.

One description serves both ways of reading an engine: the prober maps expositions with it, and the recording rules for
direct scraping are generated from it.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from exporters.catalog.family import Kind
from exporters.catalog.inference import INFERENCE_FAMILIES, Engine

ENGINES_DIR = Path(__file__).parents[1] / "engines"

# A number in a label is read by the prober and, digit by digit, by generated PromQL; both read it as this says:
# up to INTEGER_DIGITS before the point, the first FRACTION_DIGITS after it. Together they stay below 2**53, so the
# value is exact. Anything else ("None", "1e-3") is unknown.
INTEGER_DIGITS = 9
FRACTION_DIGITS = 6
NUMBER_PATTERN = rf"([0-9]{{1,{INTEGER_DIGITS}}})([.]([0-9]+))?"
_NUMBER = re.compile(NUMBER_PATTERN)

_STRICT = ConfigDict(extra="forbid")


class CatalogueError(ValueError):
    """An engine's catalogue file is wrong; the message names the file and the key."""


class Reduce(StrEnum):
    """How series that differ only in labels which the canonical family lacks become one."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Source:
    """One series name of the engine. `where` keeps the series with one of the values; `scale` converts the unit."""

    __pydantic_config__ = _STRICT

    name: str
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scale: float = 1.0


def _short_source(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class FamilyMapping:
    """Where a canonical family comes from: the first source that is present. `labels`: canonical name -> engine's."""

    __pydantic_config__ = _STRICT

    sources: tuple[Annotated[Source, BeforeValidator(_short_source)], ...]
    reduce: Reduce
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NumberFact:
    """A canonical gauge from labels of an info series: the first product of which every label is a plain number."""

    __pydantic_config__ = _STRICT

    info: str
    products: tuple[tuple[str, ...], ...]
    reduce: Reduce


@dataclass(frozen=True, slots=True)
class TextFact:
    """A canonical info family from labels of an info series. `labels`: canonical name -> engine's."""

    __pydantic_config__ = _STRICT

    info: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class EngineCatalogue:
    """Everything that is known of one engine's exposition."""

    __pydantic_config__ = _STRICT

    engine: Engine
    title: str
    detect: tuple[str, ...]
    model_label: str
    model_source: str
    families: dict[str, FamilyMapping]
    numbers: dict[str, NumberFact] = field(default_factory=dict)
    texts: dict[str, TextFact] = field(default_factory=dict)
    version_path: str | None = None


_ADAPTER = TypeAdapter(EngineCatalogue)


def spellings(name: str) -> tuple[str, ...]:
    """The names under which a series may arrive: its own, and with `:` rewritten to `_`."""
    return (name, name.replace(":", "_")) if ":" in name else (name,)


def plain_number(text: str) -> float | None:
    """The number in a label value, None where it is not a plain decimal number."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match[1], (match[3] or "")[:FRACTION_DIGITS].ljust(FRACTION_DIGITS, "0")
    return int(whole + fraction) / float(10**FRACTION_DIGITS)


def load_engine(engine: Engine, directory: Path = ENGINES_DIR) -> EngineCatalogue:
    """Read and check the catalogue file of an engine. Raises CatalogueError, naming file and key."""
    path = directory / f"{engine.value}.yml"
    try:
        catalogue = _ADAPTER.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CatalogueError(f"{path}: " + "; ".join(lines)) from error
    problems = _problems(catalogue, engine)
    if problems:
        raise CatalogueError(f"{path}: " + "; ".join(problems))
    return catalogue


def _problems(catalogue: EngineCatalogue, engine: Engine) -> list[str]:
    """What the types cannot say: families exist, carry their labels, and have one origin."""
    found = [] if catalogue.engine is engine else [f"engine: is {catalogue.engine.value}, the file is {engine.value}"]
    seen: set[str] = set()
    for part, entries in (
        ("families", catalogue.families),
        ("numbers", catalogue.numbers),
        ("texts", catalogue.texts),
    ):
        for name, entry in entries.items():
            where = f"{part}.{name}"
            if name in seen:
                found.append(f"{where}: has an entry in another part")
            seen.add(name)
            found += [f"{where}: {text}" for text in _entry_problems(name, entry)]
    return found


def _entry_problems(name: str, entry: FamilyMapping | NumberFact | TextFact) -> list[str]:
    family = INFERENCE_FAMILIES.get(name)
    if family is None:
        return ["no such family in exporters/catalog/inference.py"]
    found = []
    labels = () if isinstance(entry, NumberFact) else tuple(entry.labels)
    wanted = tuple(label for label in family.labels if label not in ("engine", "model"))
    if sorted(labels) != sorted(wanted):
        found.append(f"labels are {sorted(labels)}, the family has {sorted(wanted)}")
    kinds = {
        FamilyMapping: (Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM),
        NumberFact: (Kind.GAUGE,),
        TextFact: (Kind.INFO,),
    }
    if family.kind not in kinds[type(entry)]:
        found.append(f"a {family.kind.value} does not belong here")
    if isinstance(entry, FamilyMapping):
        if not entry.sources:
            found.append("sources: name at least one series")
        if family.kind is not Kind.GAUGE and entry.reduce is not Reduce.SUM:
            found.append(f"reduce: a {family.kind.value} can only be summed")
        if family.kind is Kind.HISTOGRAM and any(source.scale != 1.0 for source in entry.sources):
            found.append("scale: the bounds of a histogram are not rescaled")
    return found
