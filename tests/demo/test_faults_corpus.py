"""The corpus is well formed: everything that can be told of is done to some fleet, and looked like by another."""

import hashlib
import json
from collections import Counter

import pytest

from demo.faults.corpus import corpus
from demo.faults.scenario import Kind, Scenario, is_judged, reseeded
from demo.faults.score import judged_classes
from demo.faults.windows import LEFT_OUT, WINDOWS
from exporters.catalog import COMPANIONS, Engine
from rules.catalog.alerts import ALERTS

CORPUS = corpus()
LEAST_RUNS = 3


def bytes_of(scenario: Scenario) -> str:
    series = [one for recording in scenario.recordings() for one in recording.input_series()]
    return hashlib.sha256(json.dumps(series).encode()).hexdigest()


def test_names_differ() -> None:
    assert [name for name, count in Counter(one.name for one in CORPUS).items() if count > 1] == []


def test_every_class_is_done_to_several_fleets() -> None:
    runs = Counter(one.injected for one in CORPUS)
    assert {one.value: runs[one] for one in judged_classes() if runs[one] < LEAST_RUNS} == {"cost_per_token": 0}


def test_every_alert_about_the_fleet_is_asked_for() -> None:
    asked = {alert for one in CORPUS for alert in one.alerts}
    assert {name for name in ALERTS if is_judged(name)} - asked == LEFT_OUT.keys()


def test_every_alert_about_the_fleet_has_a_window() -> None:
    assert {name for name in ALERTS if is_judged(name)} == WINDOWS.keys() | LEFT_OUT.keys()


def test_every_engine_that_tells_of_its_requests_is_in_it() -> None:
    seen = {replica.engine for one in CORPUS for replica in one.fleet.replicas}
    silent = COMPANIONS | {Engine.OLLAMA, Engine.DYNAMO, Engine.TRITON}
    assert set(Engine) - seen == silent


def test_there_are_as_many_stories_without_a_fault_as_with_one() -> None:
    kinds = Counter(one.kind for one in CORPUS)
    assert kinds[Kind.FAULT] >= 120
    assert kinds[Kind.LOOKALIKE] + kinds[Kind.HEALTHY] >= 120


def test_a_fault_begins_and_can_be_told_of_before_the_end() -> None:
    for one in CORPUS:
        if one.onset is not None:
            assert one.onset < one.duration, one.name


@pytest.mark.parametrize("name", ["admission-plateau", "thermal-hardware-dcgm-105", "cpu-busy-2", "queue-burst-tgi"])
def test_equal_seeds_give_equal_bytes(name: str) -> None:
    (scenario,) = [one for one in CORPUS if one.name == name]
    (again,) = [one for one in corpus() if one.name == name]
    assert bytes_of(scenario) == bytes_of(again)


def test_another_seed_gives_other_figures() -> None:
    one, other = (
        scenario for scenario in CORPUS if scenario.name in {"thermal-software-ours-101", "thermal-software-ours-103"}
    )
    values = [
        [series["values"] for recording in story.recordings() for series in recording.input_series()]
        for story in (one, other)
    ]
    assert values[0] != values[1]


def test_a_story_can_be_told_again_with_other_chance() -> None:
    (scenario,) = [one for one in CORPUS if one.name == "admission-plateau"]
    other = reseeded(scenario, 1000)
    assert bytes_of(other) != bytes_of(scenario)
    assert (other.name, other.alerts, other.onset) == (scenario.name, scenario.alerts, scenario.onset)


def test_a_fault_without_an_alert_is_refused() -> None:
    whole = CORPUS[0]
    with pytest.raises(ValueError, match="has alerts and an onset"):
        Scenario("x", Kind.FAULT, whole.fleet, 1, 60.0)


def test_an_alert_that_is_not_in_the_catalogue_is_refused() -> None:
    whole = CORPUS[0]
    with pytest.raises(ValueError, match="no such alerts: LLMTypo"):
        Scenario("x", Kind.FAULT, whole.fleet, 1, 60.0, onset=0.0, alerts=("LLMTypo",))
