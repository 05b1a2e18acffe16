"""When a change has worked: what the verdict asks comes first, and nothing that one step is not expected to reach."""

import pytest

from recommender.model import Plan
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, context, evidence, facts
from tests.recommender.playbooks.test_plan_words import THRASH, plan_of

SLOTS, KV, MEMORY = Bottleneck.ADMISSION_LIMITED, Bottleneck.KV_CACHE_PRESSURE, Bottleneck.GPU_MEMORY_PRESSURE
LATE = {"replica:llm_ttft_seconds:p95_5m": 9.0, "replica:llm_itl_seconds:p95_5m": 0.09}
FULL = LATE | {
    "replica:llm_up": 1.0,
    "replica:llm_requests_running:avg2m": 16.0,
    "replica:llm_requests_running:max2m": 16.0,
    "replica:llm_requests_waiting:avg2m": 80.0,
    "replica:llm_requests_waiting:min2m": 60.0,
    "replica:llm_max_running_requests": 16.0,
    "replica:llm_kv_cache_usage:avg2m": 0.02,
    "replica:llm_kv_cache_capacity_tokens": 262_144.0,
    "replica:llm_tokens_per_running_request:avg5m": 277.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
}


def asked(plan: Plan) -> list[str]:
    """The sentences that have to hold."""
    return [one.text for one in plan.verification_queries]


def test_a_step_that_is_too_small_for_the_queue_is_not_asked_to_empty_it() -> None:
    plan = plan_of(SLOTS, evidence(FULL), context(max_running_requests=16))
    assert plan.change is not None
    assert plan.change.new == 32  # for 96 that run and wait
    promise = "TTFT p95 of the canary is at most 0.97 times the other replicas', while those have the old value"
    kept = "inter-token latency p95 keeps its objective of 100 ms"
    assert asked(plan) == [promise, "nothing is preempted", kept]
    assert plan.verification is not None
    first = plan.verification_queries[0].query
    assert first.endswith(f"<= {1 - plan.verification.min_improvement:g}")  # as the verdict judges it
    assert f'instance="{plan.instances[0]}"' in first


def test_a_step_that_has_slots_for_all_is_asked_for_an_empty_queue() -> None:
    few = FULL | {"replica:llm_requests_waiting:avg2m": 8.0, "replica:llm_requests_waiting:min2m": 5.0}
    plan = plan_of(SLOTS, evidence(few), context(max_running_requests=16))
    said = asked(plan)
    assert "the batch is below 90 % of its limit" in said
    assert "on average less than one request waits at each replica" in said


def test_a_batch_that_is_cut_to_what_kv_holds_is_not_asked_for_an_empty_cache() -> None:
    plan = plan_of(KV, evidence(THRASH | LATE), context(max_running_requests=64))
    assert plan.playbook == "P02.5"  # to 0.95 of the KV capacity, which is no usage below 0.85
    assert asked(plan)[-1] == "nothing is preempted"
    assert not any("KV usage" in text for text in asked(plan))


@pytest.mark.parametrize(("waiting", "said"), [(0.0, True), (12.0, False)])
def test_more_kv_is_asked_to_stay_free_only_where_all_that_waits_fits(waiting: float, said: bool) -> None:
    roomy = THRASH | LATE | {"replica:llm_requests_waiting:avg2m": waiting}
    roomy |= {"replica:llm_requests_running:avg2m": 24.0}  # of 2,000 tokens each in 60,000·0.83/0.8
    plan = plan_of(KV, evidence(roomy), context(max_running_requests=64, kv_cache_memory_fraction=0.8))
    assert plan.playbook == "P02.4"
    assert ("KV usage is below 85 %" in asked(plan)) is said


@pytest.mark.parametrize(("used", "most"), [(0.97, "96 %"), (0.998, "98.3 %")])
def test_device_memory_comes_back_as_far_as_the_step_brings_it(used: float, most: str) -> None:
    calm = {"replica:llm_kv_cache_usage:max2m": 0.3, "replica:llm_kv_cache_usage:avg2m": 0.2}
    full = THRASH | LATE | calm | {"gpu:gpu_memory_used:ratio": used, "gpu:gpu_memory_free_bytes": 80e9 * (1 - used)}
    plan = plan_of(MEMORY, evidence(full), context(known=facts(), kv_cache_memory_fraction=0.95))
    assert plan.playbook == "P01.2"
    assert asked(plan)[0] == f"no GPU of its nodes has more than {most} of its memory in use"


def test_latencies_that_are_over_their_objective_and_stay_so_are_not_asked_to_keep_it() -> None:
    long = FULL | {"replica:llm_itl_seconds:p95_5m": 0.4, "replica:llm_itl_seconds:p99_5m": 0.8}
    long |= {"replica:llm_itl_seconds:p50_5m": 0.05, "replica:llm_ttft_seconds:p95_5m": 1.0}
    given = context(max_batched_tokens=8192, chunked_prefill=True, max_running_requests=16)
    plan = plan_of(Bottleneck.PREFILL_BOUND, evidence(long), given)
    assert plan.playbook == "P05.2"
    assert not any("inter-token latency p95 keeps" in text for text in asked(plan))
    assert "TTFT p95 keeps its objective of 2 s" in asked(plan)


@pytest.mark.parametrize(
    ("engine", "silent", "named"),
    [
        ("tgi", "replica:llm_requests_waiting:avg2m", "queueing per generated token"),
        ("tensorrt_llm", "replica:llm_ttft_seconds:p95_5m", "TTFT p95"),
        ("sglang", "replica:llm_preemptions_per_request:ratio_rate5m", "preemptions per request"),
    ],
)
def test_a_change_that_nothing_could_prove_is_advice_with_its_patch_and_says_so(
    engine: str, silent: str, named: str
) -> None:
    """It would cost two restarts: one to make it, one to take it back."""
    told = FULL | {
        "replica:llm_requests_waiting:avg2m": 9.0,
        "replica:llm_generation_tokens:rate5m": 800.0,
        "replica:llm_requests_paused": 0.0,
    }
    plan = plan_of(SLOTS, evidence(told), context(engine, max_running_requests=16))
    assert not plan.is_advice
    seen = evidence({name: value for name, value in told.items() if name != silent})
    plan = plan_of(SLOTS, seen, context(engine, max_running_requests=16))
    assert plan.change is not None
    assert plan.is_advice
    assert plan.withheld.startswith(f"{named} of {ONE} cannot be read")
    assert plan.withheld.endswith(f"{plan.change.flag} 16 -> {plan.change.new}.")
    assert plan.patches
    assert not any(silent in one.query for one in (*plan.verification_queries, *plan.rollback_queries))
