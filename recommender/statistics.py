"""The statistics that verdicts need: Mann-Whitney U, one-sided, and the standard error of a log ratio of means.

H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the
other", 1947. Exact for small samples without ties; otherwise the normal approximation with tie and continuity
corrections. Tests compare it with scipy, which is too large a dependency for one function.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from statistics import variance as variance_of

_SCATTER_FROM = 4  # observations
_EXACT_UP_TO = 8  # observations in the smaller sample, as in scipy: beyond it the approximation is good


def p_less(first: Sequence[float], second: Sequence[float]) -> float | None:
    """p-value of "`first` is not smaller than `second`": small when `first` is clearly the smaller one.

    None when either sample is empty. 1.0 when all observations are equal.
    """
    n1, n2 = len(first), len(second)
    if not n1 or not n2:
        return None
    ranks, ties = _ranks([*first, *second])
    u = sum(ranks[:n1]) - n1 * (n1 + 1) / 2
    if not ties and min(n1, n2) <= _EXACT_UP_TO:
        counts = _u_counts(n1, n2)
        return sum(counts[: int(u) + 1]) / sum(counts)
    n = n1 + n2
    variance = n1 * n2 / 12 * (n + 1 - sum(t**3 - t for t in ties) / (n * (n - 1)))
    if variance <= 0:
        return 1.0
    z = (u + 0.5 - n1 * n2 / 2) / math.sqrt(variance)
    return min(1.0, 0.5 * math.erfc(-z / math.sqrt(2)))


def log_ratio_error(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Standard error of ln(mean of `first` / mean of `second`), by the delta method, for independent observations.

    None with fewer than four observations on a side (their scatter is hardly known), or without a mean above zero.
    """
    squares = [_relative_error_squared(side) for side in (first, second)]
    known = [square for square in squares if square is not None]
    return math.sqrt(sum(known)) if len(known) == len(squares) else None


def _relative_error_squared(values: Sequence[float]) -> float | None:
    if len(values) < _SCATTER_FROM or not all(map(math.isfinite, values)) or (average := fmean(values)) <= 0:
        return None
    return variance_of(values) / len(values) / average**2


def _ranks(values: Sequence[float]) -> tuple[list[float], list[int]]:
    """Mid-ranks from 1, and the sizes of the groups of equal values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    ties: list[int] = []
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        if end - start > 1:
            ties.append(end - start)
        start = end
    return ranks, ties


def _u_counts(n1: int, n2: int) -> list[int]:
    """How many of the orderings of n1 and n2 observations give each U: the Gaussian binomial's coefficients."""
    counts = [1] + [0] * (n1 * n2)
    for k in range(1, n1 + 1):
        for u in range(n1 * n2, n2 + k - 1, -1):  # times (1 - q^(n2+k))
            counts[u] -= counts[u - n2 - k]
        for u in range(k, n1 * n2 + 1):  # over (1 - q^k)
            counts[u] += counts[u - k]
    return counts
