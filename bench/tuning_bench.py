"""How far the recommender's own plans lead from ten bad configurations, against the best of an exhaustive grid.

    python -m bench.tuning_bench [--processes N] [--start NAME ...]

The fleet is simulated in virtual time (demo/tuning); evidence comes from the shipped rules through promtool, and
diagnosis and plans are the recommender's own. Goodput: requests per second and replica that keep both objectives.
"""

import argparse
import os
import time
from collections.abc import Sequence

from demo.faults.promtool import Pack
from demo.faults.run import RULES
from demo.tuning.climb import MOST_CHANGES, Climb, Turn, climb
from demo.tuning.grid import Best, best
from demo.tuning.starts import STARTS
from demo.tuning.worth import Work

ENOUGH = 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a start does not reach 95 % of the best within four changes."""
    parser = argparse.ArgumentParser("bench.tuning_bench", description=__doc__)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--start", action="append", choices=[name for name, _, _ in STARTS], help="only these")
    options = parser.parse_args(arguments)
    chosen = [one for one in STARTS if not options.start or one[0] in options.start]
    began = time.monotonic()
    bests = {work: best(work, processes=options.processes) for work in dict.fromkeys(work for _, _, work in chosen)}
    for work, found in bests.items():
        print(f"best of {found.tried} for {work.name}: {found.configuration}: {found.goodput:.2f} requests/s")
    searched = time.monotonic() - began
    ways = climb([(start, work) for _, start, work in chosen], Pack(RULES))
    print("\n".join(table([name for name, _, _ in chosen], ways, bests)))
    reached = sum(_ratio(way, bests[way.work]) >= ENOUGH for way in ways)
    print(f"{reached} of {len(ways)} reach {ENOUGH:.0%} of the best in at most {MOST_CHANGES} changes")
    print(f"grid {searched:.0f} s, plans {time.monotonic() - began - searched:.0f} s, {options.processes} processes")
    return 0 if reached == len(ways) else 1


def table(names: Sequence[str], ways: Sequence[Climb], bests: dict[Work, Best]) -> list[str]:
    """Markdown, a row a start."""
    rows = [
        "| start | settings | goodput, 1/s | changes | then | of the best |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, way in zip(names, ways, strict=True):
        changes = "; ".join(
            f"{turn.playbook} {turn.change.knob} {turn.change.old} → {turn.change.new}"
            f"{_beside(turn)}{'' if turn.kept else ' (taken back)'}"
            for turn in way.turns
        )
        rows.append(
            f"| {name} ({way.work.name}) | {way.start} | {way.start_worth.goodput:.2f} | {changes or 'none'} | "
            f"{way.end[1].goodput:.2f} | {_ratio(way, bests[way.work]):.0%} |"
        )
    return rows


def _beside(turn: Turn) -> str:
    return "".join(f", {key} {turn.change.sets_old.get(key)} → {new}" for key, new in turn.change.sets.items())


def _ratio(way: Climb, found: Best) -> float:
    return way.end[1].goodput / found.goodput


if __name__ == "__main__":
    raise SystemExit(main())
