"""Reads and checks the engine catalogue: `engines/*.yml`, as `exporters/catalog/engine_schema.py` describes it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from exporters.catalog.engine_schema import EngineCatalogue, FamilyMapping, NumberFact, Reduce, Source, Term, TextFact
from exporters.catalog.family import Family, Kind
from exporters.catalog.inference import INFERENCE_FAMILIES, Engine

ENGINES_DIR = Path(__file__).parents[1] / "engines"

# A number in a label is read by the prober and, digit by digit, by generated PromQL; both read it as this says:
# up to INTEGER_DIGITS before the point, the first FRACTION_DIGITS after it. Together they stay below 2**53, so the
# value is exact. Anything else ("None", "1e-3") is unknown.
INTEGER_DIGITS = 9
FRACTION_DIGITS = 6
NUMBER_PATTERN = rf"([0-9]{{1,{INTEGER_DIGITS}}})([.]([0-9]+))?"
_NUMBER = re.compile(NUMBER_PATTERN)

# The one factor by which bounds of histograms are scaled (ms to s): moving the point of a label is all that PromQL can.
MILLI = 0.001


class CatalogueError(ValueError):
    """An engine's catalogue file is wrong; the message names the file and the key."""


_ADAPTER = TypeAdapter(EngineCatalogue)


def spellings(name: str) -> tuple[str, ...]:
    """The names under which a series may arrive: its own, and with `:` rewritten to `_`."""
    return (name, name.replace(":", "_")) if ":" in name else (name,)


def spelled(source: Source) -> tuple[Source, ...]:
    """The source, and where a name has `:`, the source as it arrives when all of them were rewritten."""

    def rewritten(term: Term) -> Term:
        return replace(term, name=spellings(term.name)[-1])

    other = replace(
        source,
        name=spellings(source.name)[-1],
        plus=tuple(map(rewritten, source.plus)),
        times=source.times and rewritten(source.times),
        over=source.over and rewritten(source.over),
        count=source.count and rewritten(source.count),
    )
    return (source,) if other == source else (source, other)


def plain_number(text: str) -> float | None:
    """The number in a label value, None where it is not a plain decimal number."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, fraction = match[1], (match[3] or "")[:FRACTION_DIGITS].ljust(FRACTION_DIGITS, "0")
    return int(whole + fraction) / float(10**FRACTION_DIGITS)


@cache
def load_engine(engine: Engine, directory: Path = ENGINES_DIR) -> EngineCatalogue:
    """Read and check the catalogue file of an engine, once. Raises CatalogueError, naming file and key."""
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
    if catalogue.families and not catalogue.detect:
        found.append("detect: name a series that tells this engine")
    if catalogue.models is not None and catalogue.families:
        found.append("models: an engine has an exposition or a list of models, not both")
    if (catalogue.numbers or catalogue.texts) and catalogue.model_label and not catalogue.model_source:
        found.append("model_source: facts of an info series need it to name the models")
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
    return [*found, *_page_problems(catalogue)]


def _entry_problems(name: str, entry: FamilyMapping | NumberFact | TextFact) -> list[str]:
    family = INFERENCE_FAMILIES.get(name)
    if family is None:
        return ["no such family in exporters/catalog/inference.py"]
    found = []
    if not isinstance(entry, NumberFact):
        found += _label_problems(family, entry.labels)
    kinds = {
        FamilyMapping: (Kind.GAUGE, Kind.COUNTER, Kind.HISTOGRAM),
        NumberFact: (Kind.GAUGE,),
        TextFact: (Kind.INFO,),
    }
    if family.kind not in kinds[type(entry)]:
        found.append(f"a {family.kind.value} does not belong here")
    if isinstance(entry, FamilyMapping):
        found += _mapping_problems(family, entry)
    return found


def _label_problems(family: Family, labels: dict[str, str]) -> list[str]:
    unknown = sorted(set(labels) - set(own_labels(family)))
    return [f"labels: the family has no {', '.join(unknown)}"] if unknown else []


# How engines in Python spell a text that others spell otherwise, or leave empty.
PLAIN_TEXT = {"True": "true", "False": "false", "None": ""}


def own_labels(family: Family) -> tuple[str, ...]:
    """The labels of an inference family besides `engine` and `model`."""
    return tuple(label for label in family.labels if label not in ("engine", "model"))


def _mapping_problems(family: Family, mapping: FamilyMapping) -> Iterator[str]:
    if not mapping.sources:
        yield "sources: name at least one series"
    if family.kind is not Kind.GAUGE and mapping.reduce is not Reduce.SUM:
        yield f"reduce: a {family.kind.value} can only be summed"
    for source in mapping.sources:
        yield from _source_problems(family, source)


def _source_problems(family: Family, source: Source) -> Iterator[str]:
    if family.kind is Kind.HISTOGRAM:
        if source.combined:
            yield f"{source.name}: histograms are not added, multiplied or divided"
        if source.count is None and source.scale not in (1.0, MILLI):
            yield f"{source.name}: the bounds of a histogram are scaled by {MILLI} or not at all"
    elif source.count is not None:
        yield f"{source.name}: count makes a sum and a count, which only a histogram has"
    if family.kind is Kind.COUNTER and (source.times or source.over):
        yield f"{source.name}: the rate of a product is not the product of rates"


def _page_problems(catalogue: EngineCatalogue) -> Iterator[str]:
    tables = [(page.path, page.numbers, page.texts) for page in catalogue.pages]
    if catalogue.models is not None:
        numbers = {**catalogue.models.numbers, **catalogue.models.times}
        tables.append((catalogue.metrics_path, dict.fromkeys(numbers, ()), catalogue.models.texts))
    for path, numbers_, texts in tables:
        for name in numbers_:
            if (family := INFERENCE_FAMILIES.get(name)) is None or family.kind is not Kind.GAUGE:
                yield f"{path}.{name}: no such gauge in exporters/catalog/inference.py"
        for name, labels in texts.items():
            if (family := INFERENCE_FAMILIES.get(name)) is None or family.kind is not Kind.INFO:
                yield f"{path}.{name}: no such info family in exporters/catalog/inference.py"
                continue
            yield from (f"{path}.{name}: {text}" for text in _label_problems(family, dict.fromkeys(labels, "")))
