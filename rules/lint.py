"""`optiinfra rules lint`: what can be wrong with a rule and is legal to promtool."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import click

from exporters.catalog import (
    BLACKBOX_FAMILIES,
    GPU_FAMILIES,
    HOST_FAMILIES,
    INFERENCE_FAMILIES,
    PRODUCT_FAMILIES,
    SCRAPE_FAMILIES,
    Kind,
)
from rules.catalog import ALERTS, GPU_LABELS, NODE_LABELS, REPLICA_LABELS, SERVICE_LABELS, THRESHOLDS
from rules.catalog.dcgm import DCGM_SECTIONS
from rules.catalog.foreign import FOREIGN_PREFIXES, FOREIGN_SERIES
from rules.input_series import early_ends
from rules.label_sets import LabelSets
from rules.pack import Rule, RuleTest, load_rules, load_tests
from rules.syntax import Aggregation, Binary, Node, Number, Series, parse, walk
from rules.threshold_file import THRESHOLDS_FILE, Figure, problems

_LEVELS = {"replica": REPLICA_LABELS, "service": SERVICE_LABELS, "node": NODE_LABELS, "gpu": GPU_LABELS}
_UTILIZATION = re.compile(r"gpu_utilization|GPU_UTIL|utilization_gpu")
# Objectives are a service's, whatever models it serves; an engine has bucket bounds of its own.
_SLO_LABELS = frozenset({"service", "engine", "slo"})
# Capacity is a service's, whatever models its replicas name: of places for requests, or of KV cache.
_CAPACITY_LABELS = frozenset({"service", "resource"})
# What a device tells in words.
_TOLD_OF_GPU = frozenset({"name", "compute_capability"})
_FIGURES = re.compile(r"(service:)?threshold:|service:objective:")
_PER_SERVICE = frozenset(threshold.series for threshold in THRESHOLDS.values() if threshold.per_service)
_ASKED_IN_TEXT = re.compile(r"(?<!service:)(threshold:\w+)(\{service=''\})?")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where."""

    check: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class _Pack:
    """Rules with their trees, and tests."""

    rules: Sequence[tuple[Rule, Node]]
    tests: Sequence[RuleTest]

    @property
    def hand_written(self) -> Iterator[tuple[Rule, Node]]:
        return ((rule, tree) for rule, tree in self.rules if not rule.generated)

    @property
    def records(self) -> Iterator[tuple[Rule, Node]]:
        return ((rule, tree) for rule, tree in self.hand_written if not rule.is_alert)


_Found = Iterator[tuple[str, str]]


def findings(rules: Sequence[Rule], tests: Sequence[RuleTest]) -> list[Finding]:
    """Everything that is wrong. `rules` must be the whole pack: what is recorded is known from it."""
    pack = _Pack([(rule, parse(rule.expr)) for rule in rules], tests)
    return [Finding(name, place, text) for name, check in CHECKS.items() for place, text in check(pack)]


@click.command("lint")
def lint() -> None:
    """Find what is legal to promtool and still wrong: labels that never match, figures in expressions, …."""
    rules, tests = load_rules(), load_tests()
    found = findings(rules, tests)
    for finding in found:
        click.echo(f"{finding.place}: {finding.text} [{finding.check}]")
    if found:
        raise click.ClickException(f"{len(found)} findings in {len(rules)} rules and {len(tests)} tests")
    click.echo(f"{len(rules)} rules and {len(tests)} tests are clean; checked: {', '.join(CHECKS)}")


def _matching(pack: _Pack) -> _Found:
    """Both sides of a binary operator can match, and one series matches one."""
    known = LabelSets([rule for rule, _ in pack.rules])
    for rule, tree in pack.rules:
        yield from ((rule.place, problem) for problem in known.problems(tree))


def _level(pack: _Pack) -> _Found:
    """`by` keeps the labels of the level that the record's name says, or those of a join."""
    for rule, tree in pack.records:
        level = rule.name.partition(":")[0]
        if level not in _LEVELS or rule.name.startswith("service:objective:"):
            continue
        own = _own_labels(rule, level)
        joins = {node.labels for node in walk(tree) if isinstance(node, Binary) and node.matching == "on"}
        for node in walk(tree):
            if isinstance(node, Aggregation) and not node.without and node.labels:
                kept = node.labels - {"le"}
                if not _keeps(kept, own) and kept not in joins and node.labels not in joins:
                    yield rule.place, f"by ({', '.join(sorted(node.labels))}) is neither the {level}'s nor a join's"


def _own_labels(rule: Rule, level: str) -> frozenset[str]:
    if level == "service" and rule.file.endswith("capacity.yml"):
        return _CAPACITY_LABELS
    info = _TOLD_OF_GPU if rule.name == "gpu:gpu:info" else frozenset[str]()
    return _SLO_LABELS if rule.name.startswith("service:slo_") else frozenset(_LEVELS[level]) | info


def _keeps(kept: frozenset[str], own: frozenset[str]) -> bool:
    if own == frozenset(REPLICA_LABELS) and kept == own - {"model"}:
        return True  # an engine that cannot be read tells no model
    if own >= _TOLD_OF_GPU:
        return own - _TOLD_OF_GPU <= kept <= own
    return kept == own or (own in (_SLO_LABELS, _CAPACITY_LABELS) and kept <= own and "service" in kept)


