"""Mann-Whitney against scipy; the error of a log ratio against a simulation."""

import math
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from recommender.statistics import log_ratio_error, p_less

few = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=25)
distinct = st.lists(st.integers(0, 10**6).map(float), min_size=2, max_size=40, unique=True)


@given(few, few)
def test_the_p_value_with_ties_is_scipys(first: list[float], second: list[float]) -> None:
    together = first + second
    tied = len(set(together)) < len(together)
    if len(set(together)) == 1:
        assert p_less(first, second) == 1.0
        return
    method = "asymptotic" if tied or min(len(first), len(second)) > 8 else "exact"
    expected = mannwhitneyu(first, second, alternative="less", method=method).pvalue
    assert p_less(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(distinct, st.data())
def test_the_p_value_without_ties_is_scipys(together: list[float], data: Any) -> None:
    cut = data.draw(st.integers(1, len(together) - 1))
    first, second = together[:cut], together[cut:]
    method = "exact" if min(len(first), len(second)) <= 8 else "asymptotic"
    expected = mannwhitneyu(first, second, alternative="less", method=method).pvalue
    assert p_less(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_an_empty_sample_has_no_p_value() -> None:
    assert p_less([], [1.0]) is None
    assert p_less([1.0], []) is None


def test_the_error_of_a_log_ratio_is_how_far_it_scatters() -> None:
    dice = Random(7)

    def draw(mean: float) -> list[float]:
        return [dice.gauss(mean, 0.2 * mean) for _ in range(12)]

    pairs = [(draw(3.0), draw(5.0)) for _ in range(2000)]
    scatter = stdev(math.log(fmean(first) / fmean(second)) for first, second in pairs)
    errors = [log_ratio_error(first, second) for first, second in pairs]
    assert fmean(error for error in errors if error is not None) == pytest.approx(scatter, rel=0.05)


@pytest.mark.parametrize("side", [[], [1.0, 2.0, 3.0], [0.0] * 5, [-1.0] * 5, [1.0, 1.0, 1.0, math.inf]])
def test_what_does_not_scatter_around_a_positive_mean_has_no_error(side: list[float]) -> None:
    assert log_ratio_error(side, [1.0, 2.0, 3.0, 4.0]) is None
    assert log_ratio_error([1.0, 2.0, 3.0, 4.0], side) is None
