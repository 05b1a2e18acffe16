"""A site that loses a threshold gets silence and never a wrong alert, whichever threshold and whichever class.

Nothing is listed here: which rule needs which threshold is worked out from the rules, and the input that would make it
fire is that of the promtool tests, of which every alert has one (test_rule_coverage.py). So a new class is asked too.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from rules.input_series import seconds
from rules.pack import RULES_DIR, TESTS_DIR, Rule, load_rules
from rules.syntax import Aggregation, Binary, Call, Node, Series, parse, walk
from tests.helpers.lean_rules import files_of, lean

FIGURES = "thresholds.yml"
RULES = load_rules()
SOON_SECONDS = 1800
NAMES = sorted({rule.name for rule in RULES if rule.file == FIGURES})


class Without:
    """Which expressions give nothing while these thresholds are missing, whatever else there is."""

    def __init__(self, missing: frozenset[str]) -> None:
        self._missing = missing
        self._rules: dict[str, list[Rule]] = {}
        for rule in RULES:
            if not rule.is_alert:
                self._rules.setdefault(rule.name, []).append(rule)
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], bool] = {}

    def silent(self, node: Node) -> bool:
        """Whether the expression gives nothing."""
        match node:
            case Series():
                return self._silent_series(node)
            case Binary(operator="or"):
                return self.silent(node.left) and self.silent(node.right)
            case Binary():
                return self.silent(node.left) or (node.operator != "unless" and self.silent(node.right))
            case Call() | Aggregation():  # of a scalar that is missing NaN is left, which no comparison takes
                answers = isinstance(node, Call) and node.function.startswith("absent")
                return not answers and any(self.silent(argument) for argument in node.arguments)
            case _:
                return False

    def _silent_series(self, series: Series) -> bool:
        if series.name in self._missing:
            return dict(series.equal).get("service", "") == ""
        key = (series.name, series.equal)
        if key not in self._known:
            self._known[key] = False  # a record that reads itself is not silent for want of itself
            wanted = dict(series.equal)
            recording = [
                rule
                for rule in self._rules.get(series.name, ())
                if all(wanted.get(label, value) == value for label, value in rule.labels.items())
            ]
            self._known[key] = bool(recording) and all(self.silent(tree(rule)) for rule in recording)
        return self._known[key]


@cache
def _parsed(expr: str) -> Node:
    return parse(expr)


def tree(rule: Rule) -> Node:
    """A service's own figure is a site's; a site that has none is asked here."""
    expr = re.sub(r"max by \(service\) \(threshold:\w+\{service!=\"\"\}\)\nor\n", "", rule.expr)
    return _parsed(expr)


def reads_a_threshold(rule: Rule) -> bool:
    return any(isinstance(node, Series) and "threshold:" in node.name for node in walk(tree(rule)))


@dataclass(frozen=True)
class Seen:
    """A promtool test that sees an alert fire."""

    document: Mapping[str, Any]
    test: Mapping[str, Any]
    alert: str
    at: str


def _seen() -> Iterator[Seen]:
    for path in sorted(TESTS_DIR.glob("*.test.yml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if any(name.endswith(FIGURES) for name in document["rule_files"]):
            for test in document["tests"]:
                for check in test.get("alert_rule_test", ()):
                    if check["exp_alerts"]:
                        yield Seen(document, test, check["alertname"], check["eval_time"])


SEEN = tuple(_seen())
ALARMS = {rule.name: rule for rule in RULES if rule.is_alert}


def silenced(missing: Sequence[str]) -> list[str]:
    """Alerts that must be silent without these thresholds."""
    without = Without(frozenset(missing))
    return sorted(name for name, rule in ALARMS.items() if without.silent(tree(rule)))


def written(folder: Path, name: str, missing: Sequence[str], seen: Sequence[Seen]) -> Iterator[Path]:
    """One promtool test file for each of `seen`: the same input and rules, thresholds missing, and silence expected."""
    shipped = yaml.safe_load((RULES_DIR / FIGURES).read_text(encoding="utf-8"))
    for group in shipped["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["record"] not in missing]
    figures = folder / f"{name}.yml"
    figures.write_text(json.dumps(shipped), encoding="utf-8")  # JSON is YAML
    for number, one in enumerate(seen):
        files = [file for file in files_of(one.document, TESTS_DIR) if file.name != FIGURES]
        given = [each for each in one.test["input_series"] if not _is_missing(each["series"], missing)]
        test = {
            "interval": one.test["interval"],
            "input_series": given,
            "alert_rule_test": [{"alertname": one.alert, "eval_time": one.at, "exp_alerts": []}],
        }
        own = folder / f"{name}-{number}"
        own.mkdir()
        yield from lean({**one.document, "rule_files": [figures, *files], "tests": [test]}, own)


def _is_missing(series: str, missing: Sequence[str]) -> bool:
    name = series.partition("{")[0]
    return name.startswith(("threshold:", "service:threshold:")) and name.removeprefix("service:") in missing


def soonest(alerts: Sequence[str]) -> dict[str, Seen]:
    """Of each alert the test that sees it fire soonest."""
    found: dict[str, Seen] = {}
    for one in sorted(SEEN, key=lambda one: seconds(one.at)):
        if one.alert in alerts:
            found.setdefault(one.alert, one)
    return found


@pytest.mark.parametrize("alert", silenced(NAMES))
def test_without_any_threshold_an_alert_that_needs_one_is_silent(
    promtool: Callable[..., str], tmp_path: Path, alert: str
) -> None:
    promtool("test", "rules", *written(tmp_path, "none", NAMES, [soonest([alert])[alert]]))


def test_a_rule_that_reads_thresholds_needs_one_in_every_branch() -> None:
    without = Without(frozenset(NAMES))
    judging = [rule for rule in RULES if rule.is_alert or rule.name.endswith(":bottleneck:evidence")]
    asked = [rule for rule in judging if reads_a_threshold(rule)]
    assert len(asked) > len(judging) / 3
    assert [rule.place for rule in asked if not without.silent(tree(rule))] == []


@pytest.mark.parametrize("name", NAMES)
def test_without_one_threshold_an_alert_that_needs_it_is_silent(
    promtool: Callable[..., str], tmp_path: Path, name: str
) -> None:
    """One that fires soon: whichever it is, the same threshold is missing. Hours of input are asked once, above."""
    asked = [one for one in soonest(silenced([name])).values() if seconds(one.at) <= SOON_SECONDS][:1]
    if asked:
        promtool("test", "rules", *written(tmp_path, "without", [name], asked))
