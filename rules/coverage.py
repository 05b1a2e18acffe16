"""`optiinfra rules coverage`: rules that no promtool test has seen.

A recording rule is tested by a sample with its name and its labels that a test expects; an alert by being seen silent
and firing. A test counts for the rule files that it loads. Source rules that `optiinfra build rules` writes come from
one table each; tests read every captured page through all of them (tests/rules/test_source_parity.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from rules.pack import Rule, RuleTest, load_rules, load_tests
from rules.syntax import Series, parse, walk

ALWAYS_FIRING = frozenset({"Watchdog"})


@dataclass(frozen=True, slots=True)
class Gap:
    """A rule and what no test shows of it."""

    rule: Rule
    missing: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rules were asked for, and those of them that lack a test."""

    rules: int
    gaps: Sequence[Gap]

    @property
    def ratio(self) -> float:
        """Tested rules over all; 1 where there are none."""
        return 1 - len({gap.rule.place for gap in self.gaps}) / self.rules if self.rules else 1.0


def coverage_of(rules: Sequence[Rule], tests: Sequence[RuleTest]) -> Coverage:
    """Look for a test of every rule that is written by hand."""
    asked = [rule for rule in rules if not rule.generated]
    return Coverage(len(asked), [gap for rule in asked for gap in _gaps(rule, tests)])


def _gaps(rule: Rule, tests: Sequence[RuleTest]) -> Iterator[Gap]:
    loading = [test for test in tests if rule.file in test.rule_files]
    if not rule.is_alert:
        if not any(_shows(query, rule) for test in loading for query in test.queries):
            yield Gap(rule, "no test expects a sample of it")
        return
    checks = [check["exp_alerts"] for test in loading for check in test.alerts if check["alertname"] == rule.name]
    if not any(checks):
        yield Gap(rule, "no test sees it fire")
    if all(checks) and rule.name not in ALWAYS_FIRING:
        yield Gap(rule, "no test sees it silent")


def _shows(query: Mapping[str, Any], rule: Rule) -> bool:
    """Whether it expects a sample of the rule. A sample loses its name where the query calculates with the record."""
    for sample in query.get("exp_samples") or ():
        name, _, labels = str(sample["labels"]).partition("{")
        named = name == rule.name or (not name and _reads(str(query["expr"]), rule.name))
        # Evidence is one name for many rules, told apart by their labels.
        if named and all(f'{key}="{value}"' in labels for key, value in rule.labels.items()):
            return True
    return False


def _reads(expr: str, record: str) -> bool:
    return any(isinstance(node, Series) and node.name == record for node in walk(parse(expr)))


@click.command("coverage")
def coverage() -> None:
    """List the rules without a test; fail below 100 %."""
    rules, tests = load_rules(), load_tests()
    if not tests:
        raise click.ClickException("no promtool tests: they are in the repository and not in the installed package")
    found = coverage_of(rules, tests)
    for gap in found.gaps:
        click.echo(f"{gap.rule.place}: {gap.missing}")
    generated = len(rules) - found.rules
    told = f"{found.ratio:.1%} of {found.rules} rules tested by {len(tests)} tests, besides {generated} source rules"
    if found.gaps:
        raise click.ClickException(told)
    click.echo(told)
