"""The answer for a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recommender.diagnosis.text import escaped
from recommender.figures import figure
from recommender.model import KnobValue
from recommender.whatif.model import Input, Metric, Setting, WhatIf

_BYTES = frozenset({"kv_cache_memory_bytes", "kv_offload_bytes", "external_cache_bytes"})


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of cells under a head."""

    head: tuple[str, ...]
    rows: tuple[Sequence[str], ...]


def text(answer: WhatIf) -> str:
    """The whole answer as lines of plain text."""
    lines: list[str] = []
    for part in _parts(answer):
        lines += [part] if isinstance(part, str) else _aligned(part)
    return "\n".join(lines) + "\n"


def markdown(answer: WhatIf) -> str:
    """The whole answer as Markdown; what engines and people wrote is escaped."""
    lines: list[str] = []
    for part in _parts(answer):
        if isinstance(part, str):
            item = part.startswith("  ")
            lines.append(f"- {escaped(part.strip())}" if item else escaped(part) + ("  " if part else ""))
            continue
        lines += ["| " + " | ".join(part.head) + " |", "| --- |" + " ---: |" * (len(part.head) - 1)]
        lines += ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in part.rows]
    return "\n".join(lines) + "\n"


def _parts(answer: WhatIf) -> Iterator[str | _Table]:
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
        yield _Table(
            ("", "measured", "predicted now", "model error", "predicted after", "expected", "range", "objective"),
            tuple(_metric(metric) for metric in answer.metrics),
        )
        yield ""
        yield f"Limited by: {answer.limited_by or 'unknown'} now, {answer.limited_by_after or 'unknown'} after."
        yield "Expected: what is measured times predicted after over predicted now; range: low to high end of it, or of"
        yield "what is predicted after where nothing is measured. It is wide where nobody can tell: near saturation."
    else:
        yield "No prediction: something is unknown that it cannot go without."
    yield ""
    yield _Table(("from", "before", "after", "source"), tuple(_input(row) for row in answer.inputs))
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
    if setting.effect:
        yield f"    effect on a step: {setting.effect}"


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
    return (
        metric.name,
        figure(metric.measured, metric.unit),
        figure(metric.now, metric.unit),
        error,
        after,
        expected,
        _range(metric),
        _objective(metric),
    )


def _range(metric: Metric) -> str:
    ends = (metric.expected_low, metric.expected_high)
    if metric.expected is None and not (metric.grows and metric.measured is not None):
        ends = (metric.after_low, metric.after_high)
    if metric.after is None and not metric.grows:
        return ""
    low, high = ("grows" if end is None else figure(end, metric.unit) for end in ends)
    if low == high:
        return low
    number, _, unit = low.rpartition(" ")
    return f"{number if number and high.endswith(f' {unit}') else low} to {high}"


_VERDICTS = {"yes": "met", "likely": "likely met", "unlikely": "likely missed", "no": "missed", None: "unknown"}


def _objective(metric: Metric) -> str:
    if metric.objective is None:
        return ""
    return f"{figure(metric.objective, metric.unit)} {_VERDICTS[metric.objective_met]}"


def _input(row: Input) -> Sequence[str]:
    # A load is arrivals or clients, never both: the other one is none, not unknown.
    none = "-" if row.name in {"arrivals_per_second", "clients"} else "unknown"
    before, after = (none if value is None else figure(value, row.unit) for value in (row.before, row.after))
    return (row.name, before, after, row.source)


def _aligned(table: _Table) -> Iterator[str]:
    rows = [table.head, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
