"""P02, P03, P08 and P09: room for KV, queues without a cause, slow engines, and prefixes that are computed again."""

import pytest

from recommender.playbooks import Advice
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    KV_BYTES,
    advised,
    changed,
    context,
    evidence,
    facts,
    refused,
    size,
)

KV, QUEUE, SLOW = Bottleneck.KV_CACHE_PRESSURE, Bottleneck.QUEUE_BUILDUP, Bottleneck.LOW_THROUGHPUT
CACHE = Bottleneck.CACHE_INEFFICIENCY
THRASH = {
    "replica:llm_requests_running:avg2m": 30.0,
    "replica:llm_requests_running:max2m": 40.0,
    "replica:llm_kv_cache_usage:avg2m": 0.97,
    "replica:llm_kv_cache_capacity_tokens": 60_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 2_000.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.5,
}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt_llm", "tgi"])
def test_each_engine_that_thrashes_is_limited_to_what_kv_holds(engine: str) -> None:
    change = changed(size(KV, "P02.5", evidence(THRASH), context(engine, max_running_requests=64)))
    assert change.new == 28  # floor(0.95·60000/2000)
    assert change.feasibility is not None
    assert change.feasibility.after == 28 * 2_000


def test_a_batch_is_at_most_halved_and_gives_memory_back_in_any_case() -> None:
    tiny = THRASH | {"replica:llm_kv_cache_capacity_tokens": 10_000.0}
    change = changed(size(KV, "P02.5", evidence(tiny), context(max_running_requests=64)))
    assert change.new == 15  # half of what runs; 4 would fit
    assert change.feasibility is not None
    assert "no more memory" in change.feasibility.text


def test_without_thrash_or_its_measure_the_batch_stays() -> None:
    calm = THRASH | {"replica:llm_preemptions_per_request:ratio_rate5m": 0.0}
    assert "only add queue" in refused(size(KV, "P02.5", evidence(calm), context(max_running_requests=64)))
    unknown = {name: value for name, value in THRASH.items() if "preemptions" not in name}
    assert "unknown" in refused(size(KV, "P02.5", evidence(unknown), context(max_running_requests=64)))


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt_llm", "triton", "tgi"])
def test_free_device_memory_goes_to_kv_by_three_hundredths_at_most(engine: str) -> None:
    room = THRASH | {"gpu:gpu_memory_free_bytes": 16e9, "gpu:gpu_memory_used:ratio": 0.8}
    change = changed(size(KV, "P02.4", evidence(room), context(engine, kv_cache_memory_fraction=0.8)))
    assert change.new == 0.83
    assert change.feasibility is not None
    assert change.feasibility.after == pytest.approx(64e9 + 0.03 * 80e9)
    assert change.feasibility.limit == pytest.approx(80e9 - 3 * 2**30)
    other = context(engine, tuning={"memory_fraction_step": 0.01}, kv_cache_memory_fraction=0.8)
    assert changed(size(KV, "P02.4", evidence(room), other)).new == 0.81


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({}, "unknown"),
        ({"gpu:gpu_memory_free_bytes": 3e9, "gpu:gpu_memory_used:ratio": 0.96}, "within the 3 GiB reserve"),
    ],
)
def test_memory_that_is_not_known_to_be_free_is_not_given(seen: dict[str, float], why: str) -> None:
    assert why in refused(size(KV, "P02.4", evidence(THRASH | seen), context(kv_cache_memory_fraction=0.9)))


def test_replicas_of_one_node_may_share_a_gpu() -> None:
    room = THRASH | {"gpu:gpu_memory_free_bytes": 16e9, "gpu:gpu_memory_used:ratio": 0.8}
    given = context(same_node=True, kv_cache_memory_fraction=0.8)
    assert "share a node" in refused(size(KV, "P02.4", evidence(room), given))


def test_sglang_that_retracts_admits_more_cautiously_first() -> None:
    change = changed(size(KV, "P02.11", evidence(THRASH), context("sglang", admission_conservativeness=1.0)))
    assert change.new == 1.3
    calm = THRASH | {"replica:llm_preemptions_per_request:ratio_rate5m": 0.01}
    given = context("sglang", admission_conservativeness=1.0)
    assert "not known to be retracted often" in refused(size(KV, "P02.11", evidence(calm), given))


