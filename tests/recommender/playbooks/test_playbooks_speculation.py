"""Speculation: the speed-up by hand decides between on, shorter and off."""

import pytest

from recommender.playbooks import Advice
from recommender.playbooks.speculation import acceptance_of, ridge
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, advised, changed, context, evidence, facts, playbook, refused, size

DECODE = Bottleneck.DECODE_BANDWIDTH_BOUND
QUIET = {"replica:llm_requests_running:max2m": 8.0, "replica:llm_kv_cache_usage:avg2m": 0.3}


def drafting(accepted: float, running: float) -> dict[str, float]:
    """A replica that drafts 100 tokens a second."""
    return {
        "replica:llm_spec_draft_tokens:rate5m": 100.0,
        "replica:llm_spec_accepted_tokens:rate5m": accepted,
        "replica:llm_requests_running:max2m": running,
        "replica:llm_kv_cache_usage:avg2m": 0.3,
    }


def speed_up(acceptance: float, tokens: int, running: float, limit: float, cost: float = 0.05) -> float:
    """S = E/(1 + k·c + v) as tuning §2.7 writes it."""
    expected = sum(acceptance**place for place in range(tokens + 1))
    return expected / (1 + tokens * cost + max(0.0, running * (tokens + 1) / limit - 1))


def test_the_ridge_is_that_of_the_gpu_and_the_type_of_its_weights() -> None:
    assert ridge(context(known=facts())) == pytest.approx(989e12 / 3350e9)  # 295
    assert ridge(context(known=facts("h200"))) == pytest.approx(206, abs=0.5)
    assert ridge(context(known=facts(weight_dtype="int4"))) == pytest.approx(989e12 / 3350e9 / 4)
    assert ridge(context()) is None


def test_acceptance_of_one_token_is_found_from_that_of_all_drafted() -> None:
    share = (0.7 + 0.7**2 + 0.7**3) / 3
    assert acceptance_of(share, 3) == pytest.approx(0.7)
    assert acceptance_of(1.0, 4) == pytest.approx(1.0)


def test_it_is_tried_where_arithmetic_idles() -> None:
    text = advised(size(DECODE, "P06.5", evidence(QUIET), context(version="0.32.0", known=facts())))
    by_hand = speed_up(0.6, 3, 8, 989e12 / 3350e9)  # 8·4 tokens a step, far below 295
    assert f"{by_hand:.3g}" in text
    assert by_hand == pytest.approx(1.892, abs=0.001)
    assert '"num_speculative_tokens": 3' in text


def test_it_is_switched_on_where_the_number_of_tokens_is_configured() -> None:
    given = context(version="0.32.0", known=facts(), speculative_tokens=3, speculative_decoding="none")
    change = changed(size(DECODE, "P06.5", evidence(QUIET), given))
    assert (change.old, change.new) == ("none", "ngram")


@pytest.mark.parametrize(
    ("signals", "why"),
    [
        (QUIET | {"replica:llm_requests_running:max2m": 64.0}, "would slow them down"),  # 256 of half of 295
        (QUIET | {"replica:llm_kv_cache_usage:avg2m": 0.95}, "a draft would take some of it"),
        (QUIET | drafting(60.0, 8.0), "speculates already"),
    ],
)
def test_it_is_not_tried_where_it_would_harm(signals: dict[str, float], why: str) -> None:
    assert why in refused(size(DECODE, "P06.5", evidence(signals), context(known=facts())))
    outcome = size(DECODE, "P06.5", evidence(QUIET), context())
    assert isinstance(outcome, Advice)
    assert {ask.fact for ask in outcome.asks} == {"gpu", "weight_dtype"}
    burning = evidence(QUIET, confirmed=(Bottleneck.SLO_BURN,))
    assert "error budget burns" in refused(size(DECODE, "P06.5", burning, context(known=facts())))


def test_it_is_stopped_when_too_few_tokens_are_accepted_or_the_batch_is_large() -> None:
    given = context(version="0.32.0", known=facts(), speculative_decoding="ngram", speculative_tokens=4)
    blind = context(version="0.32.0", speculative_decoding="ngram", speculative_tokens=4)
    few = changed(size(DECODE, "P06.9", evidence(drafting(30.0, 8.0)), blind))  # S is unknown without the GPU
    assert (few.old, few.new) == ("ngram", "none")
    # 30 of 100 that are accepted are 1.2 tokens more each step, at hardly any cost for a batch of eight.
    assert "it pays (S = 1.8" in refused(size(DECODE, "P06.9", evidence(drafting(30.0, 8.0)), given))
    share = sum(0.6**place for place in range(1, 5)) / 4
    busy = evidence(drafting(100 * share, 200.0))
    by_hand = speed_up(0.6, 4, 200, 989e12 / 3350e9)
    assert by_hand < 1
    large = changed(size(DECODE, "P06.9", busy, given))
    assert f"{by_hand:.3g}" in large.formula
    effects = playbook(DECODE, "P06.9").effects
    assert effects is not None
    assert effects(large, busy, ONE, given).must_improve.metric == "generation_tokens_per_second"
    assert "it pays" in refused(size(DECODE, "P06.9", evidence(drafting(60.0, 8.0)), given))
    assert "nothing is drafted" in refused(size(DECODE, "P06.9", evidence(QUIET), given))


def test_fewer_tokens_are_drafted_where_that_is_best() -> None:
    given = context(version="0.32.0", known=facts(), speculative_tokens=8)
    limit, share = 989e12 / 3350e9, sum(0.5**place for place in range(1, 9)) / 8
    gains = {k: speed_up(0.5, k, 60, limit) for k in range(1, 9)}
    best = max(gains, key=lambda k: gains[k])
    change = changed(size(DECODE, "P06.8", evidence(drafting(100 * share, 60.0)), given))
    assert best < 4
    assert change.new == 4  # at most halved
    assert f"at {best}" in change.formula
    unknown = context(version="0.32.0", speculative_tokens=8)
    assert "unknown" in refused(size(DECODE, "P06.8", evidence(drafting(100 * share, 60.0)), unknown))
