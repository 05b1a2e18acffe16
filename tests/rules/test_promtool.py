"""Every rule parses, every unit test passes, and no rule goes untested."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rules.build import source_files

TESTS = Path(__file__).parents[2] / "rules" / "tests"
GENERATED = {f"sources/{name}" for name in source_files()}
TEST_FILES = sorted(TESTS.glob("*.test.yml"))


def cases(kind: str) -> Iterator[dict[str, Any]]:
    """Every `promql_expr_test` or `alert_rule_test` entry of every test file."""
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            yield from test.get(kind, ())


def test_every_rule_file_is_valid(promtool: Callable[..., str], rule_files: list[Path]) -> None:
    output = promtool("check", "rules", *rule_files)
    assert output.count("SUCCESS") == len(rule_files)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name.removesuffix(".test.yml"))
def test_unit_tests_pass(promtool: Callable[..., str], path: Path) -> None:
    promtool("test", "rules", path)


def test_every_test_case_has_a_sentence_for_a_name() -> None:
    for path in TEST_FILES:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            assert len(test.get("name", "").split()) > 3, f"{path.name}: {test.get('name')!r}"


def test_every_hand_written_record_has_an_expected_sample(
    rules: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    # Source rules are generated from one table each and tested as such (test_source_rules.py).
    records = [rule for rule in rules if "record" in rule and rule["file"] not in GENERATED]
    expected = [sample["labels"] for case in cases("promql_expr_test") for sample in case.get("exp_samples") or ()]
    untested = [rule for rule in records if not any(is_sample_of(rule, labels) for labels in expected)]
    report(capsys, f"{len(records) - len(untested)} of {len(records)} recording rules are tested")
    assert not untested


def is_sample_of(rule: dict[str, Any], labels: str) -> bool:
    """Evidence is one name for many rules, told apart by their labels."""
    name, _, rest = labels.partition("{")
    return name == rule["record"] and all(f'{key}="{value}"' in rest for key, value in rule.get("labels", {}).items())


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")


def test_every_alert_is_seen_silent_and_firing(rules: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    silent = {case["alertname"] for case in cases("alert_rule_test") if not case["exp_alerts"]}
    firing = {case["alertname"] for case in cases("alert_rule_test") if case["exp_alerts"]}
    checks = sum(1 for _ in cases("alert_rule_test"))
    report(capsys, f"{len(alerts & firing)} of {len(alerts)} alerts are tested, by {checks} checks")
    assert firing == alerts
    assert silent == alerts - {"Watchdog"}, "a Watchdog is never silent; every other alert must be seen so"


def test_every_firing_alert_is_expected_with_all_its_labels_and_annotations() -> None:
    for case in cases("alert_rule_test"):
        for alert in case["exp_alerts"]:
            assert {"severity", "bottleneck", "kind"} <= alert["exp_labels"].keys(), case["alertname"]
            assert alert["exp_annotations"].keys() == {"summary", "description", "runbook_url"}, case["alertname"]
