"""Some scenarios through the shipped rules in the real rule engine; the whole corpus is bench/faults_bench.py."""

import pytest

from demo.faults.corpus import corpus
from demo.faults.inhibition import shipped
from demo.faults.promtool import Pack
from demo.faults.run import RULES, run_batch, signals_at
from demo.faults.score import judge

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]
SHORT = 780.0
CHOSEN = (
    "admission-plateau",
    "kv-recorded-sawtooth-direct",
    "thermal-hardware-dcgm-105",
    "frozen-sglang-probed",
    "down-one-of-2",
    "kv-full-batch-vllm",
    "frozen-idle-tgi",
    "healthy-recorded-steady-direct",
)


def test_faults_are_told_of_and_their_look_alikes_are_not() -> None:
    chosen = [one for one in corpus() if one.name in CHOSEN]
    assert len(chosen) == len(CHOSEN)
    assert {one.duration for one in chosen} == {SHORT}

    verdicts = [judge(outcome, shipped()) for outcome in run_batch(chosen, Pack(RULES))]

    assert {one.outcome.scenario.name: sorted(one.false) for one in verdicts if not one.right} == {}


def test_the_signals_of_a_scenario_can_be_read_at_the_moment_of_its_alert() -> None:
    (down,) = [one for one in corpus() if one.name == "down-only-vllm-probed"]

    found = {one.labels["__name__"]: one.value for one in signals_at(down, Pack(RULES), at=330.0)}

    assert found["replica:llm_up"] == 0
    assert found["service:bottleneck:evidence"] == 0