def _figures(pack: _Pack) -> _Found:
    """Conditions compare with thresholds. 0 and 1 are no figures to tune: none, and more than one."""
    for rule, tree in pack.hand_written:
        if rule.file.startswith(("bottlenecks/", "meta")):
            for node in walk(tree):
                if isinstance(node, Number) and node.value not in (0, 1):
                    yield rule.place, f"{node.value:g} belongs in thresholds.yml"


def _thresholds(pack: _Pack) -> _Found:
    """Rules of replicas and services read what holds for the service; others leave the services' own figures out."""
    for rule, tree in pack.hand_written:
        read = {(node.name, ("service", "") in node.equal) for node in walk(tree) if isinstance(node, Series)}
        asked = (match.groups() for text in rule.annotations.values() for match in _ASKED_IN_TEXT.finditer(text))
        level = _level_of(rule)
        for name, for_all in sorted(read | {(name, bool(matcher)) for name, matcher in asked}):
            if name.startswith("threshold:"):
                if name in _PER_SERVICE and level in ("replica", "service"):
                    yield rule.place, f"reads {name}: a service may have its own, read service:{name}"
                elif not for_all:
                    yield rule.place, f'reads {name} of every service: write {name}{{service=""}}'


def _level_of(rule: Rule) -> str:
    if not rule.is_alert:
        return rule.name.partition(":")[0]
    return ALERTS[rule.name].level if rule.name in ALERTS else ""


def _threshold_file(pack: _Pack) -> _Found:
    """The file that a site edits: every figure once, and a service's own where a service may have one."""
    figures = [Figure(rule.name, rule.labels) for rule, _ in pack.rules if rule.file == THRESHOLDS_FILE]
    yield from ((THRESHOLDS_FILE, problem) for problem in problems(figures) if figures)


def _denominators(pack: _Pack) -> _Found:
    """A division by nothing gives no series rather than NaN."""
    for rule, tree in pack.records:
        for node in walk(tree):
            if isinstance(node, Binary) and node.operator == "/" and not _positive(node.right):
                yield rule.place, "divide by (… > 0)"


def _positive(node: Node) -> bool:
    if isinstance(node, Binary):
        return node.operator == ">" and node.right == Number(0)
    return isinstance(node, Number) and node.value > 0


def _values(pack: _Pack) -> _Found:
    """A label that changes is a new alert each time."""
    for rule, _ in pack.rules:
        for label, value in rule.labels.items():
            if "{{" in str(value):
                yield rule.place, f"label {label} holds a value: put it into the description"


def _utilization(pack: _Pack) -> _Found:
    """GPU utilization says that some kernel ran: a condition asks for something else as well."""
    for rule, tree in pack.hand_written:
        if rule.is_alert or rule.name.endswith(":bottleneck:evidence"):
            names = {node.name for node in walk(tree) if isinstance(node, Series)}
            judged = {name for name in names if not _FIGURES.match(name)}
            if judged and all(_UTILIZATION.search(name) for name in judged):
                yield rule.place, "judges GPU utilization alone"


def _known_series(pack: _Pack) -> _Found:
    """Every series that is read is recorded, or a family of a catalogue."""
    known = {rule.name for rule, _ in pack.rules if not rule.is_alert} | FOREIGN_SERIES | set(_families())
    for rule, tree in pack.hand_written:
        prefix = FOREIGN_PREFIXES.get(rule.file)
        series = [node for node in walk(tree) if isinstance(node, Series)]
        for name in sorted({node.name for node in series if node.name} - known):
            if prefix is None or not name.startswith(prefix):
                yield rule.place, f"reads {name}, which is in no catalogue"
        for pattern in sorted({node.pattern for node in series if not node.name}):
            if not any(re.fullmatch(pattern, name) for name in known):
                yield rule.place, f"reads names like {pattern!r}, of which no catalogue has one"


def _families() -> Iterator[str]:
    catalogues = (
        *(INFERENCE_FAMILIES, BLACKBOX_FAMILIES, SCRAPE_FAMILIES),
        *(HOST_FAMILIES, GPU_FAMILIES, PRODUCT_FAMILIES),
    )
    for catalogue in catalogues:
        for family in catalogue.values():
            parts = ("_bucket", "_sum", "_count") if family.kind is Kind.HISTOGRAM else ("",)
            yield from (family.name + part for part in parts)
    for section in DCGM_SECTIONS:
        for counter in section.counters:
            yield from (counter.field, *counter.also)


def _input_ends(pack: _Pack) -> _Found:
    """Input of a test reaches its last check; series that end sooner are still seen for 5m, which proves nothing."""
    for test in pack.tests:
        yield from ((f"tests/{test.file}: {test.name}", text) for text in early_ends(test))


CHECKS: dict[str, Callable[[_Pack], _Found]] = {
    "matching": _matching,
    "level": _level,
    "figures": _figures,
    "thresholds": _thresholds,
    "threshold file": _threshold_file,
    "denominators": _denominators,
    "values in labels": _values,
    "utilization alone": _utilization,
    "known series": _known_series,
    "input of tests": _input_ends,
}
