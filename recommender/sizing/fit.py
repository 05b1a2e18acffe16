"""The step of an engine from its own series: alpha, beta, gamma and, where it shows, eta (tuning §2.3).

Theil-Sen for several terms: each slope is the median over pairs of what the other terms leave, in turns until nothing
moves. Medians, so outliers do not steer it. A term that its series cannot tell (it hardly varied, or moved with the
batch) is left out and named; a fit that is not physical, or that its points do not follow, is refused.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from recommender.sizing.load import StepModel
from recommender.sizing.result import NotApplicable

LEAST_POINTS = 200  # tuning §2.3
LEAST_SPREAD = 4.0  # of running requests, the largest over the smallest; tuning §2.3
MOST_ERROR = 0.15  # median of |fit/point - 1|; beyond, a step is not what the model says
_THINNED = 120  # pairs grow with the square
_ROUNDS = 20
_NEAR = 0.05  # of the range: pairs that are nearer tell more noise than slope
_TOGETHER = 0.9  # correlation above which two terms cannot be told apart


@dataclass(frozen=True, slots=True)
class StepPoint:
    """Means over one window: requests in the batch, ITL in seconds, prompt tokens in a step, KV tokens held."""

    batch: float
    itl_seconds: float
    prompt_tokens: float | None = None
    kv_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class FittedStep:
    """A step and how well it is known. `unknown`: terms that the points could not tell, "gamma" or "eta", and why."""

    step: StepModel
    points: int
    median_error: float
    unknown: dict[str, str]


def fit_step(points: Sequence[StepPoint]) -> FittedStep | NotApplicable:
    """Fit a step to at least 200 points over a fourfold range of running requests."""
    batches = [point.batch for point in points]
    if len(points) < LEAST_POINTS or min(batches) <= 0 or max(batches) < LEAST_SPREAD * min(batches):
        return NotApplicable(f"fewer than {LEAST_POINTS} points over a fourfold range of running requests")
    thinned = points[:: math.ceil(len(points) / _THINNED)]
    terms: dict[str, list[float]] = {"beta": [point.batch for point in thinned]}
    unknown: dict[str, str] = {}
    for name, values, what in (
        ("gamma", [point.prompt_tokens for point in thinned], "prompt tokens"),
        ("eta", [point.kv_tokens for point in thinned], "KV tokens"),
    ):
        told = [value for value in values if value is not None]
        reason = _why_not(told, len(thinned), terms, what)
        if reason:
            unknown[name] = reason
        else:
            terms[name] = told
    return _physical(terms, [point.itl_seconds for point in thinned], len(points), unknown)


def _physical(
    terms: dict[str, list[float]], times: list[float], points: int, unknown: dict[str, str]
) -> FittedStep | NotApplicable:
    """The fit with as many terms as are physical: a negative gamma or eta is noise and goes first.

    Where KV reads are all that rises with the batch, beta is nothing but noise and goes instead.
    """
    while True:
        alpha, slopes = _fit(terms, times)
        noise = next((name for name in ("eta", "gamma") if slopes.get(name, 0.0) < 0), None)
        if noise is None and slopes.get("beta", 0.0) < 0 and "eta" in terms:
            del terms["beta"]
            continue
        if noise is None:
            break
        unknown[noise] = "the fit makes it negative"
        del terms[noise]
    beta = slopes.get("beta", 0.0)
    if alpha <= 0 or beta < 0:
        return NotApplicable(f"the fit alpha={alpha:.3g} s, beta={beta:.3g} s is not physical")
    fitted = [alpha + math.fsum(slopes[name] * terms[name][i] for name in terms) for i in range(len(times))]
    error = statistics.median(abs(ours / theirs - 1) for ours, theirs in zip(fitted, times, strict=True) if theirs > 0)
    if error > MOST_ERROR:
        return NotApplicable(f"half of the points are more than {100 * error:.0f} % off: ITL does not follow the batch")
    step = StepModel(alpha, beta, slopes.get("gamma", 0.0), slopes.get("eta", 0.0))
    return FittedStep(step, points, error, unknown)


def _why_not(told: list[float], points: int, terms: dict[str, list[float]], what: str) -> str:
    """Why a term cannot be told from these values; empty when it can."""
    if len(told) < points:
        return f"{what} are not known at every point"
    if max(told) - min(told) <= _NEAR * max(map(abs, told)):
        return f"{what} hardly varied"
    for values in terms.values():
        if abs(_correlation(values, told)) > _TOGETHER:
            return f"{what} rose and fell with another term"
    return ""


def _correlation(first: list[float], second: list[float]) -> float:
    try:
        return statistics.correlation(first, second)
    except statistics.StatisticsError:  # one of them is constant
        return 0.0


def _fit(terms: dict[str, list[float]], times: list[float]) -> tuple[float, dict[str, float]]:
    slopes = dict.fromkeys(terms, 0.0)
    for _ in range(_ROUNDS if len(terms) > 1 else 1):
        moved = 0.0
        for name, values in terms.items():
            rest = _without(terms, slopes, times, name)
            new = _slope(values, rest)
            moved = max(moved, abs(new - slopes[name]) / (abs(new) or 1.0))
            slopes[name] = new
        if moved < 1e-4:  # noqa: PLR2004 - four digits are more than the points have
            break
    return statistics.median(_without(terms, slopes, times, None)), slopes


def _without(
    terms: dict[str, list[float]], slopes: dict[str, float], times: list[float], kept: str | None
) -> list[float]:
    """What is left of the times when all terms but `kept` are taken away."""
    others = [(slopes[name], values) for name, values in terms.items() if name != kept]
    return [time - math.fsum(slope * values[i] for slope, values in others) for i, time in enumerate(times)]


def _slope(values: list[float], times: list[float]) -> float:
    near = _NEAR * (max(values) - min(values))
    slopes = [
        (times[later] - times[earlier]) / (values[later] - values[earlier])
        for earlier in range(len(values))
        for later in range(earlier + 1, len(values))
        if abs(values[later] - values[earlier]) > near
    ]
    return statistics.median(slopes) if slopes else 0.0
