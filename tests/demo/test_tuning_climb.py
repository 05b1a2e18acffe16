"""From a bad configuration to a good one by plans alone; all ten starts, and the grid, are bench/tuning_bench.py."""

import pytest

from demo.faults.promtool import Pack
from demo.faults.run import RULES
from demo.tuning.climb import climb, mean_worth
from demo.tuning.configuration import Configuration
from demo.tuning.starts import CHAT, STARTS

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
BEST = Configuration(128, 2048, 0.87)
"""As good as any of the grid for this work: nobody waits, nothing is preempted."""


def test_steps_that_are_too_small_are_widened_until_nobody_waits() -> None:
    (start, work) = next((start, work) for name, start, work in STARTS if name == "steps too small")
    assert work == CHAT
    (way,) = climb([(start, work)], Pack(RULES), changes=1)
    (turn,) = way.turns
    assert (turn.playbook, turn.change.knob, turn.change.old, turn.change.new) == (
        "P05.3",
        "max_batched_tokens",
        128,
        256,
    )
    assert turn.kept
    assert way.start_worth.broken(work) == ("ttft",)
    assert way.end[1].broken(work) == ()
    assert way.end[1].goodput >= 0.95 * mean_worth(BEST, work).goodput
