"""P05 and P06: token budgets and batches that trade one latency for another, only where the other has slack."""

import dataclasses

import pytest

from recommender.metrics import VerificationMetric
from recommender.model import Direction
from recommender.playbooks import Advice, PlanContext
from recommender.sizing import LinearItl
from recommender.sizing.load import StepModel
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    KV_BYTES,
    ONE,
    advised,
    changed,
    context,
    evidence,
    facts,
    playbook,
    refused,
    size,
)

PREFILL, DECODE, LATENCY = Bottleneck.PREFILL_BOUND, Bottleneck.DECODE_BANDWIDTH_BOUND, Bottleneck.HIGH_LATENCY
LATE_FIRST = {  # objectives: TTFT p95 2 s, ITL p95 100 ms
    "replica:llm_ttft_seconds:p95_5m": 4.0,
    "replica:llm_itl_seconds:p95_5m": 0.03,
    "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.1,
    "replica:llm_prefill_share_of_ttft:ratio_rate5m": 0.8,
    "replica:llm_kv_cache_capacity_tokens": 400_000.0,
    "replica:llm_kv_cache_usage:max2m": 0.4,
    "replica:llm_requests_running:avg2m": 40.0,
    "replica:llm_requests_running:max2m": 44.0,
    "replica:llm_requests_waiting:avg2m": 1.0,
}
LONG_GAPS = LATE_FIRST | {
    "replica:llm_ttft_seconds:p95_5m": 0.5,
    "replica:llm_itl_seconds:p95_5m": 0.15,
    "replica:llm_itl_seconds:p50_5m": 0.05,  # the longest gaps are eight times the middle one: prompts stall answers
    "replica:llm_itl_seconds:p99_5m": 0.4,
}


def test_late_first_tokens_get_twice_the_budget_out_of_kv_that_is_free() -> None:
    given = context(known=facts(), max_batched_tokens=2048, max_running_requests=64, chunked_prefill=True)
    change = changed(size(PREFILL, "P05.3", evidence(LATE_FIRST), given))
    assert (change.old, change.new, change.flag) == (2048, 4096, "--max-num-batched-tokens")
    assert change.feasibility is not None
    left = 400_000 * KV_BYTES - 2048 * 256 * 2**10  # the bound of activations comes out of the KV cache
    assert change.feasibility.limit == pytest.approx(0.95 * left)
    assert change.feasibility.after == pytest.approx(0.4 * 400_000 * KV_BYTES)
    assert "ITL p95 is 30 ms" in change.reason  # the trade is said


@pytest.mark.parametrize(("old", "new"), [(512, 1024), (3000, 4096), (4096, 8192)])
def test_a_budget_goes_up_to_powers_of_two_and_no_further_than_is_of_use(old: int, new: int) -> None:
    given = context(known=facts(), max_batched_tokens=old, max_running_requests=64)
    assert changed(size(PREFILL, "P05.3", evidence(LATE_FIRST), given)).new == new
    given = context(known=facts(), max_batched_tokens=8192, max_running_requests=64)
    assert "useful limit" in refused(size(PREFILL, "P05.3", evidence(LATE_FIRST), given))


@pytest.mark.parametrize("engine", ["sglang", "tensorrt_llm"])
def test_engines_whose_activations_are_beside_their_share_need_free_device_memory(engine: str) -> None:
    room = LATE_FIRST | {"gpu:gpu_memory_free_bytes": 8e9, "gpu:gpu_memory_used:ratio": 0.9}
    change = changed(size(PREFILL, "P05.3", evidence(room), context(engine, max_batched_tokens=4096)))
    assert change.new == 8192
    assert change.feasibility is not None
    assert change.feasibility.after == pytest.approx(72e9 + 4096 * 256 * 2**10)
    full = LATE_FIRST | {"gpu:gpu_memory_free_bytes": 3.5e9, "gpu:gpu_memory_used:ratio": 0.95}
    assert "would not fit" in refused(size(PREFILL, "P05.3", evidence(full), context(engine, max_batched_tokens=4096)))
    outcome = size(PREFILL, "P05.3", evidence(LATE_FIRST), context(engine, max_batched_tokens=4096))
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["gpu_memory_free_bytes"]


def test_a_bigger_budget_of_an_unknown_model_is_advised_and_the_model_asked_for() -> None:
    outcome = size(PREFILL, "P05.3", evidence(LATE_FIRST), context(max_batched_tokens=2048))
    assert "Set --max-num-batched-tokens to 4096" in advised(outcome)
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} == {"model", "kv_dtype", "tensor_parallel"}


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"replica:llm_ttft_seconds:p95_5m": 1.0}, "not known to be over"),
        ({"replica:llm_queue_share_of_ttft:ratio_rate5m": 0.7}, "do not help a queue"),
        ({"replica:llm_itl_seconds:p95_5m": 0.08}, "would break it"),
    ],
)
def test_a_bigger_budget_is_refused_where_it_would_not_help_or_would_break_itl(
    seen: dict[str, float], why: str
) -> None:
    given = context(known=facts(), max_batched_tokens=2048)
    assert why in refused(size(PREFILL, "P05.3", evidence(LATE_FIRST | seen), given))


