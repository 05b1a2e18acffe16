"""The rules keep the conventions of `rules/lint.py`, and a rule that breaks one is found."""

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from rules.input_series import early_ends, samples, seconds
from rules.label_sets import LabelSets
from rules.lint import CHECKS, Finding, findings, lint
from rules.pack import RULES_DIR, Rule, RuleTest, load_rules, load_tests
from rules.syntax import Aggregation, Binary, Number, Series, parse, walk

RULES = load_rules()


def rule(expr: str, name: str = "replica:made_up", file: str = "bottlenecks/made_up.yml", **labels: str) -> Rule:
    return Rule(file, "made_up", name, is_alert=":" not in name, expr=expr, labels=labels, annotations={})


@pytest.fixture(scope="module")
def found() -> list[Finding]:
    return findings(RULES, load_tests())


@pytest.mark.parametrize("check", CHECKS)
def test_the_pack_is_clean(check: str, found: list[Finding]) -> None:
    assert [f"{each.place}: {each.text}" for each in found if each.check == check] == []


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        ("matching", rule("replica:llm_requests_running > threshold:queue_length_per_replica")),
        ("matching", rule("replica:llm_requests_running and replica:llm_up == 1")),
        ("matching", rule('replica:llm_requests_running and replica:bottleneck:evidence{bottleneck="target_down"}')),
        ("matching", rule("replica:llm_requests_running > on (service) service:objective:error_ratio")),
        ("matching", rule("replica:llm_requests_running * on (node) group_left () gpu:gpu_power_watts")),
        ("matching", rule("service:llm_requests:rate5m and on (instance) replica:llm_requests_running")),
        ("matching", rule("sum by (service) (up) / (sum by (node) (up) > 0)", "service:made_up")),
        ("level", rule("sum by (service) (replica:llm_requests_running)")),
        ("level", rule("avg by (gpu) (gpu:gpu_power_watts)", "node:made_up")),
        ("figures", rule("replica:llm_kv_cache_usage:avg2m > 0.9")),
        ("figures", rule("replica:llm_kv_cache_usage:avg2m > 0.9", "Alarm")),
        ("thresholds", rule("replica:llm_load:avg2m > on () group_left () threshold:load_skew_min_requests")),
        ("thresholds", rule('up > on () group_left () threshold:min_ttft_events{service=""}', "LLMQueueBuildup")),
        ("thresholds", rule("up > on () group_left () threshold:disk_busy_high_ratio", "node:made_up")),
        (
            "thresholds",
            replace(rule("up", "GPUIdle"), annotations={"a": '{{ query "threshold:gpu_memory_held_ratio" }}'}),
        ),
        ("threshold file", rule("vector(1)", "threshold:min_ttft_event", "thresholds.yml")),
        ("threshold file", rule("vector(1)", "threshold:disk_busy_high_ratio", "thresholds.yml", service="chat")),
        ("denominators", rule("replica:llm_preemptions:rate5m / replica:llm_requests:rate5m")),
        ("denominators", rule("replica:llm_preemptions:rate5m / (replica:llm_requests:rate5m >= 0)")),
        ("values in labels", rule("up", "Alarm", usage="{{ $value }}")),
        ("utilization alone", rule("gpu:gpu_utilization:ratio > 0", "gpu:bottleneck:evidence")),
        (
            "utilization alone",
            rule("max by (node) (gpu:gpu_utilization:ratio) > on () group_left () threshold:x", "Alarm"),
        ),
        ("known series", rule("replica:llm_request_running > 0")),
        ("known series", rule('{__name__=~"llm_mistyped_.*"} > 0')),
        ("known series", rule("node_load1 > 0", file="sources/made_up.yml")),
    ],
)
def test_a_broken_rule_is_found(check: str, broken: Rule) -> None:
    place = broken.file if check == "threshold file" else broken.place
    assert (check, place) in {(each.check, each.place) for each in findings([*RULES, broken], [])}