def test_contexts_that_are_taken_ahead_are_as_long_as_requests() -> None:
    tuning = {"longest_request_tokens": 5000}
    given = context("ollama", known=facts(), tuning=tuning, max_model_length_tokens=8192, max_running_requests=4)
    change = changed(size(KV, "P02.6", evidence(THRASH), given))
    assert (change.knob, change.new) == ("max_model_length_tokens", 7168)  # 1.25·5000 up to 1024s
    given = context("llamacpp", known=facts(), tuning=tuning, context_tokens=65536, max_running_requests=4)
    assert changed(size(KV, "P02.6", evidence(THRASH), given)).new == 32768  # 4·7168 is less than half
    outcome = size(KV, "P02.6", evidence(THRASH), context("ollama", max_model_length_tokens=8192))
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["longest_request_tokens"]
    short = context("ollama", tuning=tuning, max_model_length_tokens=7168, max_running_requests=4)
    assert "needs 7168 tokens" in refused(size(KV, "P02.6", evidence(THRASH), short))


ASKED_AGAIN = THRASH | {
    "replica:llm_prefix_cache_hit:ratio_rate5m": 0.2,
    "replica:llm_prompt_tokens:rate5m": 500.0,
    "node:host_memory_available:ratio": 0.5,
}
TOLD = {"prefix_reuse_ratio": 0.8, "host_memory_bytes": 256 * 2**30}


@pytest.mark.parametrize("identifier", [(KV, "P02.10"), (Bottleneck.PREFILL_BOUND, "P05.8"), (CACHE, "P09.5")])
def test_kv_in_host_memory_holds_what_is_asked_again_and_is_as_large_as_the_host_allows(
    identifier: tuple[Bottleneck, str],
) -> None:
    given = context("tensorrt_llm", known=facts(), tuning=TOLD, kv_offload_bytes=0)
    change = changed(size(*identifier, evidence(ASKED_AGAIN), given))
    assert change.new == int(600 * 500 * 0.8 * KV_BYTES // 2**30) * 2**30  # a window of new prompt tokens
    assert change.feasibility is not None
    assert change.feasibility.limit == pytest.approx(128 * 2**30)
    little = context("tensorrt_llm", known=facts(), tuning=TOLD | {"host_memory_bytes": 32 * 2**30}, kv_offload_bytes=0)
    assert changed(size(*identifier, evidence(ASKED_AGAIN), little)).new == 11 * 2**30  # 0.7 of 16 GiB


def test_what_a_pool_needs_is_asked_and_prefixes_that_are_not_asked_again_need_none() -> None:
    outcome = size(KV, "P02.10", evidence(ASKED_AGAIN), context())
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} >= {"prefix_reuse_ratio", "host_memory_bytes", "model"}
    unique = context(known=facts(), tuning=TOLD | {"prefix_reuse_ratio": 0.3})
    assert "too little is computed again" in refused(size(KV, "P02.10", evidence(ASKED_AGAIN), unique))
    assert "keeps no KV in host memory" in refused(size(KV, "P02.10", evidence(ASKED_AGAIN), context("tgi")))


def test_a_queue_is_limited_to_what_is_served_in_time_and_sized_in_replicas() -> None:
    seen = evidence(
        {},
        service={
            "service:llm_requests:rate5m": 8.0,
            "service:llm_replicas_up:count": 2.0,
            "service:llm_requests_running:sum": 64.0,
            "service:llm_requests_waiting:sum": 80.0,
            "service:llm_max_running_requests:sum": 64.0,
            "service:llm_load:skew_ratio": 1.6,
        },
    )
    assert "no more than 8 requests" in advised(size(QUEUE, "P03.3", seen, context()))  # 2 s · 4/s
    # 64 run and 8 end a second: 8 s in a slot. 80 that wait, worked off in 300 s, take 80·8/300 slots: 66.1/24.
    assert "at least 3 replicas" in advised(size(QUEUE, "P03.2", seen, context()))
    assert "1.60 times the mean" in advised(size(QUEUE, "P03.4", seen, context()))
    assert "unknown" in refused(size(QUEUE, "P03.3", evidence({}), context()))
    assert "not known" in refused(size(QUEUE, "P03.4", evidence({}), context()))


