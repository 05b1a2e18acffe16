"""Readings that cannot be are unknown: nothing is diagnosed, sized or permitted by them."""

from datetime import UTC, datetime

import pytest

from recommender.contracts import Sample
from recommender.evidence import assemble
from recommender.model import Evidence
from recommender.plausible import possible

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _seen(name: str, value: float, *, beside: bool = False) -> Evidence:
    labels = {"service": "chat", "instance": "a:1", "node": "n"}
    up = Sample({"__name__": "replica:llm_up", **labels}, 1.0)
    own = {"__name__": name, **({"node": "n", "gpu": "0"} if beside else labels)}
    told = Sample(own, value)
    return assemble("chat", AT, [up] if beside else [up, told], [up, told] if beside else [up], [])


@pytest.mark.parametrize(
    ("name", "fine", "impossible"),
    [
        ("replica:llm_kv_cache_usage:avg2m", 0.97, 97.0),  # percent of an old engine
        ("replica:llm_kv_cache_usage:max2m", 1.0, -0.1),
        ("replica:llm_prefix_cache_hit:ratio_rate5m", 0.0, 3.0),
        ("replica:llm_requests_running:avg2m", 97.0, -1.0),  # a counter that was reset
        ("replica:llm_requests_running:max6h", 2048.0, -32.0),
        ("replica:llm_preemptions_per_request:ratio_rate5m", 3.1, float("nan")),
        ("replica:llm_itl_seconds:p95_5m", 0.05, float("inf")),
        ("replica:llm_itl_seconds:robust_z", -4.0, float("-inf")),
    ],
)
def test_what_a_signal_cannot_be_is_unknown(name: str, fine: float, impossible: float) -> None:
    assert _seen(name, fine).value(name, "a:1") == fine
    assert _seen(name, impossible).value(name, "a:1") is None


def test_memory_of_a_gpu_is_a_share_and_its_temperature_may_be_below_zero() -> None:
    used, cold = "gpu:gpu_memory_used:ratio", "gpu:gpu_temperature_celsius"
    assert _seen(used, 91.0, beside=True).value(used, "a:1") is None
    assert _seen(used, 0.91, beside=True).value(used, "a:1") == 0.91
    assert _seen(cold, -3.0, beside=True).value(cold, "a:1") == -3.0


def test_a_service_in_percent_is_unknown_and_its_forecast_may_cross_zero() -> None:
    assert possible("service:llm_kv_cache_usage:avg", 97.0) is None
    assert possible("service:llm_capacity_usage:forecast_max", -0.2) == -0.2


@pytest.mark.parametrize(("name", "value", "kept"), [("ttft_p95_seconds", 0.0, None), ("error_ratio", 0.0, 0.0)])
def test_an_objective_that_nothing_could_keep_is_none(name: str, value: float, kept: float | None) -> None:
    told = Sample({"__name__": f"service:objective:{name}", "service": "chat"}, value)
    assert assemble("chat", AT, [told], [], []).objectives[name] == kept
