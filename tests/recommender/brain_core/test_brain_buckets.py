"""What buckets cannot tell of a p95 is said with the figure, and decides nothing."""

from datetime import UTC, datetime

import pytest

from recommender.diagnosis.checks import Scope
from recommender.model import Evidence, Reading

P95, PINNED, COARSE = (f"service:llm_ttft_seconds:{what}" for what in ("p95_5m", "p95_pinned", "p95_coarse"))


def scope(objective: float, **values: float) -> Scope:
    readings = {
        name: Reading(name=name, query=name, value=values[key], unit="seconds")
        for key, name in (("p95", P95), ("pinned", PINNED), ("coarse", COARSE))
        if key in values
    }
    evidence = Evidence(
        service="chat",
        at=datetime(2026, 3, 1, tzinfo=UTC),
        service_readings=readings,
        replica_readings={},
        thresholds={},
        objectives={"ttft_p95_seconds": objective},
        confirmed=(),
    )
    return Scope(evidence)


@pytest.mark.parametrize(
    ("objective", "values", "agrees", "text"),
    [
        (2.0, {"p95": 80, "pinned": 80}, True, "TTFT p95 ≥ 80 s, over its objective 2 s"),
        (90.0, {"p95": 80, "pinned": 80}, None, "TTFT p95 ≥ 80 s, and buckets end there; its objective is 90 s"),
        (2.0, {"p95": 0.02, "coarse": 0.5}, False, "TTFT p95 < 500 ms, mean 20 ms, within its objective 2 s"),
        (2.0, {"p95": 1.5}, False, "TTFT p95 1.5 s, within its objective 2 s"),
    ],
)
def test_a_p95_beyond_the_last_or_below_the_first_bound_is_told_as_that(
    objective: float, values: dict[str, float], agrees: bool | None, text: str
) -> None:
    check = scope(objective, **values).over_objective("TTFT p95", P95, "ttft_p95_seconds")
    assert (check.agrees, check.text) == (agrees, text)


def test_an_objective_beyond_the_last_bound_is_not_called_kept() -> None:
    check = scope(90.0, p95=80, pinned=80).within_objective("TTFT p95", P95, "ttft_p95_seconds")
    assert check.agrees is None


@pytest.mark.parametrize(
    ("own", "text"),
    [
        (0.005, "ITL p95 < 10 ms, mean 5 ms, within its objective 100 ms"),
        (0.04, "ITL p95 40 ms, within its objective 100 ms"),
    ],
)
def test_a_mean_in_place_of_a_replicas_p95_is_called_one_too(own: float, text: str) -> None:
    name, bound = "replica:llm_itl_seconds:p95_5m", "service:llm_itl_seconds:p95_coarse"
    evidence = Evidence(
        service="chat",
        at=datetime(2026, 3, 1, tzinfo=UTC),
        service_readings={bound: Reading(name=bound, query=bound, value=0.01, unit="seconds")},
        replica_readings={"a:1": {name: Reading(name=name, query=name, value=own, unit="seconds", instance="a:1")}},
        thresholds={},
        objectives={"itl_p95_seconds": 0.1},
        confirmed=(),
    )
    check = Scope(evidence, "a:1").within_objective("ITL p95", name, "itl_p95_seconds")
    assert (check.agrees, check.text) == (True, text)