def test_first_tokens_that_wait_for_slots_are_not_what_a_smaller_budget_trades() -> None:
    given = context(max_batched_tokens=8192, max_running_requests=44, chunked_prefill=True)
    late = LONG_GAPS | {
        "replica:llm_ttft_seconds:p95_5m": 4.0,
        "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.8,
        "replica:llm_max_running_requests": 44.0,
    }
    change = changed(size(PREFILL, "P05.2", evidence(late), given))
    assert change.new == 4096
    effects = playbook(PREFILL, "P05.2").effects
    assert effects is not None
    guards = effects(change, evidence(late), ONE, given).guards
    guard = next(one for one in guards if one.metric == VerificationMetric.TTFT_P95_SECONDS)
    assert (guard.max_value, guard.max_ratio) == (None, 1.15)  # the objective is broken already
    for signal, value in (
        ("replica:llm_queue_share_of_ttft:ratio_rate5m", 0.3),
        ("replica:llm_max_running_requests", 64.0),
    ):
        assert "would break it" in refused(size(PREFILL, "P05.2", evidence(late | {signal: value}), given))
        unknown = {name: each for name, each in late.items() if name != signal}
        assert "would break it" in refused(size(PREFILL, "P05.2", evidence(unknown), given))


# 112 of 128 tokens a step are computed on average, while half of the slots and most of KV are free.
FULL_STEPS = LATE_FIRST | {
    "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.9,
    "replica:llm_step_tokens:mean_5m": 112.0,
    "replica:llm_requests_waiting:min2m": 20.0,
    "replica:llm_admission_fullness:ratio_avg2m": 0.5,
    "replica:llm_kv_cache_usage:avg2m": 0.3,
}


@pytest.mark.parametrize("bottleneck", [PREFILL, LATENCY, Bottleneck.QUEUE_BUILDUP])
def test_a_queue_for_tokens_of_a_step_gets_twice_the_budget(bottleneck: Bottleneck) -> None:
    given = context(known=facts(), max_batched_tokens=128, max_running_requests=80)
    change = changed(size(bottleneck, "P05.3", evidence(FULL_STEPS), given))
    assert (change.old, change.new) == (128, 256)
    assert "its steps are full (112 of 128 tokens on average)" in change.reason


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("replica:llm_step_tokens:mean_5m", 100.0),  # below 0.8·128
        ("replica:llm_admission_fullness:ratio_avg2m", 0.95),
        ("replica:llm_kv_cache_usage:avg2m", 0.8),
        ("replica:llm_requests_waiting:min2m", 0.0),
    ],
)
def test_a_queue_for_slots_or_kv_is_none_for_tokens_of_a_step(signal: str, value: float) -> None:
    given = context(known=facts(), max_batched_tokens=128, max_running_requests=80)
    for seen in (FULL_STEPS | {signal: value}, {name: each for name, each in FULL_STEPS.items() if name != signal}):
        assert "do not help a queue" in refused(size(LATENCY, "P05.3", evidence(seen), given))


@pytest.mark.parametrize("signal", ["ttft_seconds:p95_5m", "itl_seconds:p95_5m", "queue_share_of_ttft:ratio_rate5m"])
def test_unknown_latencies_never_trade_anything(signal: str) -> None:
    given = context(known=facts(), max_batched_tokens=2048)
    for seen, identifier in ((LATE_FIRST, "P05.3"), (LONG_GAPS, "P05.2")):
        known = {name: value for name, value in seen.items() if name != f"replica:llm_{signal}"}
        if identifier == "P05.2" and "queue" in signal:
            continue
        assert "unknown" in refused(size(PREFILL, identifier, evidence(known), given)) or "not known" in refused(
            size(PREFILL, identifier, evidence(known), given)
        )


def test_long_gaps_get_half_the_budget_while_first_tokens_have_time() -> None:
    given = context(max_batched_tokens=8192, max_running_requests=64, chunked_prefill=True)
    change = changed(size(PREFILL, "P05.2", evidence(LONG_GAPS), given))
    assert change.new == 4096  # pow2_floor(8192·0.1/0.4 = 2048), no less than half
    assert "TTFT p95 is 500 ms" in change.reason
    small = context(max_batched_tokens=512, max_running_requests=64, chunked_prefill=True)
    assert "as small as it may be" in refused(size(PREFILL, "P05.2", evidence(LONG_GAPS), small))
    for slots in ({"max_running_requests": 1024}, {}):  # unknown, vLLM may have its 1024
        given = context(max_batched_tokens=1024, chunked_prefill=True, **slots)
        assert "as small as it may be" in refused(size(PREFILL, "P05.2", evidence(LONG_GAPS), given))
    free = context("sglang", max_batched_tokens=1024)
    assert changed(size(PREFILL, "P05.2", evidence(LONG_GAPS), free)).new == 512


