"""Fleets that are not two equal replicas of one model on GPUs of their own: what is proposed there, and what is not."""

import dataclasses

import pytest

from recommender.model import Placement
from recommender.playbooks.scope import ChangeScope, change_scope
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
    finding,
    refused,
    size,
)

KV, MEMORY, SLOTS, QUEUE, PREFILL, CACHE, LATE = (
    Bottleneck.KV_CACHE_PRESSURE,
    Bottleneck.GPU_MEMORY_PRESSURE,
    Bottleneck.ADMISSION_LIMITED,
    Bottleneck.QUEUE_BUILDUP,
    Bottleneck.PREFILL_BOUND,
    Bottleneck.CACHE_INEFFICIENCY,
    Bottleneck.HIGH_LATENCY,
)
FULL = {
    "replica:llm_requests_running:avg2m": 16.0,
    "replica:llm_requests_running:max2m": 16.0,
    "replica:llm_requests_waiting:avg2m": 80.0,
    "replica:llm_requests_waiting:min2m": 60.0,
    "replica:llm_max_running_requests": 16.0,
    "replica:llm_admission_fullness:ratio_avg2m": 1.0,
    "replica:llm_kv_cache_usage:avg2m": 0.2,
    "replica:llm_kv_cache_usage:max2m": 0.3,
    "replica:llm_kv_cache_capacity_tokens": 262_144.0,
    "replica:llm_tokens_per_running_request:avg5m": 277.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
    "replica:llm_itl_seconds:p95_5m": 0.09,
}
TIGHT = FULL | {"gpu:gpu_memory_used:ratio": 0.99, "gpu:gpu_memory_free_bytes": 0.8e9}
TWICE = {"service:llm_replicas_up:count": 2.0}


def test_a_limit_of_each_data_parallel_rank_is_not_sized_from_figures_of_all_ranks() -> None:
    """Sixteen of 4·16 slots in use look like a full batch: the engine's figures are sums, its flag is not."""
    given = context(max_running_requests=16, data_parallel_size=4)
    told = refused(size(SLOTS, "P04.1", evidence(FULL), given))
    assert "4 data-parallel ranks" in told
    assert "--max-num-seqs is of each of them" in told
    assert changed(size(SLOTS, "P04.1", evidence(FULL), context(max_running_requests=16, data_parallel_size=1)))


def test_the_kv_cache_of_a_rank_is_what_a_smaller_share_leaves() -> None:
    alone = context(known=facts(), kv_cache_memory_fraction=0.95)
    ranks = context(known=facts(), kv_cache_memory_fraction=0.95, data_parallel_size=4)
    one, four = (changed(size(MEMORY, "P01.2", evidence(TIGHT), each)).feasibility for each in (alone, ranks))
    assert one is not None
    assert four is not None
    assert one.before == pytest.approx(0.3 * 262_144 * KV_BYTES)
    assert four.before == pytest.approx(0.3 * 262_144 / 4 * KV_BYTES)
    nearly = TIGHT | {"replica:llm_kv_cache_usage:max2m": 0.8}
    assert changed(size(MEMORY, "P01.2", evidence(nearly), alone))
    assert "would not fit" in refused(size(MEMORY, "P01.2", evidence(nearly), ranks))  # 8.6 GB each, 2.4 GB less


def test_memory_that_another_engine_may_hold_is_not_given_back_by_this_one() -> None:
    given = context(known=facts(), kv_cache_memory_fraction=0.95)
    mine = Placement(node="gpu-1", gpus=("gpu-1/0",), gpus_from="the only one of its node")
    shared = {ONE: mine.model_copy(update={"others": ("search/10.0.0.9:8000",)}), TWO: mine}
    seen = evidence(TIGHT).model_copy(update={"placements": shared})
    assert "search/10.0.0.9:8000 of other services run on the node" in refused(size(MEMORY, "P01.2", seen, given))


@pytest.mark.parametrize(("share", "held"), [(0.5, True), (0.94, False)])
def test_memory_beyond_the_engines_own_share_is_somebody_elses(share: float, held: bool) -> None:
    seen = evidence(TIGHT | {"replica:llm_kv_cache_memory_fraction": share})
    outcome = size(MEMORY, "P01.2", seen, context(known=facts(), kv_cache_memory_fraction=share))
    if held:
        assert "something else holds them (P01.1)" in refused(outcome)
    else:
        assert changed(outcome).new == 0.91


