"""Every rule parses and every unit test passes; that none goes untested is test_rule_coverage.py."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rules import plain_yaml
from tests.helpers.lean_rules import lean, read

TESTS = Path(__file__).parents[2] / "rules" / "tests"
TEST_FILES = sorted(TESTS.glob("*.test.yml"))


def cases(kind: str) -> Iterator[dict[str, Any]]:
    """Every `promql_expr_test` or `alert_rule_test` entry of every test file."""
    for path in TEST_FILES:
        for test in plain_yaml.read(path)["tests"]:
            yield from test.get(kind, ())


def test_every_rule_file_is_valid(promtool: Callable[..., str], rule_files: list[Path]) -> None:
    output = promtool("check", "rules", *rule_files)
    assert output.count("SUCCESS") == len(rule_files)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name.removesuffix(".test.yml"))
def test_unit_tests_pass(promtool: Callable[..., str], tmp_path: Path, path: Path) -> None:
    promtool("test", "rules", *lean(read(path), tmp_path))


def test_every_test_case_has_a_sentence_for_a_name() -> None:
    for path in TEST_FILES:
        for test in plain_yaml.read(path)["tests"]:
            assert len(test.get("name", "").split()) > 3, f"{path.name}: {test.get('name')!r}"


def test_every_firing_alert_is_expected_with_all_its_labels_and_annotations() -> None:
    for case in cases("alert_rule_test"):
        for alert in case["exp_alerts"]:
            assert {"severity", "bottleneck", "kind"} <= alert["exp_labels"].keys(), case["alertname"]
            assert alert["exp_annotations"].keys() == {"summary", "description", "runbook_url"}, case["alertname"]
