"""Applies an engine's catalogue to a reading: the engine's series become canonical families.

`rules/build.py` says the same in PromQL for engines that Prometheus scrapes directly; a test compares the two.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exporters.catalog import (
    INFERENCE_FAMILIES,
    EngineCatalogue,
    Family,
    FamilyMapping,
    Kind,
    NumberFact,
    Reduce,
    Source,
    Term,
    TextFact,
    own_labels,
    plain_number,
    spelled,
    spellings,
)
from exporters.exposition import Labels, Reading
from exporters.inference.render import Sample, Samples

_HISTOGRAM = ("_bucket", "_sum", "_count")
_LE = "le"

# Python's str() of a flag or of nothing, as vLLM writes configuration into labels.
_PLAIN_TEXT = {"True": "true", "False": "false", "None": ""}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one family is read. `sources` has every spelling of a source as a source of its own."""

    family: Family
    sources: tuple[Source, ...]
    reduce: Reduce
    label_names: tuple[str | None, ...]  # the engine's names of `model` and of the family's own labels


class Mapper:
    """Maps readings of one engine. Immutable; may be shared by threads."""

    def __init__(self, catalogue: EngineCatalogue) -> None:
        self.catalogue = catalogue
        self._duplicates = frozenset(catalogue.duplicates)
        self._plans = tuple(self._plan(name, mapping) for name, mapping in catalogue.families.items())

    def _plan(self, name: str, mapping: FamilyMapping) -> _Plan:
        family = INFERENCE_FAMILIES[name]
        own = (mapping.labels.get(label) for label in own_labels(family))
        sources = tuple(one for source in mapping.sources for one in spelled(source))
        return _Plan(family, sources, mapping.reduce, (self.catalogue.model_label, *own))

    @property
    def wanted(self) -> frozenset[str]:
        """The series names that the mapping reads."""
        series = {name for plan in self._plans for source in plan.sources for name in _names(plan.family, source)}
        facts = {fact.info for facts in (self.catalogue.numbers, self.catalogue.texts) for fact in facts.values()}
        if self.catalogue.model_source:
            facts.add(self.catalogue.model_source)
        return frozenset(series | {spelling for name in facts for spelling in spellings(name)})

    def models(self, reading: Reading) -> tuple[str, ...]:
        """The models that the reading names, sorted."""
        label, source = self.catalogue.model_label, self.catalogue.model_source
        if label is None or source is None:
            return ()
        return tuple(sorted({dict(labels).get(label, "") for labels in _first(reading, source)}))

    def families(self, reading: Reading, model: str = "") -> Iterator[tuple[Family, Samples]]:
        """The canonical families that the reading gives; what it does not give is left out.

        `model` is what is known of an engine whose series name none.
        """
        return named(self._families(reading), model) if model else self._families(reading)

    def _families(self, reading: Reading) -> Iterator[tuple[Family, Samples]]:
        for plan in self._plans:
            source = next((source for source in plan.sources if _present(plan.family, source, reading)), None)
            if source is not None:
                samples = list(self._samples(plan, source, reading))
                if samples:
                    yield plan.family, samples
        models = self.models(reading) or (("",) if self.catalogue.model_label is None else ())
        for name, number in self.catalogue.numbers.items():
            value = _number(number, reading)
            if models and value is not None:
                yield INFERENCE_FAMILIES[name], [Sample("", self._labels(one), value) for one in models]
        for name, text in self.catalogue.texts.items():
            facts = _texts(INFERENCE_FAMILIES[name], text, reading)
            if models and facts is not None:
                yield INFERENCE_FAMILIES[name], [Sample("", self._labels(one) + facts, 1.0) for one in models]

    def _labels(self, model: str) -> Labels:
        return (("engine", self.catalogue.engine.value), ("model", model))

    def _samples(self, plan: _Plan, source: Source, reading: Reading) -> Iterator[Sample]:
        for part, term, scale in _terms(plan.family, source):
            bucket = part == "_bucket"
            names = (*plan.label_names, _LE) if bucket else plan.label_names
            own = (*plan.family.labels, _LE) if bucket else plan.family.labels
            figures = self._combined(source, names, reading) if source.combined else self._series(term, reading)
            for values, value in _reduced(figures, names, plan.reduce).items():
                if bucket:
                    values = (*values[:-1], _scaled_bound(values[-1], source.scale))  # noqa: PLW2901 - in other units
                labels = zip(own, (self.catalogue.engine.value, *values), strict=True)
                yield Sample(part, tuple(labels), value * scale)

    def _series(self, term: Term, reading: Reading) -> Mapping[Labels, float]:
        """The series of a term, those that repeat one figure as one."""
        series = _where(reading.samples.get(term.name, {}), term.where)
        if not self._duplicates:
            return series
        found: dict[Labels, float] = {}
        for labels, value in series.items():
            key = tuple(label for label in labels if label[0] not in self._duplicates)
            found[key] = _combine(Reduce.MAX, found[key], value) if key in found else value
        return found

    def _combined(self, source: Source, names: tuple[str | None, ...], reading: Reading) -> Mapping[Labels, float]:
        """`(name + plus…) * times / over`, a figure a rank."""
        keys = tuple(dict.fromkeys((*(name for name in names if name), *self.catalogue.ranks)))

        def figures(term: Term) -> dict[tuple[str, ...], float]:
            return _reduced(self._series(term, reading), keys, Reduce.SUM)

        found = figures(source)
        for term in source.plus:
            for key, value in figures(term).items():
                found[key] = found.get(key, 0.0) + value
        if source.times:
            factors = figures(source.times)
            found = {key: value * factors[key] for key, value in found.items() if key in factors}
        if source.over:
            whole = figures(source.over)
            found = {key: value / whole[key] for key, value in found.items() if whole.get(key, 0.0) > 0}
        return {tuple(zip(keys, key, strict=True)): value for key, value in found.items()}


