"""The source rules of an engine's own series: its catalogue in PromQL, as `exporters/inference/mapping.py` reads it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

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
from rules.catalog import (
    AT_ONCE,
    EACH_MINUTE,
    HISTOGRAMS,
    REPLICA_LABELS,
    SERVICE_BUCKETS,
    SOURCE_COUNTERS,
    SOURCE_GAUGES,
    service_bucket_pace,
    service_stem,
    source_pace,
    source_windows,
)
from rules.generate.config import TARGET_LABELS, config_rules
from rules.generate.document import Group, Rule, by_pace
from rules.generate.probed import BUCKET_LABELS, HISTOGRAM_PARTS, UP

_ON_TARGET = f"on ({', '.join(TARGET_LABELS)})"
_DIRECT = {"scraped": "direct"}
_LABELS = tuple(label for label in REPLICA_LABELS if label != "engine")  # the rule sets `engine`


def direct_groups(catalogue: EngineCatalogue) -> list[Group]:
    """The groups of the file. Each asks first who is read both ways: groups run side by side, in any order."""
    config = [("config", EACH_MINUTE, rule) for rule in config_rules(catalogue)]
    groups = by_pace(
        [*config, *_gauges(catalogue), *_counters(catalogue), *_histograms(catalogue), *_service_buckets(catalogue)]
    )
    return [replace(group, rules=(_both_ways(catalogue, group.name), *group.rules)) for group in groups]


def _both_ways(catalogue: EngineCatalogue, group: str) -> Rule:
    return {
        "record": promql.BOTH_WAYS_SERIES,
        "labels": {"engine": catalogue.engine.value, "group": group},
        "expr": promql.read_both_ways(catalogue.engine),
    }


_Paced = Iterator[tuple[str, str, Rule]]


def _gauges(catalogue: EngineCatalogue) -> _Paced:
    if catalogue.engine not in COMPANIONS:
        up = promql.aggregate(Reduce.MAX, TARGET_LABELS, f'up{{job="{catalogue.engine.value}"}}')
        yield "gauges", AT_ONCE, _recorded(UP, catalogue, promql.unless_probed(up, catalogue.engine))
    for record, family in SOURCE_GAUGES.items():
        for expr in _mapped(family, catalogue):
            yield "gauges", source_pace(record), _recorded(record, catalogue, expr)


def _counters(catalogue: EngineCatalogue) -> _Paced:
    for stem, family in SOURCE_COUNTERS.items():
        for window in source_windows(stem):
            for expr in _mapped(family, catalogue, window=window):
                rule = _recorded(f"{stem}:rate{window}", catalogue, expr)
                yield "counters", source_pace(stem, window), rule


def _histograms(catalogue: EngineCatalogue) -> _Paced:
    for stem, family in HISTOGRAMS.items():
        for part in HISTOGRAM_PARTS:
            for window in source_windows(stem, part):
                for expr in _mapped(family, catalogue, part, window):
                    rule = _recorded(f"{stem}{part}:rate{window}", catalogue, expr)
                    yield "buckets" if part == "_bucket" else "histograms", source_pace(stem, window), rule


def _service_buckets(catalogue: EngineCatalogue) -> _Paced:
    """The buckets of a service's replicas of this engine together, and how many have each bound.

    Replicas of one service may be read in different ways, and two rules must not write one series: a label tells the
    rules of the prober's families, which name no way, from these.
    """
    labels = tuple(label for label in BUCKET_LABELS if label != "engine")  # the rule sets `engine`
    for stem in SERVICE_BUCKETS:
        family, record = HISTOGRAMS[stem], f"{service_stem(stem)}_bucket"
        for expr in _mapped(family, catalogue, "_bucket", "5m"):
            rule = _recorded(f"{record}:rate5m", catalogue, promql.aggregate(Reduce.SUM, labels, expr), **_DIRECT)
            yield "service_buckets", service_bucket_pace(stem), rule
        for expr in _mapped(family, catalogue, "_bucket"):
            rule = _recorded(f"{record}:series", catalogue, promql.counted(labels, expr), **_DIRECT)
            yield "service_buckets", EACH_MINUTE, rule


def _mapped(family: str, catalogue: EngineCatalogue, part: str = "", window: str = "") -> Iterator[str]:
    """The family, or a part of a histogram, of replicas that are not probed; nothing where the engine has it not."""
    mapping = catalogue.families.get(family)
    if mapping is None:
        return
    alternatives = list(_alternatives(catalogue, mapping, _Reading(INFERENCE_FAMILIES[family].kind, part, window)))
    if alternatives:
        yield promql.unless_probed(promql.plausible(promql.first_of(alternatives)), catalogue.engine)


def _recorded(record: str, catalogue: EngineCatalogue, expr: str, **labels: str) -> Rule:
    return {"record": record, "labels": {"engine": catalogue.engine.value, **labels}, "expr": expr}


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
