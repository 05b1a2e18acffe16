"""The empirical latency model ITL = alpha + beta·running, fitted from a service's own series (tuning §2.3)."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from recommender.sizing.result import NotApplicable


@dataclass(frozen=True, slots=True)
class LinearItl:
    """Inter-token latency in seconds as a function of the batch: alpha + beta·B (tuning §2.3)."""

    alpha_seconds: float
    beta_seconds: float

    def batch_for(self, itl_seconds: float) -> float:
        """The batch at which the mean ITL reaches `itl_seconds`: none, or any, for an engine that never slows down."""
        if self.beta_seconds > 0:
            return (itl_seconds - self.alpha_seconds) / self.beta_seconds
        return math.inf if self.alpha_seconds <= itl_seconds else 0.0

    def tokens_per_second(self, batch: float) -> float:
        """Tokens per second of one replica at this batch: B / (alpha + beta·B)."""
        return batch / (self.alpha_seconds + self.beta_seconds * batch)


def fit_linear_itl(points: Sequence[tuple[float, float]]) -> LinearItl | NotApplicable:
    """Theil-Sen fit of (running requests, mean ITL in seconds): medians, so outliers do not steer it (tuning §2.3).

    At least 200 points over a fourfold range of running requests; a fit with a negative coefficient is refused.
    """
    batches = [batch for batch, _ in points]
    if len(points) < 200 or min(batches) <= 0 or max(batches) < 4 * min(batches):  # noqa: PLR2004 - tuning §2.3
        return NotApplicable("fewer than 200 points over a fourfold range of running requests")
    thinned = points[:: max(1, len(points) // 400)]  # pairs grow with the square
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(thinned)
        for later in thinned[index + 1 :]
        if later[0] != earlier[0]
    ]
    if not slopes:
        return NotApplicable("the running requests hardly varied")
    beta = statistics.median(slopes)
    alpha = statistics.median([itl - beta * batch for batch, itl in thinned])
    if alpha <= 0 or beta < 0:
        return NotApplicable(f"the fit alpha={alpha:.3g} s, beta={beta:.3g} s is not physical")
    return LinearItl(alpha, beta)
