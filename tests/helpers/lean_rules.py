"""promtool tests with the rules that can say something: the same verdicts for a third of the evaluations.

promtool evaluates every rule of a test's files at every step. Two kinds change nothing there, and are left out:

- those that give nothing whatever happens, because what they need has no series in the input and is recorded by no rule
  that gives something. An expression without a sample on a side that it needs is empty, and cannot fail either;
- figures (thresholds, shipped or of a service) that no other rule and no query of the test reads.

What a test asks for, and all that this is made of, is evaluated in any case: its silence is Prometheus's, not ours.
Whatever cannot be told, a name that is matched by a pattern for instance, is kept.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rules import plain_yaml
from rules.syntax import Aggregation, Binary, Call, Node, Series, parse, walk

RuleEntry = Mapping[str, Any]
_Texts = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # makes nothing but texts, lists and maps
_FIGURES = ("threshold:", "service:threshold:")
_BY_PROMETHEUS = ("ALERTS",)  # and ALERTS_FOR_STATE


@cache
def _tree(expr: str) -> Node:
    return parse(expr)


@cache
def _reads(expr: str) -> frozenset[str]:
    """Names of series; "" for one that is matched by a pattern."""
    return frozenset(node.name for node in walk(_tree(expr)) if isinstance(node, Series))


class _Silence:
    """Which expressions give nothing, when only `given` series are there and what `rules` make of them."""

    def __init__(self, rules: Sequence[RuleEntry], given: AbstractSet[str]) -> None:
        self._given = given
        self._recording: dict[str, list[RuleEntry]] = {}
        for rule in rules:
            if "record" in rule:
                self._recording.setdefault(rule["record"], []).append(rule)
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], bool] = {}

    def of(self, node: Node) -> bool:
        match node:
            case Series():
                return self._of_series(node)
            case Binary(operator="or"):
                return self.of(node.left) and self.of(node.right)
            case Binary():
                return self.of(node.left) or (node.operator != "unless" and self.of(node.right))
            case Call(function=function) if function.startswith("absent") or function == "scalar":
                return False
            case Call() | Aggregation():
                return any(self.of(argument) for argument in node.arguments)
            case _:
                return False

    def _of_series(self, series: Series) -> bool:
        if not series.name or series.name in self._given or series.name.startswith(_BY_PROMETHEUS):
            return False
        key = (series.name, series.equal)
        if key not in self._known:
            self._known[key] = False  # one that reads itself is kept, whether anything ever begins it or not
            wanted = dict(series.equal)
            self._known[key] = all(
                self.of(_tree(rule["expr"]))
                for rule in self._recording.get(series.name, ())
                if all(wanted.get(label, value) == value for label, value in rule.get("labels", {}).items())
            )
        return self._known[key]


def kept(rules: Sequence[RuleEntry], test: Mapping[str, Any]) -> list[RuleEntry]:
    """Those of `rules` that can say something in `test`, or that it asks for, directly or not."""
    silence = _Silence(rules, {one["series"].partition("{")[0] for one in test.get("input_series", ())})
    alerts = {one["alertname"] for one in test.get("alert_rule_test", ())}
    asked = {one["expr"] for one in test.get("promql_expr_test", ())}
    asked |= {rule["expr"] for rule in rules if rule.get("alert") in alerts}
    needed = _needed(rules, asked)
    if "" in needed:
        return [*rules]
    live = [rule for rule in rules if not silence.of(_tree(rule["expr"]))]
    working = [rule for rule in live if not rule.get("record", "").startswith(_FIGURES)]
    names = needed | _needed(rules, {rule["expr"] for rule in working})
    chosen = {id(rule) for rule in working}
    return [
        rule
        for rule in rules
        if id(rule) in chosen
        or rule.get("alert") in alerts
        or rule.get("record") in needed
        or (rule.get("record", "").startswith(_FIGURES) and rule["record"] in names)
    ]


def _needed(rules: Sequence[RuleEntry], reading: AbstractSet[str]) -> frozenset[str]:
    """Names of all series that these expressions read, directly or through rules."""
    found: set[str] = set()
    while new := {name for expr in reading for name in _reads(expr)} - found:
        found |= new
        reading = {rule["expr"] for rule in rules if rule.get("record") in new}
    return frozenset(found)


def read(path: Path) -> dict[str, Any]:
    """A promtool test file; `rule_files` as paths. `off` is a text and `630e9` a number, as they are to promtool."""
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Texts)
    for query in (query for test in document["tests"] for query in test.get("promql_expr_test", ())):
        query["exp_samples"] = [one | {"value": float(one["value"])} for one in query.get("exp_samples") or ()]
    return document | {"rule_files": files_of(document, path.parent)}


def files_of(document: Mapping[str, Any], base: Path) -> list[Path]:
    """The rule files of a promtool test file in the folder `base`."""
    return [file for pattern in document["rule_files"] for file in sorted(base.glob(pattern))]


def lean(document: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """A test file for each test of `document` with its own rules, written to `folder`; `rule_files` are paths."""
    packs = {file: plain_yaml.read(file)["groups"] for file in document["rule_files"]}
    everything = [rule for groups in packs.values() for group in groups for rule in group["rules"]]
    for number, test in enumerate(document["tests"]):
        wanted = {id(rule) for rule in kept(everything, test)}
        files = []
        for place, groups in enumerate(packs.values()):
            left = [group | {"rules": [rule for rule in group["rules"] if id(rule) in wanted]} for group in groups]
            files.append(folder / f"{number}-{place}.yml")
            files[-1].write_text(json.dumps({"groups": [group for group in left if group["rules"]]}), encoding="utf-8")
        path = folder / f"{number}.test.yml"
        whole = {**document, "rule_files": [str(file) for file in files], "tests": [test]}
        path.write_text(json.dumps(whole), encoding="utf-8")  # JSON is YAML
        yield path