def test_a_budget_above_what_steps_compute_is_halved_from_there() -> None:
    given = context(max_batched_tokens=8192, max_running_requests=64, chunked_prefill=True)
    long = LONG_GAPS | {"replica:llm_request_prompt_tokens:mean_5m": 2400.0}
    # A step with a prompt computes 2,440 tokens: 2,440·0.1/0.4 = 610 is 512, and half of 2,440 is 1,024 at least.
    assert changed(size(PREFILL, "P05.2", evidence(long), given)).new == 1024
    short = LONG_GAPS | {"replica:llm_request_prompt_tokens:mean_5m": 400.0}  # many of them share a step
    assert changed(size(PREFILL, "P05.2", evidence(short), given)).new == 4096


# Gaps of 150 ms beside one of 120 ms in the middle: steps are slow, whatever is in them.
EVEN_GAPS = LONG_GAPS | {"replica:llm_itl_seconds:p50_5m": 0.12}


@pytest.mark.parametrize(
    ("prompt", "step", "new"),
    [
        (4200.0, 60.0, 2048),  # each prompt is cut: half of 4,240 tokens
        (400.0, 3300.0, 4096),  # many short ones fill a step: 0.8·4,096 tokens and more
        (400.0, 70.0, None),
        (400.0, None, None),
        (None, 70.0, None),
        (None, None, None),
    ],
)
def test_a_smaller_budget_needs_steps_that_reach_it(prompt: float | None, step: float | None, new: int | None) -> None:
    given = context(max_batched_tokens=8192, max_running_requests=64, chunked_prefill=True)
    told = {"replica:llm_request_prompt_tokens:mean_5m": prompt, "replica:llm_step_tokens:mean_5m": step}
    seen = EVEN_GAPS | {name: value for name, value in told.items() if value is not None}
    outcome = size(LATENCY, "P05.2", evidence(seen), given)
    if new is None:
        assert "not known to compute 4096 tokens" in refused(outcome)
    else:
        assert changed(outcome).new == new
    if prompt is step is None:
        blind = {name: value for name, value in seen.items() if "p50" not in name}
        assert "more than 4096 tokens is unknown" in refused(size(LATENCY, "P05.2", evidence(blind), given))


def test_a_smaller_budget_is_refused_where_first_tokens_have_no_time() -> None:
    late = LONG_GAPS | {"replica:llm_ttft_seconds:p95_5m": 1.9}
    given = context(max_batched_tokens=8192, max_running_requests=64, chunked_prefill=True)
    assert "would break it" in refused(size(PREFILL, "P05.2", evidence(late), given))


LENGTHS = {
    "replica:llm_request_prompt_tokens:mean_5m": 1500.0,
    "replica:llm_request_generation_tokens:mean_5m": 200.0,
}


def _fitted(given: PlanContext, step: StepModel) -> PlanContext:
    itl = LinearItl(step.alpha_seconds, step.beta_seconds)
    return dataclasses.replace(given, itl=itl, step=step)


def test_the_fitted_step_predicts_what_a_budget_does_and_forbids_what_breaks_an_objective() -> None:
    slack = {"itl_slack_ratio": 0.9}  # at the shipped one half not even twice as long steps break the objective
    given = context(known=facts(), tuning=slack, max_batched_tokens=2048, max_running_requests=64)
    slow = StepModel(0.01, 0.0002, gamma_seconds=4e-5)  # prompts make steps long
    close = LATE_FIRST | LENGTHS | {"replica:llm_itl_seconds:p95_5m": 0.085}
    close |= {"replica:llm_request_prompt_tokens:mean_5m": 4000.0}
    told = size(PREFILL, "P05.3", evidence(close), _fitted(given, slow))
    assert "by the fitted model" in refused(told)
    quick = _fitted(given, StepModel(0.01, 0.0002, gamma_seconds=1e-6))
    change = changed(size(PREFILL, "P05.3", evidence(close), quick))
    effects = playbook(PREFILL, "P05.3").effects
    assert effects is not None
    expected = effects(change, evidence(close), ONE, quick)
    assert all("predicted by the model" in one.source for one in expected.expected)
    assert not any("bound nothing" in one.source for one in expected.expected)
    blind = _fitted(context(known=facts(), tuning=slack, max_batched_tokens=2048), StepModel(0.01, 0.0002, 1e-6))
    expected = effects(change, evidence(close), ONE, blind)
    assert all("max_running_requests, which nobody tells" in one.source for one in expected.expected)


