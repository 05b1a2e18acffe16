"""What the recommender proposes in every story of the fault corpus, and whether it is what its playbook asks for.

    python -m bench.plans_bench [--only TEXT] [--processes N] [--batch N]

A story is played, the shipped rules run over it in promtool, and evidence, diagnosis and plan are the recommender's
own at its end. Judged by demo/faults/plan_judge.py: playbook, knob and direction, value within 10 % of the formula done
by hand, legal for the engine and version, shown to fit; no change where all is well. Stories of hours are left out
unless --hours is given. Ends with status 1 where one is wrong.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import click

from demo.faults.corpus import corpus
from demo.faults.plan_judge import wrongs
from demo.faults.plans import Proposal, answers, propose, service_of
from demo.faults.promtool import Pack, Sample
from demo.faults.run import RULES, split
from demo.faults.scenario import Scenario
from recommender.model import Change

_SHORT_INTERVAL = 15.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One story: what was proposed, in a word, and what is wrong with it."""

    name: str
    kind: str
    bottleneck: str
    engine: str
    proposed: str
    wrong: tuple[str, ...]


@click.command()
@click.option("--only", default="", help="Only stories whose name contains this.")
@click.option("--processes", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--batch", type=int, default=16, show_default=True, help="Stories side by side in one promtool.")
@click.option("--hours", is_flag=True, help="Stories of hours, too, which take long.")
def main(only: str, processes: int, batch: int, *, hours: bool) -> None:
    """Print the table; status 1 where a proposal is wrong."""
    chosen = [one for one in corpus() if only in one.name and (hours or _is_short(one))]
    began = time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        judged = [one for batch_of in pool.map(_judge, list(split(chosen, batch))) for one in batch_of]
    print("\n".join(table(judged)))
    wrong = [one for one in judged if one.wrong]
    for one in wrong:
        print(f"WRONG {one.name} ({one.engine}, {one.bottleneck}): {'; '.join(one.wrong)}")
    kinds = Counter(one.kind for one in judged)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"{len(judged)} stories ({told}), {len(wrong)} wrong; {time.monotonic() - began:.0f} s, {processes} processes"
    )
    sys.exit(1 if wrong else 0)


def table(judged: Sequence[Judged]) -> Iterator[str]:
    """Markdown: what is proposed for each class and engine, and how often."""
    yield "| class | engine | proposed | stories | wrong |"
    yield "| --- | --- | --- | --- | --- |"
    rows: Counter[tuple[str, str, str]] = Counter()
    wrong: Counter[tuple[str, str, str]] = Counter()
    for one in judged:
        rows[one.bottleneck, one.engine, one.proposed] += 1
        wrong[one.bottleneck, one.engine, one.proposed] += bool(one.wrong)
    for row in sorted(rows):
        yield f"| {' | '.join(row)} | {rows[row]} | {wrong[row]} |"


def _is_short(scenario: Scenario) -> bool:
    return scenario.interval == _SHORT_INTERVAL and scenario.week is None


def _judge(batch: Sequence[Scenario]) -> list[Judged]:
    return [
        _judged(scenario, propose(scenario, recorded, service_of(scenario)), recorded)
        for scenario, recorded in zip(batch, answers(batch, Pack(RULES), batch[0].duration), strict=True)
    ]


def _judged(scenario: Scenario, found: Proposal, recorded: Sequence[Sample]) -> Judged:
    plan = found.plan
    if plan is None:
        proposed = "nothing"
    elif plan.change is None:
        proposed = f"{plan.playbook} advice"
    else:
        proposed = f"{plan.playbook} {plan.change.knob} {'up' if _raises(plan.change) else 'down'}"
    return Judged(
        name=scenario.name,
        kind=scenario.kind.value,
        bottleneck=scenario.injected.value if scenario.injected else f"({scenario.kind.value})",
        engine=scenario.fleet.replicas[0].engine.value,
        proposed=proposed,
        wrong=tuple(wrongs(found, recorded)),
    )


def _raises(change: Change) -> bool:
    return not isinstance(change.new, str) and not isinstance(change.old, str) and change.new > change.old


if __name__ == "__main__":
    main()
