"""Applies an engine's catalogue to a reading: the engine's series become canonical families.

`rules/build.py` says the same in PromQL for engines that Prometheus scrapes directly; a test compares the two.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporters.catalog import (
    INFERENCE_FAMILIES,
    EngineCatalogue,
    Family,
    FamilyMapping,
    Kind,
    NumberFact,
    Reduce,
    TextFact,
    plain_number,
    spellings,
)
from exporters.exposition import Labels, Reading
from exporters.inference.render import Sample, Samples

_PARTS = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}

# Python's str() of a flag or of nothing, as vLLM writes configuration into labels.
_PLAIN_TEXT = {"True": "true", "False": "false", "None": ""}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one family is read."""

    family: Family
    mapping: FamilyMapping
    label_names: tuple[str, ...]  # the engine's names of `model` and of the family's own labels
    parts: tuple[str, ...]  # suffixes of the names


class Mapper:
    """Maps readings of one engine. Immutable; may be shared by threads."""

    def __init__(self, catalogue: EngineCatalogue) -> None:
        self.catalogue = catalogue
        self._plans = tuple(self._plan(name, mapping) for name, mapping in catalogue.families.items())
        names = "|".join(re.escape(name) for series in catalogue.detect for name in spellings(series))
        self._detect = re.compile(rf"^(?:{names})(?:_total)?[{{ ]", re.MULTILINE)

    def _plan(self, name: str, mapping: FamilyMapping) -> _Plan:
        family = INFERENCE_FAMILIES[name]
        own = tuple(mapping.labels[label] for label in family.labels if label not in ("engine", "model"))
        return _Plan(family, mapping, (self.catalogue.model_label, *own), _PARTS.get(family.kind, ("",)))

    @property
    def wanted(self) -> frozenset[str]:
        """The series names that the mapping reads."""
        series = {
            source.name + part for plan in self._plans for source in plan.mapping.sources for part in plan.parts
        } | {self.catalogue.model_source}
        series |= {number.info for number in self.catalogue.numbers.values()}
        series |= {text.info for text in self.catalogue.texts.values()}
        return frozenset(spelling for name in series for spelling in spellings(name))

    def detects(self, text: str) -> bool:
        """Whether the exposition is this engine's."""
        return self._detect.search(text) is not None

    def models(self, reading: Reading) -> tuple[str, ...]:
        """The models that the engine serves, sorted."""
        series = _first(reading, self.catalogue.model_source)
        return tuple(sorted({dict(labels).get(self.catalogue.model_label, "") for labels in series}))

    def families(self, reading: Reading) -> Iterator[tuple[Family, Samples]]:
        """The canonical families that the reading gives; what it does not give is left out."""
        for plan in self._plans:
            samples = [sample for part in plan.parts for sample in self._part(plan, part, reading)]
            if samples:
                yield plan.family, samples
        models = self.models(reading)
        for name, number in self.catalogue.numbers.items():
            value = _number(number, reading)
            if value is not None and models:
                yield INFERENCE_FAMILIES[name], [Sample("", self._labels(model), value) for model in models]
        for name, text in self.catalogue.texts.items():
            facts = _texts(INFERENCE_FAMILIES[name], text, reading)
            if facts is not None and models:
                yield INFERENCE_FAMILIES[name], [Sample("", self._labels(model) + facts, 1.0) for model in models]

    def _labels(self, model: str) -> Labels:
        return (("engine", self.catalogue.engine.value), ("model", model))

    def _part(self, plan: _Plan, part: str, reading: Reading) -> Iterator[Sample]:
        for source in plan.mapping.sources:
            series = _where(_first(reading, source.name + part), source.where)
            if not series:
                continue
            names = (*plan.label_names, "le") if part == "_bucket" else plan.label_names
            own = (*plan.family.labels, "le") if part == "_bucket" else plan.family.labels
            for values, value in _reduced(series, names, plan.mapping.reduce).items():
                labels = zip(own, (self.catalogue.engine.value, *values), strict=True)
                yield Sample(part, tuple(labels), value * source.scale)
            return


def _first(reading: Reading, name: str) -> Mapping[Labels, float]:
    """The series called `name`, in the first spelling that is there."""
    for spelling in spellings(name):
        if spelling in reading.samples:
            return reading.samples[spelling]
    return {}


def _where(series: Mapping[Labels, float], where: Mapping[str, tuple[str, ...]]) -> Mapping[Labels, float]:
    if not where:
        return series
    return {
        labels: value
        for labels, value in series.items()
        if all(dict(labels).get(label, "") in wanted for label, wanted in where.items())
    }


def _reduced(series: Mapping[Labels, float], names: tuple[str, ...], reduce: Reduce) -> dict[tuple[str, ...], float]:
    """Values by those of the labels `names`; an absent label is empty, as in PromQL."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in series.items():
        have = dict(labels)
        key = tuple([have.get(name, "") for name in names])
        found[key] = _combine(reduce, found[key], value) if key in found else value
    return found


def _combine(reduce: Reduce, left: float, right: float) -> float:
    if reduce is Reduce.SUM:
        return left + right
    return right if right > left or math.isnan(left) else left  # PromQL's max passes NaN over


def _number(fact: NumberFact, reading: Reading) -> float | None:
    """The fact over all ranks; None where no rank gives it."""
    total: float | None = None
    for labels in _first(reading, fact.info):
        value = _product(fact, dict(labels))
        if value is not None:
            total = value if total is None else _combine(fact.reduce, total, value)
    return total


def _product(fact: NumberFact, labels: Mapping[str, str]) -> float | None:
    for product in fact.products:
        numbers = [plain_number(labels.get(label, "")) for label in product]
        known = [number for number in numbers if number is not None]
        if len(known) == len(numbers):
            return math.prod(known)
    return None


def _texts(family: Family, fact: TextFact, reading: Reading) -> Labels | None:
    """The fact's labels as the first rank gives them; None where there is no rank."""
    for labels in _first(reading, fact.info):
        have = dict(labels)
        texts: Iterable[tuple[str, str]] = ((name, have.get(source, "")) for name, source in fact.labels.items())
        plain = {name: _PLAIN_TEXT.get(text, text) for name, text in texts}
        return tuple((name, plain[name]) for name in family.labels if name in plain)
    return None
