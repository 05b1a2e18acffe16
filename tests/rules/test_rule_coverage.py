"""No rule goes untested, and a rule that does is found."""

import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from rules.coverage import coverage, coverage_of
from rules.pack import Rule, RuleTest, load_rules, load_tests

RECORD = Rule("a.yml", "a", "replica:x:evidence", is_alert=False, expr="up", labels={"bottleneck": "b"}, annotations={})
ALERT = Rule("a.yml", "a", "Alarm", is_alert=True, expr="up", labels={"severity": "info"}, annotations={})
SAMPLE = {"labels": 'replica:x:evidence{bottleneck="b",instance="i"}', "value": 1}
TEST = RuleTest(
    file="a.test.yml",
    name="all is told",
    interval="1m",
    rule_files=frozenset({"a.yml"}),
    series=(),
    queries=({"expr": "replica:x:evidence", "eval_time": "1m", "exp_samples": [SAMPLE]},),
    alerts=(
        {"alertname": "Alarm", "eval_time": "0m", "exp_alerts": []},
        {"alertname": "Alarm", "eval_time": "1m", "exp_alerts": [{"exp_labels": {}}]},
    ),
)


def test_every_rule_is_tested(capsys: pytest.CaptureFixture[str]) -> None:
    found = coverage_of(load_rules(), load_tests())
    with capsys.disabled():
        sys.stdout.write(f"\n{found.ratio:.1%} of {found.rules} hand-written rules are tested\n")
    assert [f"{gap.rule.place}: {gap.missing}" for gap in found.gaps] == []


def test_a_rule_is_tested_by_a_sample_with_its_labels_and_by_an_alert_silent_and_firing() -> None:
    assert coverage_of([RECORD, ALERT], [TEST]).ratio == 1


@pytest.mark.parametrize(
    ("test", "missing"),
    [
        (replace(TEST, queries=()), ["no test expects a sample of it"]),
        (replace(TEST, alerts=TEST.alerts[:1]), ["no test sees it fire"]),
        (replace(TEST, alerts=TEST.alerts[1:]), ["no test sees it silent"]),
        (replace(TEST, alerts=()), ["no test sees it fire", "no test sees it silent"]),
        (
            replace(TEST, rule_files=frozenset({"b.yml"})),
            ["no test expects a sample of it", "no test sees it fire", "no test sees it silent"],
        ),
    ],
)
def test_what_no_test_shows_is_named(test: RuleTest, missing: list[str]) -> None:
    found = coverage_of([RECORD, ALERT], [test])
    assert [gap.missing for gap in found.gaps] == missing
    assert found.ratio < 1


def test_a_sample_without_a_name_counts_where_the_query_reads_the_record() -> None:
    nameless = {"labels": '{bottleneck="b"}', "value": 1}
    query = {"eval_time": "1m", "exp_samples": [nameless]}
    reading = replace(TEST, queries=({"expr": "ceil(replica:x:evidence)", **query},))
    assert coverage_of([RECORD], [reading]).gaps == []
    other = replace(TEST, queries=({"expr": "ceil(replica:x:other)", **query},))
    assert len(coverage_of([RECORD], [other]).gaps) == 1


def test_the_same_record_with_another_label_is_another_rule() -> None:
    other = replace(RECORD, labels={"bottleneck": "c"})
    assert [gap.rule for gap in coverage_of([RECORD, other, ALERT], [TEST]).gaps] == [other]


def test_the_command_says_how_many_are_tested_and_fails_below_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.coverage.load_rules", lambda: [RECORD, ALERT])
    monkeypatch.setattr("rules.coverage.load_tests", lambda: [TEST])
    told = CliRunner().invoke(coverage)
    assert (told.exit_code, told.output) == (0, "100.0% of 2 rules tested by 1 tests, besides 0 source rules\n")
    monkeypatch.setattr("rules.coverage.load_tests", lambda: [replace(TEST, queries=())])
    told = CliRunner().invoke(coverage)
    assert told.exit_code == 1
    assert "a.yml: replica:x:evidence, bottleneck=b: no test expects a sample of it" in told.output
