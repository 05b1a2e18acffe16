"""The source rules of an engine's own series: its catalogue in PromQL, as `exporters/inference/mapping.py` reads it."""

from collections.abc import Iterator
from dataclasses import dataclass

from exporters.catalog import (
    COMPANIONS,
    INFERENCE_FAMILIES,
    EngineCatalogue,
    FamilyMapping,
    Kind,
    Reduce,
    Source,
    Term,
    spelled,
)
from rules import promql
from rules.catalog import HISTOGRAMS, REPLICA_LABELS, SOURCE_COUNTERS, SOURCE_GAUGES, source_windows
from rules.generate.config import TARGET_LABELS, config_rules
from rules.generate.document import Rule, Rules
from rules.generate.probed import HISTOGRAM_PARTS, UP

_ON_TARGET = f"on ({', '.join(TARGET_LABELS)})"
_LABELS = tuple(label for label in REPLICA_LABELS if label != "engine")  # the rule sets `engine`


def direct_groups(catalogue: EngineCatalogue) -> dict[str, Rules]:
    """Groups of rules by name. Each asks first who is read both ways: groups run side by side, in any order."""
    groups = {
        "config": list(config_rules(catalogue)),
        "gauges": list(_gauges(catalogue)),
        "counters": list(_counters(catalogue)),
        "histograms": list(_histograms(catalogue)),
    }
    return {name: iter((_both_ways(catalogue, name), *rules)) for name, rules in groups.items() if rules}


def _both_ways(catalogue: EngineCatalogue, group: str) -> Rule:
    return {
        "record": promql.BOTH_WAYS_SERIES,
        "labels": {"engine": catalogue.engine.value, "group": group},
        "expr": promql.read_both_ways(catalogue.engine),
    }


def _gauges(catalogue: EngineCatalogue) -> Rules:
    if catalogue.engine not in COMPANIONS:
        up = promql.aggregate(Reduce.MAX, TARGET_LABELS, f'up{{job="{catalogue.engine.value}"}}')
        yield _recorded(UP, catalogue, up)
    for record, family in SOURCE_GAUGES.items():
        yield from _mapped(record, family, catalogue)


def _counters(catalogue: EngineCatalogue) -> Rules:
    for stem, family in SOURCE_COUNTERS.items():
        for window in source_windows(stem):
            yield from _mapped(f"{stem}:rate{window}", family, catalogue, window=window)


def _histograms(catalogue: EngineCatalogue) -> Rules:
    for stem, family in HISTOGRAMS.items():
        for part in HISTOGRAM_PARTS:
            for window in source_windows(stem, part):
                yield from _mapped(f"{stem}{part}:rate{window}", family, catalogue, part, window)


def _mapped(record: str, family: str, catalogue: EngineCatalogue, part: str = "", window: str = "") -> Rules:
    """The rule of a family, or of a part of a histogram; nothing where the engine does not give it."""
    mapping = catalogue.families.get(family)
    if mapping is None:
        return
    alternatives = list(_alternatives(catalogue, mapping, _Reading(INFERENCE_FAMILIES[family].kind, part, window)))
    if alternatives:
        yield _recorded(record, catalogue, promql.plausible(promql.first_of(alternatives)))