def named(families: Iterable[tuple[Family, Samples]], model: str) -> Iterator[tuple[Family, Samples]]:
    """The families, `model` in the place of a model that the engine did not name."""
    unnamed = ("model", "")
    for family, samples in families:
        yield (
            family,
            [
                sample._replace(labels=(sample.labels[0], ("model", model), *sample.labels[2:]))
                if sample.labels[1] == unnamed
                else sample
                for sample in samples
            ],
        )


def _terms(family: Family, source: Source) -> tuple[tuple[str, Term, float], ...]:
    """The parts of a family: suffix, where its figures are, and by what they are scaled."""
    own = Term(source.name, source.where)
    if family.kind is not Kind.HISTOGRAM:
        return (("", own, source.scale),)
    if source.count is not None:
        return ("_sum", own, source.scale), ("_count", source.count, 1.0)
    scales = {"_sum": source.scale}
    return tuple((part, replace(own, name=own.name + part), scales.get(part, 1.0)) for part in _HISTOGRAM)


def _names(family: Family, source: Source) -> set[str]:
    """The names that a source reads."""
    terms = {term.name for _, term, _ in _terms(family, source)}
    return terms | {term.name for term in (*source.plus, source.times, source.over) if term}


def _present(family: Family, source: Source, reading: Reading) -> bool:
    """Whether the source's series are there; of a histogram, any part of it."""
    if family.kind is Kind.HISTOGRAM and source.count is None:
        return any(_has(term, reading) for _, term, _ in _terms(family, source))
    return all(_has(term, reading) for term in source.required)


def _has(term: Term, reading: Reading) -> bool:
    return bool(_where(reading.samples.get(term.name, {}), term.where))


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
        if all(_matches(dict(labels).get(label, ""), wanted) for label, wanted in where.items())
    }


def _matches(value: str, wanted: Iterable[str]) -> bool:
    return any(value.startswith(one[:-1]) if one.endswith("*") else value == one for one in wanted)


def _reduced(
    series: Mapping[Labels, float], names: tuple[str | None, ...], reduce: Reduce
) -> dict[tuple[str, ...], float]:
    """Values by those of the labels `names`; an absent label is empty, as in PromQL."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in series.items():
        have = dict(labels)
        key = tuple([have.get(name, "") if name else "" for name in names])
        found[key] = _combine(reduce, found[key], value) if key in found else value
    return found


def _combine(reduce: Reduce, left: float, right: float) -> float:
    if reduce is Reduce.SUM:
        return left + right
    if math.isnan(left) or math.isnan(right):  # PromQL's max and min pass NaN over
        return right if math.isnan(left) else left
    return max(left, right) if reduce is Reduce.MAX else min(left, right)


def _scaled_bound(bound: str, scale: float) -> str:
    """A bucket's bound in the canonical unit, as Prometheus 3 writes it: `500` ms is `0.5` s, `2000` ms are `2.0` s."""
    try:
        return bound if scale == 1.0 or math.isinf(float(bound)) else str(float(f"{float(bound) * scale:.12g}"))
    except ValueError:
        return bound


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
        return tuple((name, plain.get(name, "")) for name in own_labels(family))
    return None