def test_a_backlog_is_no_demand_and_without_a_rate_all_of_it_counts() -> None:
    crowd = {
        "service:llm_requests:rate5m": 8.0,
        "service:llm_replicas_up:count": 2.0,
        "service:llm_requests_running:sum": 64.0,
        "service:llm_requests_waiting:sum": 7000.0,
        "service:llm_max_running_requests:sum": 64.0,
    }
    # 7000·8/300 = 186.7 slots: (64 + 186.7)/24 = 10.4, where all that wait at once would be 294.3.
    assert "at least 11 replicas" in advised(size(QUEUE, "P03.2", evidence({}, service=crowd), context()))
    patient = context(tuning={"backlog_seconds": 3600})  # 64 + 15.6 = 79.6 slots
    assert "at least 4 replicas" in advised(size(QUEUE, "P03.2", evidence({}, service=crowd), patient))
    unknown = {name: value for name, value in crowd.items() if "rate" not in name}
    assert "295 replicas would hold all" in advised(size(QUEUE, "P03.2", evidence({}, service=unknown), context()))


# All slots taken and always a queue, with KV between room (0.75) and full (0.9): no cause is certain.
BETWEEN = {
    "replica:llm_requests_running:avg2m": 16.0,
    "replica:llm_requests_running:max2m": 16.0,
    "replica:llm_requests_waiting:avg2m": 40.0,
    "replica:llm_requests_waiting:min2m": 30.0,
    "replica:llm_max_running_requests": 16.0,
    "replica:llm_admission_fullness:ratio_avg2m": 1.0,
    "replica:llm_kv_cache_usage:avg2m": 0.8,
    "replica:llm_kv_cache_capacity_tokens": 50_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 2_500.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
    "gpu:gpu_memory_free_bytes": 16e9,
    "gpu:gpu_memory_used:ratio": 0.8,
}


def test_a_queue_for_slots_is_answered_with_slots_and_the_memory_that_they_take() -> None:
    given = context("sglang", known=facts(), max_running_requests=16, kv_cache_memory_fraction=0.8)
    assert changed(size(QUEUE, "P04.1", evidence(BETWEEN), given)).new == 17  # 0.85·50,000/2,500
    captured = context(known=facts(), max_running_requests=16, kv_cache_memory_fraction=0.8)
    refused(size(QUEUE, "P04.1", evidence(BETWEEN), captured))  # no captured size between 16 and 17
    wider = BETWEEN | {"replica:llm_kv_cache_capacity_tokens": 60_000.0}
    change = changed(size(QUEUE, "P04.6", evidence(wider), captured))
    assert (change.new, change.sets) == (24, {"gpu-memory-utilization": 0.83})  # 0.85·(60,000 + 18,310)/2,500 = 26.6


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"replica:llm_admission_fullness:ratio_avg2m": 0.6}, "not held back by its slots"),
        ({"replica:llm_requests_waiting:min2m": 0.0}, "not held back by its slots"),
        ({"replica:llm_kv_cache_usage:avg2m": 0.95}, "not held back by its slots"),
        ({"replica:llm_preemptions_per_request:ratio_rate5m": 0.1}, "not held back by its slots"),
    ],
)
def test_a_queue_for_anything_else_gets_no_slots(seen: dict[str, float], why: str) -> None:
    given = context("sglang", known=facts(), max_running_requests=16, kv_cache_memory_fraction=0.8)
    for identifier in ("P04.1", "P04.6"):
        assert why in refused(size(QUEUE, identifier, evidence(BETWEEN | seen), given))
        for unknown in seen:
            # Neither told nor to be reckoned from what runs and what is configured.
            known = {name: value for name, value in BETWEEN.items() if name != unknown and "running:avg2m" not in name}
            assert "is unknown" in refused(size(QUEUE, identifier, evidence(known), given))


