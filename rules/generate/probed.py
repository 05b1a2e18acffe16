"""The source rules of the prober's families, which are canonical already."""

from collections.abc import Iterator

from exporters.catalog import COMPANIONS, INFERENCE_FAMILIES, Reduce, own_labels
from rules import promql
from rules.catalog import (
    AT_ONCE,
    EACH_MINUTE,
    HISTOGRAMS,
    REPLICA_LABELS,
    SERVICE_BUCKETS,
    SERVICE_LABELS,
    SOURCE_COUNTERS,
    SOURCE_GAUGES,
    SOURCE_INFOS,
    service_bucket_pace,
    service_stem,
    source_pace,
    source_windows,
)
from rules.generate.document import Group, Rule, by_pace

UP = "replica:llm_up"
UP_LABELS = tuple(label for label in REPLICA_LABELS if label != "model")
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
BUCKET_LABELS = (*SERVICE_LABELS, "engine", "le")


def probed_groups() -> list[Group]:
    """The groups of the file."""
    return by_pace([*_gauges(), *_infos(), *_counters(), *_histograms(), *_service_buckets()])


_Paced = Iterator[tuple[str, str, Rule]]


def _gauges() -> _Paced:
    companions = "|".join(sorted(engine.value for engine in COMPANIONS))
    for record, family in SOURCE_GAUGES.items():
        if record == UP:
            expr = promql.aggregate(Reduce.MAX, UP_LABELS, f'{family}{{engine!~"{companions}"}}')
            yield "gauges", AT_ONCE, {"record": UP, "expr": expr}
        else:
            expr = promql.aggregate(Reduce.MAX, REPLICA_LABELS, family)
            yield "gauges", source_pace(record), {"record": record, "expr": expr}


def _infos() -> _Paced:
    for record, family in SOURCE_INFOS.items():
        labels = (*UP_LABELS, *own_labels(INFERENCE_FAMILIES[family]))
        yield "gauges", EACH_MINUTE, {"record": record, "expr": f"group by ({', '.join(labels)}) ({family})"}


def _counters() -> _Paced:
    for stem, family in SOURCE_COUNTERS.items():
        for window in source_windows(stem):
            expr = promql.aggregate(Reduce.SUM, REPLICA_LABELS, f"rate({family}[{window}])")
            yield "counters", source_pace(stem, window), {"record": f"{stem}:rate{window}", "expr": expr}


def _histograms() -> _Paced:
    for stem, family in HISTOGRAMS.items():
        for part in HISTOGRAM_PARTS:
            labels = (*REPLICA_LABELS, "le") if part == "_bucket" else REPLICA_LABELS
            for window in source_windows(stem, part):
                expr = promql.aggregate(Reduce.SUM, labels, f"rate({family}{part}[{window}])")
                name = "buckets" if part == "_bucket" else "histograms"
                yield name, source_pace(stem, window), {"record": f"{stem}{part}:rate{window}", "expr": expr}


def _service_buckets() -> _Paced:
    for stem in SERVICE_BUCKETS:
        buckets, record = f"{HISTOGRAMS[stem]}_bucket", f"{service_stem(stem)}_bucket"
        rate = promql.aggregate(Reduce.SUM, BUCKET_LABELS, f"rate({buckets}[5m])")
        yield "service_buckets", service_bucket_pace(stem), {"record": f"{record}:rate5m", "expr": rate}
        counted = promql.counted(BUCKET_LABELS, buckets)
        yield "service_buckets", EACH_MINUTE, {"record": f"{record}:series", "expr": counted}
