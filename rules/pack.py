"""The rule pack as data: every rule file under `rules/`, and every promtool test of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rules import plain_yaml
from rules.build import source_files
from rules.service_thresholds import SERVICE_THRESHOLDS_FILE

RULES_DIR = Path(__file__).parent
TESTS_DIR = RULES_DIR / "tests"
CONFIGURATION = RULES_DIR / "prometheus.yml"
GENERATED = frozenset({*(f"sources/{name}" for name in source_files()), SERVICE_THRESHOLDS_FILE.name})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `file` is relative to `rules/`; `waits` is its `for`, as written; empty where it has none.

    `interval` is how often its group is evaluated, as written; empty where it is as often as all are.
    """

    file: str
    group: str
    name: str
    is_alert: bool
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    waits: str = ""
    interval: str = ""

    @property
    def generated(self) -> bool:
        """Whether `optiinfra build rules` wrote it."""
        return self.file in GENERATED

    @property
    def place(self) -> str:
        """Where to find it, for messages."""
        marks = "".join(f", {key}={value}" for key, value in self.labels.items() if not self.is_alert)
        return f"{self.file}: {self.name}{marks}"


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One entry of `tests` in a promtool test file. `rule_files` are relative to `rules/`."""

    file: str
    name: str
    interval: str
    rule_files: frozenset[str]
    series: Sequence[Mapping[str, str]]
    queries: Sequence[Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]


def rule_paths(root: Path = RULES_DIR) -> list[Path]:
    """Every rule file: all YAML under `root` that is neither a test nor Prometheus's configuration."""
    found = (path for path in root.rglob("*.yml") if path.name != CONFIGURATION.name)
    return sorted(path for path in found if TESTS_DIR.name not in path.relative_to(root).parts)


def load_rules(root: Path = RULES_DIR) -> list[Rule]:
    """Every rule, file by file, in the order of evaluation within a group."""
    return [rule for path in rule_paths(root) for rule in _rules_of(path, str(path.relative_to(root)))]


def _rules_of(path: Path, file: str) -> Iterator[Rule]:
    for group in plain_yaml.read(path)["groups"]:
        for rule in group["rules"]:
            yield Rule(
                file=file,
                group=group["name"],
                name=rule.get("alert") or rule["record"],
                is_alert="alert" in rule,
                expr=rule["expr"],
                labels=rule.get("labels", {}),
                annotations=rule.get("annotations", {}),
                waits=rule.get("for", ""),
                interval=group.get("interval", ""),
            )


def load_tests(root: Path = RULES_DIR) -> list[RuleTest]:
    """Every promtool test under `root`/tests; none where the pack was installed, for tests stay in the repository."""
    return [test for path in sorted((root / TESTS_DIR.name).glob("*.test.yml")) for test in _tests_of(path, root)]


def _tests_of(path: Path, root: Path) -> Iterator[RuleTest]:
    content = plain_yaml.read(path)
    named = {found for pattern in content.get("rule_files", ()) for found in path.parent.glob(pattern)}
    files = frozenset(str(found.resolve().relative_to(root.resolve())) for found in named)
    for test in content["tests"]:
        yield RuleTest(
            file=path.name,
            name=test.get("name", ""),
            interval=test.get("interval", "1m"),
            rule_files=files,
            series=test.get("input_series", ()),
            queries=test.get("promql_expr_test", ()),
            alerts=test.get("alert_rule_test", ()),
        )