@pytest.mark.parametrize(
    "expr",
    [
        "replica:llm_requests_running > on (service) group_left () service:threshold:queue_length_per_replica",
        'gpu:gpu_power_watts > on () group_left () threshold:disk_busy_high_ratio{service=""}',
        "service:llm_replicas:count == service:llm_replicas_up:count",  # these two know no model
        "sum by (service, model) (replica:llm_requests_running) + service:llm_requests_waiting:sum",
        "histogram_quantile(1, replica:llm_ttft_seconds_bucket:rate1m) and replica:llm_requests_running > 0",
        "replica:llm_requests_running - replica:llm_requests_running offset 5m",
        "rate(llm_requests_total[1m]) and on (instance) llm_up",  # nothing is known of an exporter's series
        "gpu:gpu_utilization:ratio == 0 and gpu:gpu_power_watts > 0",
        'absent(replica:llm_up) or vector(1) == 1 and on () up{job="node"} == 0',
    ],
)
def test_sides_that_match_are_not_found(expr: str) -> None:
    assert list(LabelSets(RULES).problems(parse(expr))) == []


def test_operators_bind_as_in_prometheus() -> None:
    tree = parse("a or b and c / d > bool 2 ^ -1 ^ 2 # a comment\n unless d")
    assert isinstance(tree, Binary)
    assert (tree.operator, tree.left) == ("or", Series("a"))
    right = tree.right
    assert isinstance(right, Binary)
    assert (right.operator, right.right) == ("unless", Series("d"))
    assert [node.operator for node in walk(right) if isinstance(node, Binary)] == [
        "unless",
        "and",
        ">",
        "/",
        "^",
        "*",
        "^",
    ]


def test_selectors_windows_and_clauses_are_read() -> None:
    total = 'sum(rate(a{x="1",y=~"b|c"}[5m:30s] offset 1h30m)) without (x)'
    tree = parse(f'{total} * on (n) group_left (m) {{__name__=~"q.*"}} @ end()')
    assert isinstance(tree, Binary)
    assert (tree.matching, tree.labels, tree.group, tree.included) == ("on", {"n"}, "group_left", {"m"})
    assert tree.right == Series("", (), "q.*")
    assert isinstance(tree.left, Aggregation)
    assert (tree.left.without, tree.left.labels) == (True, {"x"})
    assert Series("a", (("x", "1"),)) in list(walk(tree))
    assert parse("0x1F + Inf") == Binary("+", Number(31), Number(float("inf")))


@pytest.mark.parametrize("text", ["a +", "a b", "sum by (x", "a ? b", "(a"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read|expected"):
        parse(text)


def test_input_that_ends_before_the_last_check_is_found_unless_the_end_is_meant() -> None:
    check = ({"expr": "a", "eval_time": "1m30s", "exp_samples": []},)

    def ended(values: str) -> bool:
        test = RuleTest("a.test.yml", "a", "15s", frozenset(), ({"series": "a", "values": values},), check, ())
        return bool(list(early_ends(test)))

    assert [ended(values) for values in ("1+0x6", "1x6", "1 2 3 4 5 6 7", "_x3 1+0x3")] == [False] * 4
    assert [ended(values) for values in ("1+0x5", "1x5", "1 2 3", "_x3 1+0x2")] == [True] * 4
    assert [ended(values) for values in ("1 stale", "1 _", "1 _x3")] == [False] * 3
    assert (samples("1-2x3 _x4 stale"), seconds("1h1m1s500ms"), seconds("0")) == ((9, True), 3661.5, 0)


def test_the_command_lists_what_is_wrong_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.lint.load_tests", list)
    monkeypatch.setattr("rules.lint.load_rules", lambda: [rule("replica:made_up > 0.9")])
    told = CliRunner().invoke(lint)
    assert told.exit_code == 1
    assert "bottlenecks/made_up.yml: replica:made_up: 0.9 belongs in thresholds.yml [figures]" in told.output
    monkeypatch.setattr("rules.lint.load_rules", lambda: [replace(rule("vector(1)"), labels={})])
    assert CliRunner().invoke(lint).exit_code == 0


def test_the_handbook_names_every_check() -> None:
    page = (RULES_DIR.parent / "docs" / "rules.md").read_text(encoding="utf-8")
    table = page[page.index("| check | finds |") :]
    assert re.findall(r"^\| ([a-z ]+) \| (?!finds)", table, re.MULTILINE) == list(CHECKS)
