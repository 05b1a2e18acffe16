"""What counts as right, false, missed and late."""

import pytest

from demo.faults.corpus import corpus
from demo.faults.inhibition import heard, shipped
from demo.faults.promtool import read_samples
from demo.faults.run import Firing, Outcome
from demo.faults.scenario import Scenario
from demo.faults.score import Verdict, judge, scores
from demo.faults.timing import by_alert, detections
from rules.catalog.alerts import ALERTS, Bottleneck

CORPUS = {one.name: one for one in corpus()}
INHIBITION = shipped()
FAULT = CORPUS["admission-plateau"]
WELL = CORPUS["healthy-2-replicas"]


def firing(scenario: Scenario, alert: str, first: float) -> Firing:
    known = ALERTS[alert]
    labels = {
        "alertname": alert,
        "bottleneck": known.bottleneck.value,
        "kind": known.kind.value,
        "service": scenario.name,
        "severity": known.severity.value,
    }
    return Firing(alert, first, scenario.duration, tuple(sorted(labels.items())))


def verdict(scenario: Scenario, **fired: float) -> Verdict:
    firings = tuple(firing(scenario, alert, first) for alert, first in fired.items())
    return judge(Outcome(scenario, firings, ()), INHIBITION)


def test_a_fault_that_is_told_of_is_right() -> None:
    found = verdict(FAULT, LLMAdmissionLimited=400.0)
    assert (found.right, found.detected, found.false) == (True, True, frozenset())


def test_symptoms_of_a_known_cause_are_muted() -> None:
    found = verdict(FAULT, LLMAdmissionLimited=400.0, LLMQueueBuildup=300.0, LLMHighTTFT=350.0)
    assert found.told == {Bottleneck.ADMISSION_LIMITED}


def test_a_symptom_without_its_cause_is_no_detection_and_nothing_false() -> None:
    found = verdict(FAULT, LLMQueueBuildup=300.0)
    assert (found.right, found.detected, found.false) == (False, False, frozenset())
    assert found.missing == ("LLMAdmissionLimited",)


def test_another_cause_beside_the_right_one_is_false() -> None:
    found = verdict(FAULT, LLMAdmissionLimited=400.0, LLMPrefillBound=400.0)
    assert found.false == {Bottleneck.PREFILL_BOUND}
    assert not found.right


def test_an_alert_before_the_fault_is_false() -> None:
    assert FAULT.onset is not None
    found = verdict(FAULT, LLMAdmissionLimited=FAULT.onset - 15)
    assert (found.detected, found.false) == (False, {Bottleneck.ADMISSION_LIMITED})


def test_whatever_is_said_of_a_healthy_fleet_is_false() -> None:
    assert verdict(WELL).right
    assert verdict(WELL, LLMQueueBuildup=300.0).false == {Bottleneck.QUEUE_BUILDUP}


def test_precision_and_recall_are_shares_of_runs() -> None:
    judged = [
        verdict(FAULT, LLMAdmissionLimited=400.0),
        verdict(FAULT, LLMAdmissionLimited=400.0),
        verdict(FAULT),
        verdict(WELL, LLMAdmissionLimited=400.0),
    ]
    (found,) = [one for one in scores(judged) if one.bottleneck is Bottleneck.ADMISSION_LIMITED]
    assert (found.runs, found.detected, found.false) == (3, 2, 1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)


def test_a_class_without_runs_has_no_ratio() -> None:
    (found,) = [one for one in scores([verdict(WELL)]) if one.bottleneck is Bottleneck.GPU_IDLE]
    assert found.precision is None
    assert found.recall is None


def test_time_to_detect_is_counted_from_the_onset_and_bounded_by_window_for_and_two_evaluations() -> None:
    judged = [verdict(FAULT, LLMAdmissionLimited=400.0), verdict(FAULT, LLMAdmissionLimited=700.0)]
    waiting = {"LLMAdmissionLimited": 60.0}
    (line,) = by_alert(detections(judged, waiting), judged, waiting)
    assert (line.median, line.worst, line.allowed) == (310, 460, 390)
    assert line.late == ("admission-plateau",)


def test_only_alerts_of_the_same_service_are_muted() -> None:
    cause = dict(firing(FAULT, "LLMAdmissionLimited", 1.0).labels)
    symptom = dict(firing(WELL, "LLMQueueBuildup", 1.0).labels)
    assert heard([cause, symptom], INHIBITION) == [cause, symptom]


def test_what_promtool_prints_is_read_back() -> None:
    printed = '{alertname="A", service="a\\"b, c"} 1.5E+01, {} 2E+00, up{job="x"} 1E+00'
    assert [(dict(one.labels), one.value) for one in read_samples(printed)] == [
        ({"alertname": "A", "service": 'a"b, c'}, 15),
        ({}, 2),
        ({"__name__": "up", "job": "x"}, 1),
    ]
    assert read_samples("nil") == []
