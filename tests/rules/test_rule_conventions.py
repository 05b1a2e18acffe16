"""The YAML and `rules.catalog` say the same, and rules keep the conventions of docs and design."""

import re
from pathlib import Path
from typing import Any

import pytest

from rules.build import source_files
from rules.catalog import (
    ALERTS,
    GPU_LABELS,
    NODE_LABELS,
    OBJECTIVES,
    REPLICA_LABELS,
    SERVICE_LABELS,
    SIGNALS,
    THRESHOLDS,
    BottleneckKind,
)

ROOT = Path(__file__).parents[2]
RUNBOOKS = "https://github.com/optiinfra/optiinfra/blob/main/docs/runbooks"
LEVELS = {"replica": REPLICA_LABELS, "service": SERVICE_LABELS, "node": NODE_LABELS, "gpu": GPU_LABELS}
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
    others = ("threshold:", "service:objective:", "instance:")
    recorded = {r["record"] for r in records if not r["record"].startswith(others)}
    assert recorded == set(SIGNALS)


def test_each_signal_but_evidence_is_recorded_once_a_source(records: list[Rule]) -> None:
    names = [(r["file"], r["record"]) for r in records if "evidence" not in r["record"]]
    assert len(names) == len(set(names))
    assert len({name for _, name in names}) == len({(file.startswith("sources/"), name) for file, name in names})


def test_thresholds_of_the_catalogue_and_the_file_are_equal(records: list[Rule]) -> None:
    written = {r["record"]: r["expr"] for r in records if r["record"].startswith("threshold:")}
    wanted = {threshold.series: threshold.default for threshold in THRESHOLDS.values()}
    wanted |= {f"threshold:objective_{objective.name}": objective.default for objective in OBJECTIVES.values()}
    assert {name: float(expr.removeprefix("vector(").removesuffix(")")) for name, expr in written.items()} == wanted


def test_every_threshold_is_used(hand_written: list[Rule]) -> None:
    used = {name for rule in hand_written for name in re.findall(r"threshold:\w+", rule["expr"])}
    assert used == {r["record"] for r in hand_written if r.get("record", "").startswith("threshold:")}


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


def test_aggregation_keeps_the_labels_of_the_level_or_of_a_join(records: list[Rule]) -> None:
    for rule in records:
        level = rule["record"].partition(":")[0]
        if level not in LEVELS or rule["record"].startswith("service:objective:"):
            continue
        joins = {frozenset(labels(text)) for text in re.findall(r"\bon \(([^)]*)\)", rule["expr"])}
        for text in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
            kept = set(labels(text)) - {"le"}
            assert kept == set(LEVELS[level]) or kept in joins, f"{rule['record']}: by ({text})"


def labels(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def test_comparisons_read_thresholds_and_no_magic_numbers(hand_written: list[Rule]) -> None:
    # 0 and 1 are no figures to tune: none, and more than one.
    for rule in hand_written:
        if not rule["file"].startswith(("bottlenecks/", "meta")):
            continue
        text = re.sub(r'"[^"]*"|\[[^\]]*\]|offset \w+|[a-z_]+(:[a-z0-9_]+)+|[a-z]\w*', " ", rule["expr"])
        assert set(re.findall(r"\d+\.?\d*", text)) <= {"0", "1"}, rule["expr"]


def test_divisions_guard_their_denominator(records: list[Rule]) -> None:
    for rule in records:
        for rest in rule["expr"].split(" / ")[1:]:
            assert rest.startswith("("), f"{rule['record']}: divide by (… > 0)"
            assert "> 0)" in rest, f"{rule['record']}: divide by (… > 0)"


def test_a_cause_that_hurts_users_now_waits_at_most_two_minutes(alerts: dict[str, Rule]) -> None:
    risks = {
        "LLMCacheInefficiency",
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


def test_labels_hold_no_values(alerts: dict[str, Rule]) -> None:
    for name, rule in alerts.items():
        assert not [value for value in rule["labels"].values() if "{{" in value], f"{name}: a new label is a new alert"


def test_evidence_and_its_alert_name_the_same_bottleneck(alerts: dict[str, Rule], records: list[Rule]) -> None:
    known = {(r["record"], r["labels"]["bottleneck"]) for r in records if "evidence" in r["record"]}
    read = set()
    for name, rule in alerts.items():
        for series, bottleneck in re.findall(r'(\w+:bottleneck:evidence)\{bottleneck="(\w+)"', rule["expr"]):
            assert bottleneck == rule["labels"]["bottleneck"], name
            read.add((series, bottleneck))
    assert read == known
