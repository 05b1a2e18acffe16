"""The source rules of the prober's families, which are canonical already."""

from exporters.catalog import COMPANIONS, Reduce
from rules import promql
from rules.catalog import HISTOGRAMS, REPLICA_LABELS, SOURCE_COUNTERS, SOURCE_GAUGES, source_windows
from rules.generate.document import Rules

UP = "replica:llm_up"
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def probed_groups() -> dict[str, Rules]:
    """Groups of rules by name."""
    return {"gauges": _gauges(), "counters": _counters(), "histograms": _histograms()}


def _gauges() -> Rules:
    companions = "|".join(sorted(engine.value for engine in COMPANIONS))
    for record, family in SOURCE_GAUGES.items():
        if record == UP:
            labels = tuple(label for label in REPLICA_LABELS if label != "model")
            yield {"record": UP, "expr": promql.aggregate(Reduce.MAX, labels, f'{family}{{engine!~"{companions}"}}')}
        else:
            yield {"record": record, "expr": promql.aggregate(Reduce.MAX, REPLICA_LABELS, family)}


def _counters() -> Rules:
    for stem, family in SOURCE_COUNTERS.items():
        for window in source_windows(stem):
            expr = promql.aggregate(Reduce.SUM, REPLICA_LABELS, f"rate({family}[{window}])")
            yield {"record": f"{stem}:rate{window}", "expr": expr}


def _histograms() -> Rules:
    for stem, family in HISTOGRAMS.items():
        for part in HISTOGRAM_PARTS:
            labels = (*REPLICA_LABELS, "le") if part == "_bucket" else REPLICA_LABELS
            for window in source_windows(stem, part):
                expr = promql.aggregate(Reduce.SUM, labels, f"rate({family}{part}[{window}])")
                yield {"record": f"{stem}{part}:rate{window}", "expr": expr}