def test_no_place_is_taken_away_from_a_service_that_is_forecast_to_be_full() -> None:
    given = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.02, 0.001))
    seen = LONG_GAPS | {"replica:llm_requests_running:avg2m": 100.0, "replica:llm_requests_running:max2m": 110.0}
    coming = evidence(seen, confirmed=(Bottleneck.PREDICTED_SATURATION,))
    assert "forecast to fill" in refused(size(LATENCY, "P06.2", coming, given))
    assert changed(size(LATENCY, "P06.2", evidence(seen), given)).new < 128


def test_a_batch_that_is_too_large_for_its_itl_shrinks_to_what_the_model_allows() -> None:
    seen = LONG_GAPS | {"replica:llm_requests_running:avg2m": 100.0, "replica:llm_requests_running:max2m": 110.0}
    given = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.02, 0.001))
    change = changed(size(DECODE, "P06.2", evidence(seen), given))
    assert change.new == 63  # (0.1/1.2 - 0.02)/0.001, which is more than half of what runs
    assert "TTFT p95 (500 ms) keeps its objective now and may break it" in change.reason
    tighter = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.05, 0.001))
    assert changed(size(DECODE, "P06.2", evidence(seen), tighter)).new == 50  # half of what runs


def test_a_batch_is_not_shrunk_without_a_model_or_where_it_is_not_the_reason() -> None:
    outcome = size(DECODE, "P06.2", evidence(LONG_GAPS), context(max_running_requests=128))
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["itl_model"]
    flat = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.02, 0.0001))
    assert "not why ITL is long" in refused(size(DECODE, "P06.2", evidence(LONG_GAPS), flat))
    alone = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.2, 0.001))
    assert "no batch keeps the objective" in refused(size(DECODE, "P06.2", evidence(LONG_GAPS), alone))
    kept = LONG_GAPS | {"replica:llm_itl_seconds:p95_5m": 0.05}
    given = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.02, 0.001))
    assert "only add a queue" in refused(size(DECODE, "P06.2", evidence(kept), given))


def test_a_smaller_batch_says_what_it_costs() -> None:
    seen = LONG_GAPS | LENGTHS | {"replica:llm_requests_running:avg2m": 100.0}
    given = dataclasses.replace(context(max_running_requests=128), itl=LinearItl(0.02, 0.001))
    change = changed(size(DECODE, "P06.2", evidence(seen), given))
    effects = playbook(DECODE, "P06.2").effects
    assert effects is not None
    judged = effects(change, evidence(seen), ONE, given)
    assert judged.must_improve.metric == VerificationMetric.ITL_P95_SECONDS
    assert judged.must_improve.direction is Direction.LOWER
    tokens = next(one for one in judged.expected if one.metric == VerificationMetric.GENERATION_TOKENS_RATE)
    assert tokens.mid is not None
    assert tokens.mid < 1


def test_more_gpus_are_only_ever_advice_and_need_nvlink() -> None:
    text = advised(size(DECODE, "P06.6", evidence({}), context(known=facts(), kv_cache_memory_fraction=0.9)))
    assert "on 2 GPUs of one machine instead of 1" in text
    assert "KV capacity" in text
    assert "PCIe" in refused(size(DECODE, "P06.6", evidence({}), context(known=facts("l4"))))
    outcome = size(DECODE, "P06.6", evidence({}), context())
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} == {"gpu", "tensor_parallel"}


def test_a_latency_leads_to_the_playbook_of_its_cause_and_has_no_knob_of_its_own() -> None:
    given = context(known=facts(), max_batched_tokens=2048, max_running_requests=64)
    assert changed(size(LATENCY, "P05.3", evidence(LATE_FIRST), given)).knob == "max_batched_tokens"
    assert "ITL p95 is not known" in refused(size(LATENCY, "P06.2", evidence(LATE_FIRST), given))
    assert "unknown" in refused(size(LATENCY, "P05.3", evidence({"replica:llm_ttft_seconds:p95_5m": 4.0}), given))


def test_whole_requests_that_are_late_are_shortened_by_tokens() -> None:
    seen = evidence(
        {},
        service={"service:llm_itl_seconds:mean_5m": 0.02, "service:llm_request_duration_seconds:p95_5m": 30.0},
        objectives={"request_duration_p95_seconds": 20.0},
    )
    assert "500 tokens fewer" in advised(size(LATENCY, "P07.2", seen, context()))
    assert "not known" in refused(size(LATENCY, "P07.2", evidence({}), context()))
