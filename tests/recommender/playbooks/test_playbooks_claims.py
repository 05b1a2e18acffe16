"""What advice claims beyond its figures: nothing that the same screen contradicts."""

import pytest

from recommender.model import Feasibility
from recommender.plan_queries import rollback_queries
from recommender.playbooks.batch_limit import RAISE_BATCH_LIMIT
from recommender.sizing import NotApplicable, replicas_for_kv, replicas_for_load
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, advised, changed, context, evidence, facts, size

KV, SLOTS = Bottleneck.KV_CACHE_PRESSURE, Bottleneck.ADMISSION_LIMITED
THRASH = {
    "replica:llm_requests_running:avg2m": 5.4,
    "replica:llm_kv_cache_usage:avg2m": 0.9,
    "replica:llm_kv_cache_capacity_tokens": 3_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 500.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 3.0,
}
FULL = {
    "replica:llm_requests_running:avg2m": 16.0,
    "replica:llm_requests_waiting:avg2m": 80.0,
    "replica:llm_max_running_requests": 16.0,
    "replica:llm_kv_cache_usage:avg2m": 0.02,
    "replica:llm_kv_cache_capacity_tokens": 262_144.0,
    "replica:llm_tokens_per_running_request:avg5m": 277.0,
    "replica:llm_itl_seconds:p95_5m": 0.005,
    "replica:llm_ttft_seconds:p95_5m": 1.5,
}


@pytest.mark.parametrize(
    ("waiting", "said"), [(27.0, "The 27 requests that wait need KV besides"), (None, "Requests that wait need KV")]
)
def test_replicas_for_what_is_held_are_the_least_while_requests_wait(waiting: float | None, said: str) -> None:
    """A full cache says nothing of the demand: twice as many replicas would be as full."""
    service = {"service:llm_replicas_up:count": 2.0, "service:llm_kv_cache_usage:avg": 1.0}
    queue = {} if waiting is None else {"service:llm_requests_waiting:sum": waiting}
    text = advised(size(KV, "P02.3", evidence(THRASH, service=service | queue), context()))
    assert text.startswith("At least 3 replicas")
    assert "ceil(2·0.900/0.70) = 3" in text  # of two minutes, which the plan shows, not of this moment
    assert said in text


def test_replicas_for_what_is_held_are_all_that_is_needed_where_nothing_waits() -> None:
    service = {"service:llm_replicas_up:count": 2.0, "service:llm_requests_waiting:sum": 0.0}
    assert advised(size(KV, "P02.3", evidence(THRASH, service=service), context())).endswith("= 3.")


def test_what_is_held_before_a_smaller_batch_is_what_is_seen() -> None:
    proof = changed(size(KV, "P02.5", evidence(THRASH), context(max_running_requests=16))).feasibility
    assert isinstance(proof, Feasibility)
    assert "before, 90 %" in proof.text  # 5.4 requests, not 5


def test_an_itl_below_the_first_bound_permits_no_more_than_that_bound() -> None:
    """Its p95 is given as the mean there: twice as many slots surely keep 40 ms, four times as many only of 5 ms."""
    seen = {**FULL}
    objective = {"itl_p95_seconds": 0.0399}
    fine = evidence(seen, objectives=objective)
    coarse = evidence(seen, objectives=objective, service={"service:llm_itl_seconds:p95_coarse": 0.02})
    given = context(max_running_requests=16)
    news = [changed(size(SLOTS, "P04.1", each, given, ONE, TWO)).new for each in (fine, coarse)]
    assert news == [64, 32]


def test_a_cache_of_another_size_than_the_facts_give_makes_no_promise_of_more_gpus() -> None:
    """An override of the blocks, or a model that is not the one that runs."""
    given = context(known=facts(), kv_cache_memory_fraction=0.9)
    told = advised(size(KV, "P02.9", evidence(THRASH), given))
    assert "KV capacity" not in told
    usual = evidence({**THRASH, "replica:llm_kv_cache_capacity_tokens": 400_000.0})
    assert "KV capacity 400,000 (told)" in advised(size(KV, "P02.9", usual, given))


def test_one_replica_is_compared_with_itself_and_that_is_said() -> None:
    lone = evidence(FULL).model_copy(update={"replica_readings": {ONE: evidence(FULL).replica_readings[ONE]}})
    for seen, said in ((lone, "1.15 times its own an hour before"), (evidence(FULL), "1.15 times the other replicas'")):
        (late,) = (one for one in rollback_queries((), seen, (ONE,), context()) if one.text.startswith("TTFT"))
        assert late.text.endswith(said)
        assert ("offset 1h" in late.query) is (seen is lone)


def test_what_is_known_is_not_asked_for() -> None:
    given = context(known=facts(model=None, kv_dtype=None))
    assert [ask.fact for ask in given.asks("model", "kv_dtype", "tensor_parallel", "gpu")] == ["model", "kv_dtype"]


def test_figures_beyond_all_counting_give_no_replicas() -> None:
    assert isinstance(replicas_for_load(1e300, 1e308, 1e-300, 1.0), NotApplicable)
    assert isinstance(replicas_for_kv(1e308, 1e308), NotApplicable)


@pytest.mark.parametrize(
    ("itl", "objective", "worst"),
    [
        (0.005, 0.1, 4.0),  # 16 → 64: a step takes at most four times as long
        (0.1, 0.15, 1.5),  # 16 → 32: beyond its objective the change is taken back
        (0.1, None, 1.2),  # beyond the guard, which is a fifth more where nobody says what is acceptable
    ],
)
def test_more_slots_may_slow_tokens_up_to_what_takes_the_change_back(
    itl: float, objective: float | None, worst: float
) -> None:
    """Four times the slots of a real engine took 1.66 times as long a step: 1.2 was no honest bound."""
    seen = evidence({**FULL, "replica:llm_itl_seconds:p95_5m": itl}, objectives={"itl_p95_seconds": objective})
    given = context(max_running_requests=16)
    change = changed(size(SLOTS, "P04.1", seen, given, ONE, TWO))
    (told,) = (one for one in RAISE_BATCH_LIMIT.effects(change, seen, ONE, given).expected if "itl" in one.metric)
    assert (told.low, told.high) == (pytest.approx(worst), 1.0)


def test_first_tokens_never_queue_longer_than_they_take() -> None:
    """The share is of two windows, and may be a little more than all."""
    seen = evidence({**FULL, "replica:llm_queue_share_of_ttft:ratio_rate5m": 1.03})
    given = context(max_running_requests=16)
    change = changed(size(SLOTS, "P04.1", seen, given, ONE, TWO))
    assert (
        "at best the queueing, 100 % of TTFT" in RAISE_BATCH_LIMIT.effects(change, seen, ONE, given).must_improve.source
    )
