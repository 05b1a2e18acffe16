"""Mann-Whitney against scipy."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from recommender.statistics import p_less

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
