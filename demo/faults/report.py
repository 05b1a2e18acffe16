"""The tables that the benchmark prints."""

from collections import Counter
from collections.abc import Iterator, Sequence

from demo.faults.score import ClassScore, Verdict, accompanying, judged_classes, matrix
from demo.faults.timing import AlertTimes
from rules.catalog.alerts import Bottleneck


def confusion(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Rows: what was done; columns, by number: what a person was told of. `+`: a symptom of it or declared with it."""
    classes = judged_classes()
    cells = matrix(verdicts)
    declared = {one.outcome.scenario.injected: set[Bottleneck]() for one in verdicts}
    for one in verdicts:
        declared[one.outcome.scenario.injected] |= one.outcome.scenario.also
    runs = Counter(one.outcome.scenario.injected for one in verdicts)
    width = max(len(one.value) for one in classes)
    yield " " * (width + 9) + "".join(f"{number:>4}" for number in range(1, len(classes) + 1))
    for number, row in enumerate((*classes, None), start=1):
        name = row.value if row else "(all is well)"
        own = accompanying(row) | declared.get(row, set())
        line = "".join(_cell(cells[row, column], allowed=column in own) for column in classes)
        yield f"{number if row else '':>2} {name:<{width}} {runs[row]:>4} {line}"


def _cell(count: int, *, allowed: bool) -> str:
    if count == 0:
        return "   ."
    return f"{count:>3}{'+' if allowed else ' '}"


def quality(scores: Sequence[ClassScore]) -> Iterator[str]:
    """Precision and recall of each class."""
    width = max(len(one.bottleneck.value) for one in scores)
    yield f"{'class':<{width}}  runs  detected  false  precision  recall"
    for one in scores:
        yield (
            f"{one.bottleneck.value:<{width}}  {one.runs:>4}  {one.detected:>8}  {one.false:>5}"
            f"  {_ratio(one.precision):>9}  {_ratio(one.recall):>6}"
        )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def wrong(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Every run that was not judged as it was labelled, with what fired when."""
    for verdict in sorted(verdicts, key=lambda one: one.outcome.scenario.name):
        if verdict.right:
            continue
        scenario = verdict.outcome.scenario
        fired = ", ".join(f"{one.alert} at {one.first:g}s" for one in verdict.outcome.firings) or "nothing"
        notes = [f"false: {', '.join(sorted(verdict.false))}"] if verdict.false else []
        if verdict.missing:
            notes.append(f"missing: {', '.join(verdict.missing)}")
        if not notes:
            notes.append("muted by another alert")
        onset = "" if scenario.onset is None else f", onset {scenario.onset:g}s"
        yield f"{scenario.name} ({scenario.kind}{onset}): {'; '.join(notes)}; fired: {fired}"


def times(lines: Sequence[AlertTimes]) -> Iterator[str]:
    """Time from onset to firing, seconds, and what is allowed: window + `for` + two evaluations."""
    width = max((len(one.alert) for one in lines), default=5)
    yield f"{'alert':<{width}}  runs  median   worst  allowed = window + for + 2 evaluations"
    for one in lines:
        late = f"  LATE: {', '.join(one.late)}" if one.late else ""
        yield (
            f"{one.alert:<{width}}  {one.runs:>4}  {one.median:>6g}  {one.worst:>6g}"
            f"  {one.allowed:>7g} = {one.window:g} + {one.waits:g} + {one.intervals:g}{late}"
        )
