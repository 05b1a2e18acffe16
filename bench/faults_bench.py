"""How well the shipped rules tell what limits a fleet: the fault corpus (demo/faults) through promtool.

    python -m bench.faults_bench [--only TEXT] [--rules FOLDER] [--seed-shift N] [--slowest-order]

Prints the confusion matrix, precision and recall of every class, every run that was judged wrongly, and how long each
alert took. Ends with status 1 where a target is missed: 0.98 of precision and recall for each class, no alert where
all is well, no alert later than its window, its `for` and two evaluations.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from demo.faults import report
from demo.faults.corpus import corpus
from demo.faults.inhibition import shipped
from demo.faults.promtool import Pack
from demo.faults.run import RULES, run
from demo.faults.scenario import Kind, reseeded
from demo.faults.score import ClassScore, Verdict, judge, scores
from demo.faults.timing import AlertTimes, by_alert, detections, waits
from rules.input_series import seconds
from rules.pack import load_rules

TARGET = 0.98


@click.command()
@click.option("--only", default="", help="Only scenarios whose name contains this.")
@click.option(
    "--rules",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=RULES,
    help="The rule pack to judge; default: this repository's.",
)
@click.option("--seed-shift", type=int, default=0, help="Other chance in every scenario: this is added to its seeds.")
@click.option("--slowest-order", is_flag=True, help="Evaluate each group before those that it reads.")
@click.option("--processes", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--batch", type=int, default=16, show_default=True, help="Scenarios side by side in one promtool.")
def main(only: str, rules: Path, seed_shift: int, processes: int, batch: int, *, slowest_order: bool) -> None:
    """Judge the rules by the fault corpus."""
    chosen = [reseeded(one, seed_shift) for one in corpus() if only in one.name]
    started = time.monotonic()
    muting = shipped()
    outcomes = run(chosen, Pack(rules, reversed=slowest_order), processes=processes, size=batch)
    verdicts = [judge(outcome, muting) for outcome in outcomes]
    pack = load_rules(rules)
    waiting = waits(pack, {rule.waits: seconds(rule.waits) for rule in pack})
    lines = by_alert(detections(verdicts, waiting), verdicts, waiting)
    found = scores(verdicts)
    kinds = Counter(one.kind for one in chosen)
    print(
        f"{len(chosen)} runs: {kinds[Kind.FAULT]} faults, {kinds[Kind.LOOKALIKE]} look-alikes, "
        f"{kinds[Kind.HEALTHY]} healthy; {time.monotonic() - started:.0f} s on {processes} processes"
    )
    _print("confusion", report.confusion(verdicts))
    _print("precision and recall", report.quality(found))
    _print("judged wrongly", report.wrong(verdicts))
    _print("seconds from onset to alert", report.times(lines))
    sys.exit(0 if _met(verdicts, found, lines) else 1)


def _print(title: str, lines: Iterable[str]) -> None:
    print(f"\n-- {title}")
    for line in lines:
        print(line)


def _met(verdicts: list[Verdict], found: list[ClassScore], lines: list[AlertTimes]) -> bool:
    well = [verdict for verdict in verdicts if verdict.outcome.scenario.injected is None]
    ratios = [ratio for one in found for ratio in (one.precision, one.recall) if ratio is not None]
    return (
        all(ratio >= TARGET for ratio in ratios)
        and not any(verdict.outcome.firings for verdict in well)
        and not any(line.late for line in lines)
    )


if __name__ == "__main__":
    main()