# First tokens queue in bursts: the batch reaches its limit, and KV has room at its fullest.
BURSTS = BETWEEN | {
    "replica:llm_ttft_seconds:p95_5m": 4.0,
    "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.8,
    "replica:llm_kv_cache_usage:max2m": 0.7,
    "replica:llm_kv_cache_capacity_tokens": 400_000.0,
}


def test_first_tokens_that_queue_for_slots_in_bursts_get_slots() -> None:
    late = Bottleneck.HIGH_LATENCY
    given = context(known=facts(), max_running_requests=16)
    assert changed(size(late, "P04.1", evidence(BURSTS), given)).new == 32
    for signal, value in (
        ("replica:llm_ttft_seconds:p95_5m", 1.0),
        ("replica:llm_queue_share_of_ttft:ratio_rate5m", 0.2),
        ("replica:llm_requests_running:max2m", 12.0),
        ("replica:llm_kv_cache_usage:max2m", 0.95),
        ("replica:llm_preemptions_per_request:ratio_rate5m", 0.1),
    ):
        refused(size(late, "P04.1", evidence(BURSTS | {signal: value}), given))
        refused(size(late, "P04.1", evidence({name: v for name, v in BURSTS.items() if name != signal}), given))


def test_slots_that_have_their_context_from_the_start_need_no_kv_gauge() -> None:
    slots = {
        "replica:llm_requests_running:avg2m": 6.0,
        "replica:llm_requests_running:max2m": 6.0,
        "replica:llm_requests_waiting:avg2m": 40.0,
        "replica:llm_requests_waiting:min2m": 30.0,
        "replica:llm_max_running_requests": 6.0,
        "replica:llm_admission_fullness:ratio_avg2m": 1.0,
    }
    given = context(
        "llamacpp", known=facts(), tuning={"longest_request_tokens": 4000}, max_running_requests=6, context_tokens=24576
    )
    change = changed(size(QUEUE, "P04.1", evidence(slots), given))
    assert (change.new, change.sets) == (12, {"LLAMA_ARG_CTX_SIZE": 49152})
    calm = slots | {"replica:llm_requests_waiting:min2m": 0.0}
    assert "not held back" in refused(size(QUEUE, "P04.1", evidence(calm), given))


def test_a_slow_engine_is_looked_at_in_order_and_what_is_unknown_is_said() -> None:
    busy = {"replica:llm_requests_waiting:min2m": 5.0}
    hot = busy | {"gpu:gpu_throttled_thermal:ratio_rate5m": 0.5, "node:host_cpu_busy:ratio": 0.99}
    told = advised(size(SLOW, "P08.1", evidence(hot), context()))
    assert told.startswith("Heat holds 10.0.0.1:8000 back (50 % of the time)")
    crowded = busy | {"node:host_cpu_busy:ratio": 0.99}
    text = advised(size(SLOW, "P08.1", evidence(crowded), context()))
    assert text.startswith("Load of the host's CPUs holds 10.0.0.1:8000 back")
    assert "Not known: heat, the power limit" in text
    assert "asked for little" in refused(size(SLOW, "P08.1", evidence({}), context()))


def test_prefix_caching_is_switched_on_where_it_is_off_and_known_prefixes_go_first() -> None:
    seen = evidence({}, service={"service:llm_requests_waiting:sum": 9.0})
    assert changed(size(CACHE, "P09.3", seen, context("tensorrt_llm", prefix_caching=False))).new is True
    assert "is on" in refused(size(CACHE, "P09.3", seen, context(prefix_caching=True)))
    assert "switch it on by themselves" in refused(size(CACHE, "P09.3", seen, context()))
    change = changed(size(CACHE, "P09.4", seen, context("sglang", scheduling_policy="fcfs")))
    assert (change.new, change.engine_new) == ("prefix", "lpm")
    assert "not known to wait" in refused(size(CACHE, "P09.4", evidence({}), context("sglang")))
