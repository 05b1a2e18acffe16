"""Each GPU source records what `GIVEN` says that it can, with the same meaning, and every record of it is tested."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rules.catalog.gpu_signals import GIVEN, GPU_SIGNALS

RULES = Path(__file__).parents[2] / "rules"
STEPS = {"dcgm": {"instance:dcgm_gpu:labels"}, "nvidia_gpu_exporter": {"instance:nvidia_smi_gpu:labels"}}
NAMES = {signal.name for signal in GPU_SIGNALS} - {"gpu:bottleneck:evidence"}


def recorded(source: str) -> list[str]:
    text = (RULES / "sources" / f"{source}.yml").read_text(encoding="utf-8")
    return [rule["record"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def unit_tests(source: str) -> list[dict[str, Any]]:
    text = (RULES / "tests" / f"{source}.test.yml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["tests"])


@pytest.mark.parametrize("source", GIVEN)
def test_a_source_records_the_signals_that_it_can_give(source: str) -> None:
    assert sorted(recorded(source)) == sorted(GIVEN[source] | STEPS.get(source, set()))


@pytest.mark.parametrize("source", GIVEN)
def test_every_record_of_a_source_is_tested_with_a_value(source: str) -> None:
    cases = [case for test in unit_tests(source) for case in test["promql_expr_test"]]
    seen = {case["expr"] for case in cases if case["exp_samples"]}
    assert set(recorded(source)) <= seen


def test_a_gpu_has_at_most_thirty_series_and_its_signals_come_from_some_source() -> None:
    for source in GIVEN:
        assert len(set(recorded(source))) <= 30, source
    assert set().union(*GIVEN.values()) == NAMES
