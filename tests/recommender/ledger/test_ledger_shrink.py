"""Shrinking: what is published moves towards what the site measured, never past it, and not at all without it."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.ledger import LedgerConfig, SiteEffects, SiteResult
from recommender.ledger.pooling import Levels, leaf_weights
from recommender.model import Direction, Expectation

TTFT = "ttft_p95_seconds"
HERE = ("P04.1", "vllm", "H100")
ROUNDED = 1.001  # answers have four digits
LEVELS = Levels(common=0.5, engine=0.25, gpu=0.25)

unhurried = settings(deadline=None)  # a busy machine is no failure
ratios = st.floats(0.0, 200.0)
sigmas = st.none() | st.floats(0.0, 2.0)
results = st.builds(
    SiteResult,
    playbook=st.sampled_from(["P04.1", "P02.4"]),
    engine=st.sampled_from(["vllm", "sglang", "tgi"]),
    gpu=st.sampled_from(["H100", "A100", None]),
    metric=st.sampled_from([TTFT, "itl_p95_seconds"]),
    ratio=ratios,
    sigma=sigmas,
    succeeded=st.sampled_from([True, False, None]),
)
gpus = st.sampled_from(["H100", "L4", None])


@st.composite
def expectations(draw: Any) -> Expectation:
    low, mid, high = sorted(draw(st.tuples(ratios, ratios, ratios)))
    direction = draw(st.sampled_from(Direction))
    ends = (low, high) if direction is Direction.HIGHER else (high, low)
    middle = draw(st.sampled_from([mid, None]))
    return Expectation(metric=TTFT, direction=direction, low=ends[0], mid=middle, high=ends[1], source="published")


def lower(low: float, high: float, mid: float | None = None) -> Expectation:
    return Expectation(metric=TTFT, direction=Direction.LOWER, low=low, mid=mid, high=high, source="published")


def measured(ratio: float, count: int = 1, **update: Any) -> list[SiteResult]:
    playbook, engine, gpu = HERE
    given_ = {"playbook": playbook, "engine": engine, "gpu": gpu, "metric": TTFT, "ratio": ratio, "sigma": 0.05}
    return [SiteResult(**{**given_, **update})] * count


def mid_of(expectation: Expectation) -> float:
    assert expectation.mid is not None
    return expectation.mid


@unhurried
@given(expectations(), gpus)
def test_without_results_the_answer_is_the_prior_itself(published: Expectation, gpu: str | None) -> None:
    given_back = SiteEffects().correct("P04.1", "vllm", gpu, published)
    assert given_back.model_copy(update={"mid": published.mid}) == published
    assert published.mid in {None, given_back.mid}


@unhurried
@given(expectations(), st.lists(results, max_size=8), gpus)
def test_results_of_other_playbooks_and_metrics_say_nothing(
    published: Expectation, others: list[SiteResult], gpu: str | None
) -> None:
    foreign = [one for one in others if (one.playbook, one.metric) != ("P04.1", TTFT)]
    corrected = SiteEffects(foreign).correct("P04.1", "vllm", gpu, published)
    assert corrected == SiteEffects().correct("P04.1", "vllm", gpu, published)


@unhurried
@given(expectations(), st.lists(results, max_size=12), gpus)
def test_the_answer_is_within_prior_and_results_and_in_order(
    published: Expectation, found: list[SiteResult], gpu: str | None
) -> None:
    corrected = SiteEffects(found).correct("P04.1", "vllm", gpu, published)
    assert corrected.mid is not None
    answer = (corrected.low, corrected.mid, corrected.high)
    about = [one.ratio for one in found if (one.playbook, one.metric) == ("P04.1", TTFT)]
    known = [*about, published.low, published.high]
    ends = [min(max(one, 0.01), 100.0) for one in known] if about else known
    assert min(ends) / ROUNDED <= min(answer)
    assert max(answer) <= max(ends) * ROUNDED
    worst_first = list(answer) if published.direction is Direction.HIGHER else list(reversed(answer))
    if published.low != published.high:
        assert worst_first == sorted(worst_first)


@unhurried
@given(expectations(), st.lists(results, min_size=1, max_size=8), gpus, st.data())
def test_a_larger_result_never_makes_the_answer_smaller(
    published: Expectation, found: list[SiteResult], gpu: str | None, data: Any
) -> None:
    place = data.draw(st.integers(0, len(found) - 1))
    one = found[place]
    larger = SiteResult(
        one.playbook, one.engine, one.gpu, one.metric, one.ratio * data.draw(st.floats(1, 10)), one.sigma, one.succeeded
    )
    before = SiteEffects(found).correct("P04.1", "vllm", gpu, published)
    after = SiteEffects([*found[:place], larger, *found[place + 1 :]]).correct("P04.1", "vllm", gpu, published)
    assert after.low >= before.low
    assert mid_of(after) >= mid_of(before)
    assert after.high >= before.high


@unhurried
@given(expectations(), st.lists(results, max_size=8).flatmap(lambda found: st.tuples(*[st.permutations(found)] * 2)))
def test_the_order_of_the_results_changes_no_bit(
    published: Expectation, orders: tuple[list[SiteResult], list[SiteResult]]
) -> None:
    one, other = (SiteEffects(order) for order in orders)
    assert one.correct(*HERE, published) == other.correct(*HERE, published)
    assert one.rank_key(*HERE, published) == other.rank_key(*HERE, published)


def test_few_results_move_little_and_many_dominate() -> None:
    published = lower(0.9, 0.4, mid=0.6)
    found = [mid_of(SiteEffects(measured(0.95, n)).correct(*HERE, published)) for n in (0, 1, 3, 10, 100)]
    assert found == sorted(found)
    assert found[0] == 0.6
    assert found[1] < 0.7  # a quarter of the way, in logs, at the most
    assert found[2] < 0.6 + (0.95 - 0.6) * 0.55
    assert found[4] > 0.93


def test_n_sure_results_weigh_n_against_the_prior_weight() -> None:
    published = lower(2.0, 0.5, mid=1.0)  # so wide a range that an error of 5 % is none
    for n in (1, 3, 9):
        moved = math.log(mid_of(SiteEffects(measured(2.0, n)).correct(*HERE, published)))
        assert moved / math.log(2.0) == pytest.approx(n / (n + 3), rel=0.02)


def test_the_range_closes_in_on_what_was_measured() -> None:
    published = lower(0.97, 0.3)
    corrected = SiteEffects([*measured(0.8, 40), *measured(0.7, 40)]).correct(*HERE, published)
    assert corrected.low == pytest.approx(0.8, rel=0.03)
    assert corrected.high == pytest.approx(0.7, rel=0.1)
    assert "80 rollouts at this site" in corrected.source


def test_the_nearer_the_results_the_more_they_weigh_and_other_engines_never_more_than_half() -> None:
    published = lower(0.9, 0.4, mid=0.6)

    def weight(**where: Any) -> float:
        corrected = SiteEffects(measured(1.2, 1000, **where)).correct(*HERE, published)
        return math.log(mid_of(corrected) / 0.6) / math.log(1.2 / 0.6)

    own, gpu, engine, unknown = weight(), weight(gpu="A100"), weight(engine="tgi"), weight(gpu=None)
    assert own > gpu > engine
    assert own > 0.98
    assert engine <= 0.5
    assert unknown == gpu  # an unknown GPU may be this one, which nobody knows


def test_two_unknown_gpus_are_not_known_to_be_the_same() -> None:
    published = lower(0.9, 0.4, mid=0.6)
    site = SiteEffects(measured(1.2, 1000, gpu=None))
    assert mid_of(site.correct("P04.1", "vllm", None, published)) < 1.1


def test_an_unsure_measurement_weighs_less() -> None:
    published = lower(0.9, 0.5, mid=0.7)
    sure, unsure = (mid_of(SiteEffects(measured(1.3, sigma=s)).correct(*HERE, published)) for s in (0.05, 1.0))
    assert sure > unsure > 0.7


def test_gains_are_halved_where_no_middle_is_given_and_losses_are_not() -> None:
    gain = SiteEffects().correct(*HERE, lower(0.9, 0.4))
    assert math.log(mid_of(gain)) == pytest.approx((math.log(0.9) + math.log(0.4)) / 4, abs=1e-3)
    loss = SiteEffects().correct(*HERE, lower(1.5, 1.0))
    assert math.log(mid_of(loss)) == pytest.approx(math.log(1.5) / 2, abs=1e-3)


def test_none_left_has_a_logarithm_too() -> None:
    corrected = SiteEffects(measured(0.0, 5)).correct(*HERE, lower(0.5, 0.0))
    assert 0 < corrected.high < mid_of(corrected) < corrected.low < 0.5


@pytest.mark.parametrize("odd", [math.nan, math.inf, -1.0])
def test_a_range_that_is_none_is_given_back(odd: float) -> None:
    published = lower(0.9, odd)
    assert SiteEffects(measured(1.2)).correct(*HERE, published) is published


def test_what_was_never_tried_here_keeps_the_safety_order() -> None:
    assert SiteEffects().rank_key(*HERE, lower(0.5, 0.1)) == SiteEffects().rank_key(*HERE, lower(0.9, 0.8)) == 0.0


def test_what_was_proven_comes_first_and_what_failed_last() -> None:
    published = lower(0.9, 0.4)
    proven = SiteEffects(measured(0.7, 2, succeeded=True)).rank_key(*HERE, published)
    failed = SiteEffects(measured(1.1, 2, succeeded=False)).rank_key(*HERE, published)
    elsewhere = SiteEffects(measured(0.7, 2, engine="tgi", succeeded=True)).rank_key(*HERE, published)
    assert proven < elsewhere < 0.0 < failed


def test_a_result_that_says_nothing_of_success_ranks_nothing() -> None:
    assert SiteEffects(measured(0.7, 5, succeeded=None)).rank_key(*HERE, lower(0.9, 0.4)) == 0.0


@unhurried
@given(expectations(), st.integers(0, 6), st.integers(0, 6))
def test_one_more_success_never_ranks_lower_and_one_more_failure_never_higher(
    published: Expectation, won: int, lost: int
) -> None:
    def key(won: int, lost: int) -> float:
        told = [*measured(0.8, won, succeeded=True), *measured(0.8, lost, succeeded=False)]
        fixed = measured(0.8, 20 - won - lost)  # so that the expected gain stays what it is
        return SiteEffects([*told, *fixed]).rank_key(*HERE, published)

    assert key(won + 1, lost) <= key(won, lost) + 1e-12
    assert key(won, lost + 1) >= key(won, lost) - 1e-12


@unhurried
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["vllm", "sglang", "tgi"]), st.sampled_from(["H100", "A100", None])),
        st.floats(0.01, 100),
        max_size=9,
    ),
    gpus,
)
def test_weights_are_positive_and_leave_something_to_the_prior(variances: Any, gpu: str | None) -> None:
    weights = leaf_weights(variances, LEVELS, "vllm", gpu)
    assert set(weights) == set(variances)
    assert all(weight > 0 for weight in weights.values())
    assert math.fsum(weights.values()) < 1


def test_the_weights_are_those_of_the_whole_normal_distribution() -> None:
    """Against the textbook: regression of the asked mean on all measured means, with their full covariance."""
    variances = {("vllm", "H100"): 0.7, ("vllm", "A100"): 0.4, ("vllm", None): 0.9, ("tgi", "H100"): 0.2}

    def shared(one: Any, other: Any) -> float:
        same_engine = one[0] == other[0]
        return LEVELS.common + same_engine * (LEVELS.engine + (one[1] == other[1]) * LEVELS.gpu)

    leaves = list(variances)
    covariance = [[shared(a, b) + (a == b) * variances[a] for b in leaves] for a in leaves]
    asked = [shared(("vllm", "H100"), leaf) for leaf in leaves]
    weights = leaf_weights(variances, LEVELS, "vllm", "H100")
    for row, target in zip(covariance, asked, strict=True):  # the normal equations: covariance · weights = asked
        assert sum(c * weights[leaf] for c, leaf in zip(row, leaves, strict=True)) == pytest.approx(target)


def test_a_site_may_trust_what_is_published_more_or_less() -> None:
    published = lower(0.9, 0.4, mid=0.6)
    trusting, doubting = (
        mid_of(SiteEffects(measured(1.2, 3), LedgerConfig(prior_weight=weight)).correct(*HERE, published))
        for weight in (30.0, 0.3)
    )
    assert 0.6 < trusting < 0.7 < doubting < 1.2


def test_the_page_shows_figures_and_defaults_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "effect-ledger.md").read_text(encoding="utf-8")
    published = lower(0.97, 0.5, mid=0.75)
    for n in (0, 1, 3, 10, 30):
        here, gpu, engine = (
            SiteEffects(measured(0.95, n, **where)).correct(*HERE, published)
            for where in ({}, {"gpu": "A100"}, {"engine": "sglang"})
        )
        row = f"| {n} | **{here.mid:.2f}** ({here.low:.2f} to {here.high:.2f}) | {gpu.mid:.2f} | {engine.mid:.2f} |"
        assert row in page
    defaults = LedgerConfig()
    for name in ("prior_weight", "sigma_unknown", "sigma_least", "failure_cost"):
        assert f"| `{name}` | {getattr(defaults, name):g} |" in page
    assert f"| {defaults.engine_share:g}, {defaults.gpu_share:g} |" in page
