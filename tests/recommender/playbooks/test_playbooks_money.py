"""P10, P11, P21 to P25: consolidation, other GPUs, forecasts, cost, errors and burns, by hand."""

import pytest

from recommender.gpus import GPUS
from recommender.playbooks import Advice
from recommender.playbooks.right_sizing import Load, judge
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, advised, context, evidence, facts, refused, size

IDLE, ERRORS, COST = Bottleneck.GPU_IDLE, Bottleneck.REQUEST_ERRORS, Bottleneck.COST_PER_TOKEN
LOAD = {
    "replica:llm_kv_cache_usage:max2m": 0.1,
    "replica:llm_kv_cache_capacity_tokens": 100_000.0,
    "replica:llm_requests_running:max6h": 0.0,
    "gpu:gpu_memory_used:ratio": 0.9,
}
SERVICE = {
    "service:llm_prefill_time:ratio1h": 0.2,
    "service:llm_ttft_seconds:p95_5m": 0.2,
    "service:llm_itl_seconds:p95_5m": 0.02,
    "service:llm_replicas_up:count": 2.0,
}
PRICES = {"gpu_price_per_hour": {"h100_sxm": 4.0, "l40s": 0.8, "h200": 5.0}}


def test_another_gpu_is_judged_by_arithmetic_for_prompts_and_bandwidth_for_the_rest() -> None:
    load = Load(prefill_share=0.2, weight_bytes=16e9, kv_bytes=1e9, ttft_of_objective=0.1, itl_of_objective=0.2)
    made = judge(GPUS["l40s"], GPUS["h100_sxm"], load, (1.0, 4.0), "bf16")
    by_hand = 0.2 * 989 / 362 + 0.8 * 3350 / 864
    assert made.time_ratio == pytest.approx(by_hand)
    assert made.cost_ratio == pytest.approx(by_hand / 4)
    assert made.against == ""
    late = Load(0.2, 16e9, 1e9, 0.1, 0.5)
    assert "ITL" in judge(GPUS["l40s"], GPUS["h100_sxm"], late, (1.0, 4.0), "bf16").against
    heavy = Load(0.2, 16e9, 3e9, 0.1, 0.2)
    assert "KV held" in judge(GPUS["l4"], GPUS["h100_sxm"], heavy, (0.5, 4.0), "bf16").against  # 21.6 - 3 - 16 GB
    unknown = Load(0.2, 16e9, 1e9, None, 0.2)
    assert "unknown" in judge(GPUS["l40s"], GPUS["h100_sxm"], unknown, (1.0, 4.0), "bf16").against
    assert "does not run" in judge(GPUS["a100_80gb"], GPUS["h100_sxm"], load, (2.0, 4.0), "fp8").against


def test_the_cheapest_gpu_that_keeps_the_objectives_is_named_with_its_share_of_the_price() -> None:
    given = context(known=facts(), tuning=PRICES)
    text = advised(size(IDLE, "P10.3", evidence(LOAD, service=SERVICE), given))
    by_hand = (0.2 * 989 / 362 + 0.8 * 3350 / 864) * 0.8 / 4
    assert f"l40s instead of h100_sxm would make a token cost {by_hand:.2f} of what it does" in text
    tight = evidence(LOAD, service=SERVICE | {"service:llm_itl_seconds:p95_5m": 0.09})
    assert "no other GPU is worth a move" in refused(size(IDLE, "P10.3", tight, given))
    burning = evidence(LOAD, service=SERVICE, confirmed=(Bottleneck.SLO_BURN,))
    assert "error budget burns" in refused(size(IDLE, "P10.3", burning, given))


def test_prices_and_facts_are_asked_for() -> None:
    outcome = size(IDLE, "P10.3", evidence(LOAD, service=SERVICE), context(known=facts()))
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["gpu_price_per_hour"]
    outcome = size(IDLE, "P10.3", evidence(LOAD, service=SERVICE), context(tuning=PRICES))
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} >= {"gpu", "model"}


def test_fewer_gpus_a_replica_only_where_weights_and_kv_fit() -> None:
    given = context(known=facts(tensor_parallel=2, gpus_per_replica=2), kv_cache_memory_fraction=0.9)
    told = evidence(LOAD | {"replica:llm_kv_cache_capacity_tokens": 900_000.0})  # (72 - 8 - 3) GB of each rank
    text = advised(size(IDLE, "P10.4", told, given))
    assert "--tensor-parallel-size to 1" in text
    small = context(known=facts("t4", tensor_parallel=2, gpus_per_replica=2), kv_cache_memory_fraction=0.9)
    assert "do not hold it" in refused(size(IDLE, "P10.4", evidence({}), small))
    assert "one GPU" in refused(size(IDLE, "P10.4", evidence(LOAD), context(known=facts())))


def test_idle_replicas_are_named_with_what_they_cost() -> None:
    given = context(known=facts(price_per_replica_hour=3.0))
    text = advised(size(IDLE, "P10.2", evidence(LOAD, service=SERVICE), given))
    assert f"{ONE}, {TWO} had no request in six hours" in text
    assert "They cost 144 a day" in text
    assert "All replicas of the service are idle" in text
    busy = evidence(LOAD | {"replica:llm_requests_running:max6h": 4.0}, service=SERVICE)
    assert "no replica is known" in refused(size(IDLE, "P10.2", busy, given))


