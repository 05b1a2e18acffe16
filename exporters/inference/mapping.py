"""Applies an engine's catalogue to a reading: the engine's series become canonical families.

`rules/build.py` says the same in PromQL for engines that Prometheus scrapes directly; a test compares the two.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exporters.catalog import (
    INFERENCE_FAMILIES,
    PLAIN_TEXT,
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
from exporters.inference.series import Names, Series, combine, first, reduced, select, without

_HISTOGRAM = ("_bucket", "_sum", "_count")
_LE = "le"

# Python's str() of a flag or of nothing, as vLLM writes configuration into labels.


@dataclass(frozen=True, slots=True)
class _Part:
    """Samples of a family with one suffix: where they are, in what unit, and by which of the engine's labels."""

    suffix: str
    term: Term
    scale: float
    names: Names


@dataclass(frozen=True, slots=True)
class _Way:
    """A source in one spelling."""

    source: Source
    parts: tuple[_Part, ...]
    whole: bool  # of a histogram any part will do

    def present(self, reading: Reading) -> bool:
        if self.whole:
            return all(select(term, reading) for term in self.source.required)
        return any(select(part.term, reading) for part in self.parts)

    def series(self) -> set[str]:
        """The names that are read."""
        others = (*self.source.plus, *self.source.required[1:])
        return {part.term.name for part in self.parts} | {term.name for term in others}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one family is read: the first of its ways that is present."""

    family: Family
    ways: tuple[_Way, ...]
    reduce: Reduce


class Mapper:
    """Maps readings of one engine. Immutable; may be shared by threads."""

    def __init__(self, catalogue: EngineCatalogue) -> None:
        self.catalogue = catalogue
        self._duplicates = frozenset(catalogue.duplicates)
        self._engine = ("engine", catalogue.engine.value)
        self._plans = tuple(self._plan(name, mapping) for name, mapping in catalogue.families.items())

    def _plan(self, name: str, mapping: FamilyMapping) -> _Plan:
        family = INFERENCE_FAMILIES[name]
        own = (mapping.labels.get(label) for label in own_labels(family))
        names = (self.catalogue.model_label, *own)
        ways = (_way(family, one, names) for source in mapping.sources for one in spelled(source))
        return _Plan(family, tuple(ways), mapping.reduce)

    @property
    def wanted(self) -> frozenset[str]:
        """The series names that the mapping reads."""
        series = {name for plan in self._plans for way in plan.ways for name in way.series()}
        facts = {fact.info for facts in (self.catalogue.numbers, self.catalogue.texts) for fact in facts.values()}
        if self.catalogue.model_source:
            facts.add(self.catalogue.model_source)
        return frozenset(series | {spelling for name in facts for spelling in spellings(name)})

    def models(self, reading: Reading) -> tuple[str, ...]:
        """The models that the reading names, sorted."""
        label, source = self.catalogue.model_label, self.catalogue.model_source
        if label is None or source is None:
            return ()
        return tuple(sorted({dict(labels).get(label, "") for labels in first(reading, source)}))

    def families(self, reading: Reading, model: str = "") -> Iterator[tuple[Family, Samples]]:
        """The canonical families that the reading gives; what it does not give is left out.

        `model` is what is known of an engine whose series name none.
        """
        return named(self._families(reading), model) if model else self._families(reading)

    def _families(self, reading: Reading) -> Iterator[tuple[Family, Samples]]:
        for plan in self._plans:
            way = next((way for way in plan.ways if way.present(reading)), None)
            if way is not None and (samples := list(self._samples(plan, way, reading))):
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
        return (self._engine, ("model", model))

    def _samples(self, plan: _Plan, way: _Way, reading: Reading) -> Iterator[Sample]:
        for part in way.parts:
            bucket = part.suffix == "_bucket"
            own = (*plan.family.labels[1:], _LE) if bucket else plan.family.labels[1:]
            if way.source.combined:
                figures = self._combined(way.source, part.names, reading)
            else:
                figures = without(select(part.term, reading), self._duplicates)
            for found, value in reduced(figures, part.names, plan.reduce).items():
                values = (*found[:-1], _scaled_bound(found[-1], way.source.scale)) if bucket else found
                yield Sample(part.suffix, (self._engine, *zip(own, values, strict=True)), value * part.scale)

    def _combined(self, source: Source, names: Names, reading: Reading) -> Series:
        """`(name + plus…) * times / over`, a figure a rank."""
        keys = tuple(dict.fromkeys((*(name for name in names if name), *self.catalogue.ranks)))

        def figures(term: Term) -> dict[tuple[str, ...], float]:
            return reduced(without(select(term, reading), self._duplicates), keys, Reduce.SUM)

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
    """The families, `model` in the place of a model that the engine did not name; a family that has both stays."""
    name = ("model", model)
    for family, samples in families:
        if any(sample.labels[1] == name for sample in samples):
            yield family, samples
        else:
            yield family, [_named(sample, name) for sample in samples]


def _named(sample: Sample, name: tuple[str, str]) -> Sample:
    engine, model, *others = sample.labels
    return sample if model[1] else sample._replace(labels=(engine, name, *others))


def _way(family: Family, source: Source, names: Names) -> _Way:
    own = Term(source.name, source.where)
    if family.kind is not Kind.HISTOGRAM:
        return _Way(source, (_Part("", own, source.scale, names),), whole=True)
    if source.count is not None:
        parts = (_Part("_sum", own, source.scale, names), _Part("_count", source.count, 1.0, names))
        return _Way(source, parts, whole=True)
    scales, labels = {"_sum": source.scale}, {"_bucket": (*names, _LE)}
    each = (
        _Part(suffix, replace(own, name=own.name + suffix), scales.get(suffix, 1.0), labels.get(suffix, names))
        for suffix in _HISTOGRAM
    )
    return _Way(source, tuple(each), whole=False)


def _scaled_bound(bound: str, scale: float) -> str:
    """A bucket's bound in the canonical unit, as Prometheus 3 writes it: `500` ms is `0.5` s, `2000` ms are `2.0` s."""
    if scale == 1.0:
        return bound
    try:
        return bound if math.isinf(float(bound)) else str(float(f"{float(bound) * scale:.12g}"))
    except ValueError:
        return bound


def _number(fact: NumberFact, reading: Reading) -> float | None:
    """The fact over all ranks; None where no rank gives it."""
    total: float | None = None
    for labels in first(reading, fact.info):
        value = _product(fact, dict(labels))
        if value is not None:
            total = value if total is None else combine(fact.reduce, total, value)
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
    for labels in first(reading, fact.info):
        have = dict(labels)
        texts: Iterable[tuple[str, str]] = ((name, have.get(source, "")) for name, source in fact.labels.items())
        plain = {name: PLAIN_TEXT.get(text, text) for name, text in texts}
        return tuple((name, plain.get(name, "")) for name in own_labels(family))
    return None
