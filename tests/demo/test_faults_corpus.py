"""The corpus is well formed: everything that can be told of is done to some fleet, and looked like by another."""

import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest

from demo.faults.corpus import corpus
from demo.faults.corpus.shapes import steady
from demo.faults.fleet import Clock, Fleet, Replica, recordings
from demo.faults.scenario import Kind, Scenario, is_judged, reseeded
from demo.faults.score import judged_classes
from demo.faults.week import Week
from demo.faults.windows import WINDOWS
from exporters.catalog import COMPANIONS, Engine
from rules.catalog.alerts import ALERTS

CORPUS = corpus()
LEAST_RUNS = 3


def bytes_of(scenario: Scenario) -> str:
    return hashlib.sha256(json.dumps(list(scenario.input_series())).encode()).hexdigest()


def test_names_differ() -> None:
    assert [name for name, count in Counter(one.name for one in CORPUS).items() if count > 1] == []


def test_every_class_is_done_to_several_fleets() -> None:
    runs = Counter(one.injected for one in CORPUS)
    assert {one.value: runs[one] for one in judged_classes() if runs[one] < LEAST_RUNS} == {}


def test_every_alert_about_the_fleet_is_asked_for() -> None:
    asked = {alert for one in CORPUS for alert in one.alerts}
    assert {name for name in ALERTS if is_judged(name)} == asked


def test_every_alert_about_the_fleet_has_a_window() -> None:
    assert {name for name in ALERTS if is_judged(name)} == WINDOWS.keys()


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


def test_a_recorded_week_ends_where_the_story_begins() -> None:
    (whole,) = [one for one in CORPUS if one.name == "cost-next-to-no-tokens"]
    scenario = replace(whole, duration=1800.0)
    before = round(scenario.lead / scenario.interval)
    series = {one["series"]: one["values"] for one in scenario.input_series()}

    tokens = series['service:llm_tokens:rate5m{service="cost-next-to-no-tokens",tokens="prompt"}'].split()
    assert sum(int(hour.partition("+0x")[2]) + 1 for hour in tokens) == before
    assert len(tokens) == 7 * 24
    scraped = [values for name, values in series.items() if not name.startswith("service:")]
    assert all(values.startswith(f"_x{before} ") for values in scraped)


def test_a_replica_that_joins_is_nobodys_target_before() -> None:
    fleet = Fleet((Replica(steady(1)), Replica(steady(2), joins=120.0)))
    first, joined, *_ = recordings(fleet, "chat", Clock(20, 15.0), 1)
    assert [(one.begins, len(one.pages)) for one in (first, joined)] == [(0, 20), (8, 12)]
    assert joined.target.instance == "chat-r2:8000"


def test_a_week_of_days_without_24_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="a day has 24 hours, not 3"):
        Week(8.0, (1.0, 2.0, 3.0))


def test_a_fault_without_an_alert_is_refused() -> None:
    whole = CORPUS[0]
    with pytest.raises(ValueError, match="has alerts and an onset"):
        Scenario("x", Kind.FAULT, whole.fleet, 1, 60.0)


def test_an_alert_that_is_not_in_the_catalogue_is_refused() -> None:
    whole = CORPUS[0]
    with pytest.raises(ValueError, match="no such alerts: LLMTypo"):
        Scenario("x", Kind.FAULT, whole.fleet, 1, 60.0, onset=0.0, alerts=("LLMTypo",))
