"""The YAML and `rules.catalog` say the same, and alerts keep the conventions. Expressions: rules/lint.py."""

import re
from pathlib import Path
from typing import Any

import pytest

from rules.build import source_files
from rules.catalog import (
    ALERTS,
    OBJECTIVES,
    SIGNALS,
    THRESHOLDS,
    BottleneckKind,
)
from rules.service_thresholds import SERVICE_THRESHOLDS_FILE

ROOT = Path(__file__).parents[2]
RUNBOOKS = "https://github.com/optiinfra/optiinfra/blob/main/docs/runbooks"
GENERATED = {f"sources/{name}" for name in source_files()}

Rule = dict[str, Any]


@pytest.fixture(scope="session")
def hand_written(rules: list[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule["file"] not in GENERATED]


@pytest.fixture(scope="session")
def records(hand_written: list[Rule]) -> list[Rule]:
    return [rule for rule in hand_written if "record" in rule]


@pytest.fixture(scope="session")
def alerts(hand_written: list[Rule]) -> dict[str, Rule]:
    return {rule["alert"]: rule for rule in hand_written if "alert" in rule}


def test_derived_signals_of_the_catalogue_are_recorded_and_no_others(records: list[Rule]) -> None:
    # `instance:` are steps of a source, read by its own rules alone.
    others = ("threshold:", "service:threshold:", "service:objective:", "instance:")
    recorded = {r["record"] for r in records if not r["record"].startswith(others)}
    assert recorded == set(SIGNALS)


def test_each_signal_but_evidence_is_recorded_once_a_source(records: list[Rule]) -> None:
    # Labels that a rule sets tell rules of one name apart: the objective, the window.
    names = [
        (r["file"], r["record"], *sorted(r.get("labels", {}).items())) for r in records if "evidence" not in r["record"]
    ]
    assert len(names) == len(set(names))
    assert len({name for _, name, *_ in names}) == len(
        {(file.startswith("sources/"), name) for file, name, *_ in names}
    )


def test_thresholds_of_the_catalogue_and_the_file_are_equal(records: list[Rule]) -> None:
    written = {r["record"]: r["expr"] for r in records if r["record"].startswith("threshold:")}
    wanted = {threshold.series: threshold.default for threshold in THRESHOLDS.values()}
    defaults = {objective.name: objective.default for objective in OBJECTIVES.values()}
    wanted |= {f"threshold:objective_{name}": value for name, value in defaults.items() if value is not None}
    assert {name: float(expr.removeprefix("vector(").removesuffix(")")) for name, expr in written.items()} == wanted


def test_every_threshold_is_used(hand_written: list[Rule]) -> None:
    reading = [rule for rule in hand_written if rule["file"] != SERVICE_THRESHOLDS_FILE.name]
    used = {name for rule in reading for name in re.findall(r"threshold:\w+", rule["expr"])}
    assert used == {r["record"] for r in hand_written if r.get("record", "").startswith("threshold:")}


def test_a_threshold_has_a_figure_for_each_service_exactly_if_a_rule_of_services_reads_it(
    hand_written: list[Rule],
) -> None:
    resolving = {rule["record"] for rule in hand_written if rule.get("record", "").startswith("service:threshold:")}
    read = {name for rule in hand_written for name in re.findall(r"service:threshold:\w+", rule["expr"])}
    assert read == resolving == {each.resolved for each in THRESHOLDS.values() if each.per_service}


def test_objectives_of_the_catalogue_are_resolved(records: list[Rule]) -> None:
    recorded = {r["record"] for r in records if r["record"].startswith("service:objective:")}
    assert recorded == {objective.series for objective in OBJECTIVES.values()}


def test_alerts_of_the_catalogue_and_the_files_are_equal(alerts: dict[str, Rule]) -> None:
    written = {
        name: (r["labels"]["bottleneck"], r["labels"]["kind"], r["labels"]["severity"]) for name, r in alerts.items()
    }
    assert written == {
        alert.name: (alert.bottleneck.value, alert.kind.value, alert.severity.value) for alert in ALERTS.values()
    }


def test_a_cause_that_hurts_users_now_waits_at_most_two_minutes(alerts: dict[str, Rule]) -> None:
    risks = {
        "LLMCacheInefficiency",
        "LLMExternalCacheInefficiency",
        "GPUMemoryPressure",
        "GPUPowerLimit",
        "GPULinkDegraded",
        "HostDiskSaturation",
        "HostNetworkSaturation",
    }  # waste and a danger, no harm yet
    for name, rule in alerts.items():
        if rule["labels"]["kind"] in {BottleneckKind.CAUSE, BottleneckKind.FAULT} and name not in risks:
            assert rule.get("for", "0s") in {"0s", "1m", "2m"}, name


def test_annotations_are_complete_and_name_the_runbook(alerts: dict[str, Rule]) -> None:
    for name, rule in alerts.items():
        annotations = rule["annotations"]
        assert annotations.keys() == {"summary", "description", "runbook_url"}, name
        assert "{{" not in annotations["summary"], f"{name}: a summary is constant"
        assert annotations["runbook_url"] == f"{RUNBOOKS}/{name}.md"


def test_evidence_and_its_alert_name_the_same_bottleneck(alerts: dict[str, Rule], records: list[Rule]) -> None:
    known = {(r["record"], r["labels"]["bottleneck"]) for r in records if "evidence" in r["record"]}
    read = set()
    for name, rule in alerts.items():
        for series, bottleneck in re.findall(r'(\w+:bottleneck:evidence)\{bottleneck="(\w+)"', rule["expr"]):
            assert bottleneck == rule["labels"]["bottleneck"], name
            read.add((series, bottleneck))
    assert read == known
