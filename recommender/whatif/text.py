"""The answer for a person."""

from collections.abc import Iterable, Iterator, Sequence

from recommender.figures import figure
from recommender.model import KnobValue
from recommender.whatif.model import Input, Metric, Setting, WhatIf

_BYTES = frozenset({"kv_cache_memory_bytes", "kv_offload_bytes", "external_cache_bytes"})


def text(answer: WhatIf) -> str:
    """The whole answer as lines of plain text."""
    return "\n".join(_lines(answer)) + "\n"


def _lines(answer: WhatIf) -> Iterator[str]:
    version = answer.engine_version or "of unknown version"
    yield f"{answer.service}, replica {answer.instance} ({answer.engine} {version}), {answer.at:%Y-%m-%d %H:%M:%S} UTC"
    if answer.signals == "raw":
        yield "Signals: the rules' expressions over the engine's own series; this Prometheus records none of them."
    yield ""
    for setting in answer.settings:
        yield from _setting(setting)
    yield f"Load: {answer.load}" + (f"; after: {answer.load_after}" if answer.load_after else "")
    yield f"Step: {answer.step}"
    if answer.memory is not None:
        verdict = {True: "fits", False: "DOES NOT FIT", None: "unknown"}[answer.memory.fits]
        yield f"Memory: {verdict}; {answer.memory.text}"
    yield ""
    if answer.metrics:
        yield from _table(
            ("", "measured", "predicted now", "model error", "predicted after", "expected", "objective"),
            [_metric(metric) for metric in answer.metrics],
        )
        yield f"Limited by: {answer.limited_by or 'unknown'} now, {answer.limited_by_after or 'unknown'} after."
        yield "Expected: what is measured times predicted after over predicted now."
    else:
        yield "No prediction: something is unknown that it cannot go without."
    yield ""
    yield from _table(("from", "before", "after", "source"), [_input(row) for row in answer.inputs])
    if answer.asks:
        yield ""
        yield "To be told:"
        yield from (f"  {ask.fact} ({ask.needed_for}): {ask.how}" for ask in answer.asks)
    if answer.notes:
        yield ""
        yield from (f"Note: {note}" for note in answer.notes)


def _setting(setting: Setting) -> Iterator[str]:
    old = "unknown" if setting.old is None else _value(setting.knob, setting.old)
    yield f"{setting.knob}: {old} → {_value(setting.knob, setting.new)}   {_written(setting)}"
    yield f"    {setting.apply}, risk {setting.risk}: {setting.cost}"


def _written(setting: Setting) -> str:
    """As the engine's command line has it; a switch is a flag without a value."""
    if setting.engine_new is None:
        return f"{setting.flag} left out"
    switch = isinstance(setting.engine_new, bool) and (setting.engine_new or setting.flag.startswith("--no"))
    return setting.flag if switch else f"{setting.flag} {setting.engine_new}"


def _value(knob: str, value: KnobValue) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else figure(value, "bytes" if knob in _BYTES else "")


def _metric(metric: Metric) -> Sequence[str]:
    error = "" if metric.error is None else f"{100 * metric.error:+.1f} %"
    after = "grows" if metric.grows else figure(metric.after, metric.unit)
    expected = "grows" if metric.grows else figure(metric.expected, metric.unit)
    objective = ""
    if metric.objective is not None:
        met = None if metric.expected is None else metric.expected <= metric.objective
        verdict = {True: "met", False: "missed", None: "unknown"}[False if metric.grows else met]
        objective = f"{figure(metric.objective, metric.unit)} {verdict}"
    return (
        metric.name,
        figure(metric.measured, metric.unit),
        figure(metric.now, metric.unit),
        error,
        after,
        expected,
        objective,
    )


def _input(row: Input) -> Sequence[str]:
    # A load is arrivals or clients, never both: the other one is none, not unknown.
    none = "-" if row.name in {"arrivals_per_second", "clients"} else "unknown"
    before, after = (none if value is None else figure(value, row.unit) for value in (row.before, row.after))
    return (row.name, before, after, row.source)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