def test_replicas_for_a_forecast_are_its_share_over_what_each_may_be_used() -> None:
    ahead = {
        "service:llm_replicas_expected:count": 4.0,
        "service:llm_replicas_reporting:count": 4.0,
        "service:llm_capacity_usage:forecast_max": 1.2,
    }
    text = advised(size(Bottleneck.PREDICTED_SATURATION, "P22.1", evidence({}, service=ahead), context()))
    assert "Run 7 replicas instead of 4" in text  # ceil(1.2·4/0.75 = 6.4)
    calm = ahead | {"service:llm_capacity_usage:forecast_max": 0.7}
    seen = evidence({}, service=calm)
    assert "are what is desired" in refused(size(Bottleneck.PREDICTED_SATURATION, "P22.1", seen, context()))


def test_no_replica_is_taken_away_while_a_budget_burns() -> None:
    fewer = {"service:llm_replicas_expected:count": 3.0, "service:llm_scale_in_replicas:count": 2.0}
    given = context(known=facts(price_per_replica_hour=2.0))
    over = Bottleneck.OVER_PROVISIONED
    assert "saves 48 a day" in advised(size(over, "P23.1", evidence({}, service=fewer), given))
    burning = evidence({}, service=fewer, confirmed=(Bottleneck.SLO_BURN,))
    assert "error budget burns" in refused(size(over, "P23.1", burning, given))


def test_replicas_that_nobody_needs_are_the_first_cost() -> None:
    seen = evidence({}, service={"service:llm_replicas_expected:count": 4.0, "service:llm_replicas_desired:count": 3.0})
    assert "25 % of the cost is for nothing" in advised(size(COST, "P24.2", seen, context()))
    needed = {"service:llm_replicas_expected:count": 3.0, "service:llm_replicas_desired:count": 3.0}
    assert "are what is desired" in refused(size(COST, "P24.2", evidence({}, service=needed), context()))


def test_a_queue_limit_is_what_is_answered_within_the_objective() -> None:
    full = {
        "service:llm_requests_rejected:ratio_rate5m": 0.1,
        "service:llm_requests:rate5m": 12.0,
        "service:llm_replicas_up:count": 2.0,
    }
    text = advised(size(ERRORS, "P25.3", evidence({}, service=full), context("ollama")))
    assert "2·6 = 12 waiting requests" in text  # TTFT objective of 2 s, 6 requests a second and replica
    assert "OLLAMA_MAX_QUEUE above 12" in text
    assert "no request is turned away" in refused(size(ERRORS, "P25.3", evidence({}, service={}), context()))


def test_a_context_may_be_as_long_as_model_and_cache_hold() -> None:
    failing = {"service:llm_request_failures:ratio_rate5m": 0.05}
    short = {"replica:llm_max_model_length_tokens": 4096.0, "replica:llm_kv_cache_capacity_tokens": 6000.0}
    text = advised(size(ERRORS, "P25.4", evidence(short, service=failing), context(known=facts())))
    assert "--max-model-len is 4096" in text
    assert "up to 6000 one request fits" in text  # the model takes 8192
    whole = {"replica:llm_max_model_length_tokens": 8192.0, "replica:llm_kv_cache_capacity_tokens": 90_000.0}
    why = refused(size(ERRORS, "P25.4", evidence(whole, service=failing), context(known=facts())))
    assert "an error of the caller" in why
    assert "none is too long" in refused(size(ERRORS, "P25.4", evidence(short, service={}), context()))


def test_errors_of_one_replica_are_told_from_those_of_all() -> None:
    failing = {"service:llm_request_failures:ratio_rate5m": 0.1}
    one = evidence(
        {"replica:llm_request_errors:ratio_rate5m": 0.01},
        service=failing,
        per_replica={TWO: {"replica:llm_request_errors:ratio_rate5m": 0.2}},
    )
    assert f"Most fail on {TWO}" in advised(size(ERRORS, "P25.2", one, context()))
    alike = evidence({"replica:llm_request_errors:ratio_rate5m": 0.1}, service=failing)
    assert "All replicas fail alike" in advised(size(ERRORS, "P25.2", alike, context()))


def test_a_burn_freezes_tuning_and_says_which_promise_is_broken() -> None:
    late = {"service:llm_ttft_seconds:p95_5m": 3.0, "service:slo_error_budget_remaining:min": 0.25}
    burn = Bottleneck.SLO_BURN
    assert "25 % of the month's error budget" in advised(size(burn, "P21.1", evidence({}, service=late), context()))
    assert "TTFT p95 is 3 s, over 2 s" in advised(size(burn, "P21.2", evidence({}, service=late), context()))
    assert "each promise" in refused(size(burn, "P21.2", evidence({}, service={}), context()))


def test_an_uneven_load_and_a_slow_replica_are_told_by_their_figures() -> None:
    uneven = evidence(
        {"replica:llm_load:avg2m": 2.0},
        service={"service:llm_load:skew_ratio": 1.6, "service:llm_prefix_cache_hit:ratio_rate5m": 0.5},
        per_replica={TWO: {"replica:llm_load:avg2m": 8.0}},
    )
    text = advised(size(Bottleneck.REPLICA_IMBALANCE, "P11.1", uneven, context()))
    assert f"{TWO} has 8 requests, a replica 5 on average" in text
    assert "50 % of prompt tokens" in advised(size(Bottleneck.REPLICA_IMBALANCE, "P11.2", uneven, context()))
    slow = evidence(
        {"gpu:gpu_sm_clock:ratio": 0.95},
        per_replica={TWO: {"gpu:gpu_sm_clock:ratio": 0.6, "replica:llm_itl_seconds:ratio_of_median": 1.8}},
    )
    lame = Bottleneck.REPLICA_STRAGGLER
    assert "1.8 times the median" in advised(size(lame, "P11.3", slow, context(), TWO))
    assert "SM clock over its maximum 60 % against 95 %" in advised(size(lame, "P11.4", slow, context(), TWO))
