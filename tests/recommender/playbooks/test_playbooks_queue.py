"""P03 where hardly anything is told: what holds a queue back is asked for, and what is seen sizes the advice."""

from recommender.playbooks import Advice
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, advised, changed, context, evidence, refused, size

QUEUE = Bottleneck.QUEUE_BUILDUP
# llama.cpp's own page: no limit, no KV, no times; TGI's: no preemptions.
SEEN = {
    "replica:llm_requests_running:avg2m": 6.0,
    "replica:llm_requests_running:max2m": 6.0,
    "replica:llm_requests_waiting:avg2m": 40.0,
    "replica:llm_requests_waiting:min2m": 30.0,
}
ALL = {
    "service:llm_replicas_up:count": 2.0,
    "service:llm_requests_running:sum": 12.0,
    "service:llm_requests_waiting:sum": 80.0,
}


def test_a_queue_of_which_the_limit_is_unknown_gets_what_is_seen_and_how_to_know_more() -> None:
    outcome = size(QUEUE, "P03.1", evidence(SEEN), context("llamacpp"))
    assert "runs 6 requests while 40 wait, and never ran more than 6" in advised(outcome)
    assert isinstance(outcome, Advice)
    (asked,) = outcome.asks  # its slots have their context from the start: KV and preemptions tell nothing of them
    assert "/props" in asked.how
    assert "services.chat.settings.max_running_requests" in asked.how


def test_what_else_is_unknown_is_asked_for_of_engines_that_share_kv() -> None:
    outcome = size(QUEUE, "P03.1", evidence(SEEN), context("vllm"))
    assert isinstance(outcome, Advice)
    assert len(outcome.asks) == 3
    calm = {name: value for name, value in SEEN.items() if "min2m" not in name}
    assert "never ran more" not in advised(size(QUEUE, "P03.1", evidence(calm), context("vllm")))
    known = SEEN | {
        "replica:llm_admission_fullness:ratio_avg2m": 1.0,
        "replica:llm_kv_cache_usage:avg2m": 0.5,
        "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
    }
    assert "is known" in refused(size(QUEUE, "P03.1", evidence(known), context("vllm")))


def test_a_configured_limit_tells_how_full_a_batch_is() -> None:
    given = context("llamacpp", max_running_requests=6)
    assert "Set -np to 12" in advised(size(QUEUE, "P04.1", evidence(SEEN), given))
    assert "is known" in refused(size(QUEUE, "P03.1", evidence(SEEN), given))
    roomy = context("llamacpp", max_running_requests=12)
    assert "not held back by its slots" in refused(size(QUEUE, "P04.1", evidence(SEEN), roomy))
    assert "is unknown" in refused(size(QUEUE, "P04.1", evidence(SEEN), context("llamacpp")))


def test_an_engine_that_never_preempts_need_not_say_so() -> None:
    reserved = SEEN | {
        "replica:llm_kv_cache_usage:avg2m": 0.1,
        "replica:llm_kv_cache_capacity_tokens": 19_200.0,
        "replica:llm_tokens_per_running_request:avg5m": 125.0,
    }
    change = changed(size(QUEUE, "P04.1", evidence(reserved), context("tgi", max_running_requests=6)))
    assert (change.old, change.new) == (6, 12)
    assert "runs 6 of 6 requests" in change.reason
    full = reserved | {"replica:llm_kv_cache_usage:avg2m": 0.95}
    assert "not held back" in refused(size(QUEUE, "P04.1", evidence(full), context("tgi", max_running_requests=6)))


def test_replicas_are_sized_by_what_they_ran_at_most_while_others_waited() -> None:
    finished = ALL | {"service:llm_requests:rate5m": 2.0}
    # 12 run and 2 end a second: 6 s in a slot. 80 that wait take 80·6/300 slots in 300 s: (12 + 1.6)/(0.75·6) = 3.02.
    text = advised(size(QUEUE, "P03.2", evidence(SEEN, service=finished), context("llamacpp")))
    assert "With what replicas run at most while others wait at least 4 replicas" in text
    for less in (
        {ONE: {"replica:llm_requests_waiting:min2m": 0.0}},
        {TWO: {"replica:llm_requests_waiting:min2m": 0.0}},
    ):
        seen = evidence(SEEN, service=finished, per_replica=less)  # one might take more
        assert "unknown" in refused(size(QUEUE, "P03.2", seen, context("llamacpp")))