def test_replicas_that_compute_prompts_for_others_are_not_changed_with_those_that_answer() -> None:
    roles = {ONE: {"disaggregation-mode": "prefill"}, TWO: {"disaggregation-mode": "decode"}}
    given = context("sglang", max_running_requests=16)
    for settings, instances in (({}, (ONE, TWO)), (roles, (ONE,))):
        scope = change_scope(
            "max_running_requests",
            evidence(FULL),
            finding(SLOTS, ONE, TWO),
            dataclasses.replace(given, settings=settings),
        )
        assert isinstance(scope, ChangeScope)
        assert scope.instances == instances


@pytest.mark.parametrize(
    ("engine", "playbook", "declared"),
    [
        ("sglang", "P04.2", {"admission_conservativeness": 1.0}),
        ("tensorrt_llm", "P04.3", {"capacity_policy": "guaranteed_no_evict"}),
    ],
)
def test_caution_is_not_what_holds_requests_back_while_the_batch_is_at_its_limit(
    engine: str, playbook: str, declared: dict[str, str | float]
) -> None:
    free = FULL | {"replica:llm_admission_fullness:ratio_avg2m": 0.5}
    assert changed(size(QUEUE, playbook, evidence(free), context(engine, **declared)))
    told = refused(size(QUEUE, playbook, evidence(FULL), context(engine, **declared)))
    assert "100 % of the batch limit is in use" in told
    unknown = {name: value for name, value in FULL.items() if "fullness" not in name}
    assert "is unknown" in refused(size(QUEUE, playbook, evidence(unknown), context(engine, **declared)))


def test_prompts_that_share_nothing_are_not_routed_by_what_they_share() -> None:
    seen = evidence({}, service=TWICE | {"service:llm_prefix_cache_hit:ratio_rate5m": 0.01})
    new = context(tuning={"prefix_reuse_ratio": 0.1})
    for playbook in ("P09.1", "P09.2", "P09.6"):
        assert "no more than 10 % were seen before" in refused(size(CACHE, playbook, seen, new))
        assert advised(size(CACHE, playbook, seen, context(tuning={"prefix_reuse_ratio": 0.6})))
        assert advised(size(CACHE, playbook, seen, context()))  # unknown rules nothing out


def test_requests_are_routed_to_the_kv_caches_that_have_room() -> None:
    usage = "replica:llm_kv_cache_usage:avg2m"
    seen = evidence({}, per_replica={ONE: {usage: 0.97}, TWO: {usage: 0.3}})
    assert f"{ONE} 0, {TWO} 100" in advised(size(KV, "P02.2", seen, context()))
    third = evidence({}, per_replica={ONE: {usage: 0.7}, TWO: {usage: 0.5}})
    assert f"{ONE} 25, {TWO} 75" in advised(size(KV, "P02.2", third, context()))  # 0.1 and 0.3 of 0.4
    assert "none has room" in refused(size(KV, "P02.2", evidence({usage: 0.9}), context()))
    assert "equally full" in refused(size(KV, "P02.2", evidence({usage: 0.5}), context()))
    assert "not known to be two" in refused(size(KV, "P02.2", evidence({}), context()))


@pytest.mark.parametrize(
    ("share", "replicas", "said"),
    [(0.5, 8.0, ""), (0.5, 4.0, "4 GPUs are too few"), (0.1, 8.0, "one of two pools would be idle")],
)
def test_prompts_and_answers_are_computed_apart_only_in_fleets_that_need_both(
    share: float, replicas: float, said: str
) -> None:
    service = {"service:llm_prefill_time:ratio1h": share, "service:llm_replicas_up:count": replicas}
    outcome = size(PREFILL, "P05.7", evidence({}, service=service), context(known=facts()))
    if said:
        assert said in refused(outcome)
    else:
        assert "50 % of the time of 8 GPUs" in advised(outcome)
    assert "is unknown" in refused(size(PREFILL, "P05.7", evidence({}), context(known=facts())))


def test_a_smaller_model_is_advised_for_latency_and_never_chosen() -> None:
    assert "another model's" in advised(size(LATE, "P07.4", evidence({}), context()))
