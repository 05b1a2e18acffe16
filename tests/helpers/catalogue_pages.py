"""SYNTHETIC expositions made from an engine's catalogue: every series that a file `exporters/engines/*.yml` names.

They are no engine's output. Their purpose is that each source, spelling, rank and label choice of the catalogue is read
at least once, both by the prober and by the rules. Values are a function of the series.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from exporters.catalog import INFERENCE_FAMILIES, EngineCatalogue, FamilyMapping, Kind, Source, Term, own_labels

MODELS = ("org/model-a", "model-b")
BOUNDS = ("0.5", "2.5", "40", "500", "2000", "12345.5", "+Inf")
TEXTS = ("fp8", "True", "None")  # of the labels of an info series, in their order
_DECOY = "another"


def page(catalogue: EngineCatalogue, choice: int | None = None, *, lone: bool = False, rewritten: bool = False) -> str:
    """A page with the series of source number `choice` of each family (the last where it has fewer), or of all sources.

    `lone`: without what is only added (`plus`), and with one rank that lacks what it would be divided by.
    """
    series: dict[str, float] = {}
    for name, mapping in catalogue.families.items():
        sources = mapping.sources if choice is None else mapping.sources[min(choice, len(mapping.sources) - 1) :][:1]
        for source in sources:
            series |= _source(catalogue, name, mapping, replace(source, plus=()) if lone else source, lone=lone)
    series |= _infos(catalogue)
    text = "".join(f"{name} {value!r}\n" for name, value in sorted(series.items()))
    return text.replace(":", "_") if rewritten else text


def cumulative(catalogue: EngineCatalogue) -> frozenset[str]:
    """The names of series that only grow."""
    found: set[str] = set()
    for name, mapping in catalogue.families.items():
        kind = INFERENCE_FAMILIES[name].kind
        for source in mapping.sources if kind is not Kind.GAUGE else ():
            if kind is Kind.HISTOGRAM and source.count is None:
                found |= {source.name + part for part in ("_bucket", "_sum", "_count")}
            else:
                found |= {term.name for term in (*source.required, *source.plus)}
    return frozenset(found | {name.replace(":", "_") for name in found})


def _source(
    catalogue: EngineCatalogue, name: str, mapping: FamilyMapping, source: Source, *, lone: bool
) -> dict[str, float]:
    labels = [mapping.labels[label] for label in own_labels(INFERENCE_FAMILIES[name]) if label in mapping.labels]
    if INFERENCE_FAMILIES[name].kind is Kind.HISTOGRAM and source.count is None:
        return _histogram(catalogue, source)
    found: dict[str, float] = {}
    for term in (*source.required, *source.plus):
        for each in _label_sets(catalogue, term, labels):
            if lone and source.over and term == source.over and each.get((*catalogue.ranks, "")[0]) == "1":
                continue
            found[_written(term.name, each)] = _value(term.name, each)
    return found


def _histogram(catalogue: EngineCatalogue, source: Source) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in _label_sets(catalogue, Term(source.name, source.where), []):
        counts = [_value(source.name + bound, each) for bound in BOUNDS]
        rising = [sum(counts[: place + 1]) for place in range(len(counts))]
        for bound, count in zip(BOUNDS, rising, strict=True):
            found[_written(source.name + "_bucket", {**each, "le": bound})] = count
        found[_written(source.name + "_count", each)] = rising[-1]
        found[_written(source.name + "_sum", each)] = _value(source.name, each)
    return found


def _label_sets(catalogue: EngineCatalogue, term: Term, labels: list[str]) -> Iterator[dict[str, str]]:
    """Every label set that a term reads, and for each of its conditions one that it must not read."""
    choices: dict[str, tuple[str, ...]] = {label: ("one", "two") for label in labels if label not in term.where}
    choices |= dict.fromkeys(catalogue.ranks, ("0", "1"))
    choices |= {label: ("0", "1") if place == 0 else ("0",) for place, label in enumerate(catalogue.duplicates)}
    if catalogue.model_label:
        choices[catalogue.model_label] = MODELS
    for label, values in term.where.items():
        choices[label] = (*(f"{value[:-1]}_x" if value.endswith("*") else value for value in values), _DECOY)
    for values in product(*choices.values()):
        yield {label: value for label, value in zip(choices, values, strict=True) if value}


def _infos(catalogue: EngineCatalogue) -> dict[str, float]:
    found: dict[str, float] = {}
    numbers = {label: f"{place + 2}.{place}75" for place, label in enumerate(_number_labels(catalogue))}
    texts = {
        label: text
        for fact in catalogue.texts.values()
        for label, text in zip(fact.labels.values(), TEXTS, strict=False)
    }
    for info in {fact.info for facts in (catalogue.numbers, catalogue.texts) for fact in facts.values()}:
        for rank in product(*(("0", "1") for _ in catalogue.ranks)):
            found[_written(info, {**numbers, **texts, **dict(zip(catalogue.ranks, rank, strict=True))})] = 1.0
    if found and catalogue.model_source:
        for each in _label_sets(catalogue, Term(catalogue.model_source), []):
            found[_written(catalogue.model_source, each)] = _value(catalogue.model_source, each)
    return found


def _number_labels(catalogue: EngineCatalogue) -> list[str]:
    return sorted({label for fact in catalogue.numbers.values() for each in fact.products for label in each})


def _written(name: str, labels: Mapping[str, str]) -> str:
    written = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{written}}}" if labels else name


def _value(name: str, labels: Mapping[str, str]) -> float:
    """1 to 250, by name and labels; equal in both spellings of a name."""
    return float(zlib.crc32(_written(name.replace(":", "_"), labels).encode()) % 250 + 1)