def _recorded(record: str, catalogue: EngineCatalogue, expr: str) -> Rule:
    expr = promql.unless_probed(expr, catalogue.engine)
    return {"record": record, "labels": {"engine": catalogue.engine.value}, "expr": expr}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read of a family: a part of a histogram (else empty), as a rate over a window (else empty)."""

    kind: Kind
    part: str
    window: str

    def term(self, source: Source) -> Term | None:
        """The source's own series; None where it has no such part."""
        if self.kind is not Kind.HISTOGRAM:
            return Term(source.name, source.where)
        if source.count is None:
            return Term(source.name + self.part, source.where)
        return {"_sum": Term(source.name, source.where), "_count": source.count}.get(self.part)

    def scale(self, source: Source) -> float:
        """What the values are multiplied with. Counts of a histogram have no unit."""
        return source.scale if self.part in ("", "_sum") else 1.0

    def rebounds(self, source: Source) -> bool:
        """Whether the bounds of buckets change, which are in the source's unit."""
        return self.part == "_bucket" and source.scale != 1.0

    def series(self, term: Term, catalogue: EngineCatalogue, *matchers: str) -> str:
        """The series of a term, those that repeat one figure as one."""
        selected = promql.selector(term.name, term.where, self.window, *matchers)
        series = f"rate({selected})" if self.window else selected
        return f"max without ({', '.join(catalogue.duplicates)}) ({series})" if catalogue.duplicates else series

    def required(self, source: Source) -> tuple[Term, ...]:
        """The series that must be there for the source to be present."""
        if self.kind is Kind.HISTOGRAM and source.count is None:
            return (Term(source.name + self.part, source.where),)
        return source.required


def _alternatives(catalogue: EngineCatalogue, mapping: FamilyMapping, reading: _Reading) -> Iterator[str]:
    """The family from each of its sources, by the replica's labels (and `le`), the preferred one first.

    Whether a source is there is judged for the whole target: label set by label set, `or` would mix the buckets of an
    old and a new name.
    """
    earlier = ""
    for source in mapping.sources:
        for one in spelled(source):
            figure = _figure(catalogue, mapping, one, reading)
            if figure:
                yield figure + _presence(one, reading) + earlier
        for one in spelled(source):
            first, *rest = (promql.selector(term.name, term.where) for term in reading.required(one))
            present = f" and {_ON_TARGET} ".join((first, *rest))
            earlier += f"\nunless {_ON_TARGET} {f'({present})' if rest else present}"


def _presence(source: Source, reading: _Reading) -> str:
    """Asks for the required series of which the absence does not leave the figure empty by itself."""
    if source.plus:
        needed = [Term(source.name, source.where)]
    elif source.count:
        needed = [term for term in source.required if term != reading.term(source)]
    else:
        needed = []
    return "".join(f"\nand {_ON_TARGET} {promql.selector(term.name, term.where)}" for term in needed)


def _figure(catalogue: EngineCatalogue, mapping: FamilyMapping, source: Source, reading: _Reading) -> str:
    """The family from one source in one spelling; empty where the source has no such part."""
    term = reading.term(source)
    if term is None:
        return ""
    labels = (*_LABELS, "le") if reading.part == "_bucket" else _LABELS
    if source.times or source.over or (source.plus and mapping.reduce is not Reduce.SUM):
        series = _by_rank(catalogue, source, reading)
    else:
        bounds = (promql.READABLE_BOUNDS,) if reading.rebounds(source) else ()
        series = promql.together([reading.series(each, catalogue, *bounds) for each in (term, *source.plus)])
    if (scale := reading.scale(source)) != 1.0:
        series = f"({promql.in_block(series)}) * {scale!r}" if "\n" in series else f"{series} * {scale!r}"
    series = promql.model_of(series, catalogue.model_label)
    figure = promql.aggregate(mapping.reduce, labels, series)
    return promql.thousandth_bounds(figure) if reading.rebounds(source) else figure


def _by_rank(catalogue: EngineCatalogue, source: Source, reading: _Reading) -> str:
    """`(name + plus…) * times / over`, a figure a rank."""
    ranks = (*TARGET_LABELS, catalogue.model_label or "model", *catalogue.ranks)

    def figure(*terms: Term) -> str:
        return promql.aggregate(Reduce.SUM, ranks, promql.together([reading.series(term, catalogue) for term in terms]))

    text = figure(Term(source.name, source.where), *source.plus)
    if source.times:
        text += f"\n* {figure(source.times)}"
    if source.over:
        text += f"\n/ ({figure(source.over)} > 0)"
    return text
