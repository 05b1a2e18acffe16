"""What the recommender proposes in every story of the fault corpus, and whether it is what its playbook asks for.

    python -m bench.plans_bench [--only TEXT] [--hours] [--processes N] [--batch N]

A story is played, the shipped rules run over it in promtool, and evidence, diagnosis and plan are the recommender's
own at its end. Judged by demo/faults/plan_judge.py: playbook, knob and direction, value within 10 % of the formula done
by hand, legal for the engine and version, shown to fit; no change where all is well. Stories of hours and days are left
out unless --hours is given. Ends with status 1 where one is wrong.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import click

from demo.faults.corpus import corpus
from demo.faults.plan_judge import wrongs
from demo.faults.plans import Proposal, answers, propose, service_of
from demo.faults.promtool import Pack, Sample
from demo.faults.run import RULES, split
from demo.faults.scenario import Kind, Scenario
from recommender.model import Change

_SHORT_INTERVAL = 15.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One story: what was proposed, in a word, and what is wrong with it."""

    name: str
    kind: Kind
    bottleneck: str  # that is done, or that it only looks like; empty where it is neither
    engine: str
    hours: bool
    proposed: str  # empty where nothing is, not even advice
    wrong: tuple[str, ...]


@click.command()
@click.option("--only", default="", help="Only stories whose name contains this.")
@click.option("--processes", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--batch", type=int, default=16, show_default=True, help="Stories side by side in one promtool.")
@click.option("--hours", is_flag=True, help="Stories of hours, too, which take long.")
def main(only: str, processes: int, batch: int, *, hours: bool) -> None:
    """Print the table; status 1 where a proposal is wrong."""
    chosen = [one for one in corpus() if only in one.name and (hours or is_short(one))]
    began = time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        judged = [one for batch_of in pool.map(_judge, list(split(chosen, batch))) for one in batch_of]
    print("\n".join(table(judged)))
    wrong = [one for one in judged if one.wrong]
    for one in wrong:
        print(f"WRONG {one.name} ({one.engine}, {one.bottleneck or 'healthy'}): {'; '.join(one.wrong)}")
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(one.kind for one in judged).items()))
    of_hours, spent = sum(one.hours for one in judged), time.monotonic() - began
    print(f"{len(judged)} stories ({told}), of them {of_hours} of hours or days: {len(wrong)} wrong")
    print(f"{spent:.0f} s, {processes} processes")
    sys.exit(1 if wrong else 0)


def table(judged: Sequence[Judged]) -> Iterator[str]:
    """Markdown: of each class how many faults get their plan, which first, and how many look-alikes get none."""
    yield "| class | faults | right | proposed first | look-alikes | no change | not even advice |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name in sorted({one.bottleneck for one in judged if one.bottleneck}):
        yield _row(name, [one for one in judged if one.bottleneck == name])
    yield _row("none: healthy", [one for one in judged if not one.bottleneck])
    yield _row("**all**", judged, told=False)


def _row(name: str, judged: Sequence[Judged], *, told: bool = True) -> str:
    faults = [one for one in judged if one.kind is Kind.FAULT]
    others = [one for one in judged if one.kind is not Kind.FAULT]
    cells = (
        name,
        len(faults),
        _right(faults),
        _counted(one.proposed or "nothing" for one in faults) if told else "",
        len(others),
        _right(others),
        sum(not one.proposed for one in others),
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _right(judged: Iterable[Judged]) -> int:
    return sum(not one.wrong for one in judged)


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{word} ({count})" for word, count in sorted(Counter(words).items()))


def is_short(scenario: Scenario) -> bool:
    """Whether a story is one of minutes."""
    return scenario.interval == _SHORT_INTERVAL and scenario.week is None


def _judge(batch: Sequence[Scenario]) -> list[Judged]:
    return [
        _judged(scenario, propose(scenario, recorded, service_of(scenario)), recorded)
        for scenario, recorded in zip(batch, answers(batch, Pack(RULES)), strict=True)
    ]


def _judged(scenario: Scenario, found: Proposal, recorded: Sequence[Sample]) -> Judged:
    plan, done = found.plan, scenario.injected or scenario.looks_like
    if plan is None:
        proposed = ""
    elif plan.change is None:
        proposed = f"{plan.playbook} as advice"
    else:
        proposed = f"{plan.playbook} {plan.change.knob} {'up' if _raises(plan.change) else 'down'}"
    return Judged(
        name=scenario.name,
        kind=scenario.kind,
        bottleneck=done.value if done else "",
        engine=scenario.fleet.replicas[0].engine.value,
        hours=not is_short(scenario),
        proposed=proposed,
        wrong=tuple(wrongs(found, recorded)),
    )


def _raises(change: Change) -> bool:
    return not isinstance(change.new, str) and not isinstance(change.old, str) and change.new > change.old


if __name__ == "__main__":
    main()
