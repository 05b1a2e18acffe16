"""Ollama's spill, and what stands beside an engine: figures by hand, exact calls, and what is left alone."""

import pytest

from recommender.playbooks import Advice
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    KV_BYTES,
    ONE,
    TWO,
    advised,
    changed,
    context,
    evidence,
    facts,
    playbook,
    refused,
    size,
)

PRESSED, CACHE = Bottleneck.GPU_MEMORY_PRESSURE, Bottleneck.CACHE_INEFFICIENCY
GIB = 2**30
SPILLED = 2 * GIB
OLLAMA = {
    "replica:llm_model_memory_bytes": 14.0 * GIB,
    "replica:llm_model_device_memory_bytes": 12.0 * GIB,
    "replica:llm_max_model_length_tokens": 8192.0,
}
ON_L4 = facts("l4", weight_dtype="q4_k_m", kv_dtype="fp16")


def test_slots_are_given_up_for_the_layers_that_spill() -> None:
    slots = context("ollama", known=ON_L4, max_running_requests=4, max_model_length_tokens=8192)
    change = changed(size(PRESSED, "P01.9", evidence(OLLAMA), slots))
    too_many = -(-SPILLED // (8192 * KV_BYTES))  # 2 GiB over 1 GiB a slot
    assert (change.flag, change.old, change.new) == ("OLLAMA_NUM_PARALLEL", 4, 4 - too_many)
    assert change.feasibility is not None
    one = context("ollama", known=ON_L4, max_running_requests=1, max_model_length_tokens=8192)
    assert "there is one slot" in refused(size(PRESSED, "P01.9", evidence(OLLAMA), one))


def test_the_context_shrinks_by_what_spills_and_never_below_the_longest_request() -> None:
    longest = {"longest_request_tokens": 3000}
    given = context("ollama", known=ON_L4, tuning=longest, max_running_requests=4, max_model_length_tokens=8192)
    change = changed(size(PRESSED, "P01.10", evidence(OLLAMA), given))
    by_hand = 8192 - SPILLED / (4 * KV_BYTES)
    assert by_hand == 4096
    assert change.new == max(by_hand, 4096)  # 1.25·3000 up to 1024s is 4096 too
    effects = playbook(PRESSED, "P01.10").effects
    assert effects is not None
    assert effects(change, evidence(OLLAMA), ONE, given).must_improve.metric == "model_on_device_ratio"
    unknown = context("ollama", known=ON_L4, max_running_requests=4, max_model_length_tokens=8192)
    assert "longest_request_tokens" in refused(size(PRESSED, "P01.10", evidence(OLLAMA), unknown))


def test_a_model_that_is_whole_on_the_device_or_of_unknown_size_is_left_alone() -> None:
    whole = evidence(OLLAMA | {"replica:llm_model_device_memory_bytes": 14.0 * GIB})
    given = context("ollama", known=ON_L4, max_running_requests=4, max_model_length_tokens=8192)
    assert "whole model is on the device" in refused(size(PRESSED, "P01.9", whole, given))
    assert "several models" in refused(size(PRESSED, "P01.9", evidence({}), given))


def test_unloading_is_the_exact_call_and_no_name_of_a_model_is_in_it() -> None:
    text = advised(size(PRESSED, "P01.8", evidence(OLLAMA), context("ollama")))
    assert f"curl http://{ONE}/api/generate" in text
    assert '"keep_alive": 0' in text
    assert "2 GiB of the model (14.3 %)" in text
    kept = advised(size(Bottleneck.HIGH_LATENCY, "P07.5", evidence(OLLAMA), context("ollama", known=ON_L4)))
    assert "1 models of this size fit" in kept  # 0.9·24 GB over 15 GB


def test_these_are_of_ollama_alone() -> None:
    for identifier in ("P01.8", "P01.9", "P01.10"):
        assert playbook(PRESSED, identifier).engines == frozenset({"ollama"})


LMCACHE = {
    "replica:llm_external_cache_query_tokens:rate5m": 1000.0,
    "replica:llm_external_cache_hit_tokens:rate5m": 400.0,
    "replica:llm_external_cache_evictions:rate5m": 3.0,
    "replica:llm_external_cache_used_bytes": 4.9 * GIB,
    "replica:llm_external_cache_capacity_bytes": 5.0 * GIB,
    "replica:llm_prompt_tokens:rate5m": 1000.0,
    "replica:llm_prefix_cache_hit:ratio_rate5m": 0.2,
    "node:host_memory_available:ratio": 0.5,
}
NODE = {"host_memory_bytes": 256 * GIB}


def test_an_external_cache_gets_what_is_asked_again_within_the_window() -> None:
    text = advised(size(CACHE, "P09.10", evidence(LMCACHE), context(known=facts(), tuning=NODE)))
    wanted = 600 * 1000 * 0.8 * KV_BYTES / GIB  # tokens computed in the window, in bytes
    assert wanted == pytest.approx(58.6, abs=0.1)
    assert "LMCACHE_MAX_LOCAL_CPU_SIZE) to 59 GiB" in text
    little = NODE | {"host_memory_bytes": 64 * GIB}
    assert "to 23 GiB" in advised(size(CACHE, "P09.10", evidence(LMCACHE), context(known=facts(), tuning=little)))
    outcome = size(CACHE, "P09.10", evidence(LMCACHE), context())
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} == {"model", "kv_dtype"}


def test_a_cache_that_drops_nothing_or_is_not_there_gets_no_room() -> None:
    calm = evidence(LMCACHE | {"replica:llm_external_cache_evictions:rate5m": 0.0})
    assert "drops nothing" in refused(size(CACHE, "P09.10", calm, context(known=facts(), tuning=NODE)))
    assert "no external cache" in refused(size(CACHE, "P09.10", evidence({}), context(known=facts())))
    large = evidence(LMCACHE | {"replica:llm_external_cache_capacity_bytes": 100.0 * GIB})
    assert "no less than" in refused(size(CACHE, "P09.10", large, context(known=facts(), tuning=NODE)))


def test_a_cache_that_does_not_pay_is_switched_off_by_its_own_call() -> None:
    poor = evidence(LMCACHE | {"replica:llm_external_cache_hit_tokens:rate5m": 50.0})
    assert "/hot_cache/disable" in advised(size(CACHE, "P09.7", poor, context()))
    assert "-X DELETE http://127.0.0.1:6999/cache/clear" in advised(size(CACHE, "P09.9", poor, context()))
    assert "pays for itself" in refused(size(CACHE, "P09.7", evidence(LMCACHE), context()))
    assert "not full of" in refused(size(CACHE, "P09.9", evidence(LMCACHE), context()))
    broken = evidence(LMCACHE | {"replica:llm_external_cache_healthy": 0.0})
    assert "/bypass/add" in advised(size(CACHE, "P09.7", broken, context()))


def test_kv_optkit_is_read_only_where_its_series_are() -> None:
    beside = "10.0.0.9:9001"
    seen = evidence({}, per_replica={beside: {"replica:llm_kv_cache_usage:ratio": 0.9}})
    given = context(companions={beside: "kvoptkit"})
    text = advised(size(CACHE, "P09.11", seen, given))
    assert "90 % of device memory" in text
    assert "carries nothing out itself" in text
    assert "no KV-OptKit" in refused(size(CACHE, "P09.11", evidence({}), given))
    assert "no KV-OptKit" in refused(size(CACHE, "P09.11", seen, context()))
    assert TWO in seen.replica_readings
