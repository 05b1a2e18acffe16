"""What a change is expected to do, and what must not get worse: the words that playbooks share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recommender.metrics import VerificationMetric
from recommender.model import Direction, Evidence, Expectation, Guard

if TYPE_CHECKING:
    from recommender.playbooks.base import PlanContext  # it needs Effects


@dataclass(frozen=True, slots=True)
class Effects:
    """What a change is expected to do, the one metric that must improve, and what must not get worse.

    `min_improvement` is the relative change of it that is proof; None: that of the service's verification.
    `unverifiable` says why nothing here could show it, which makes the change advice; empty where something can.
    """

    expected: tuple[Expectation, ...]
    must_improve: Expectation
    guards: tuple[Guard, ...]
    min_improvement: float | None = None
    unverifiable: str = ""


def published(
    metric: VerificationMetric,
    direction: Direction,
    ratios: tuple[float, float],
    source: str,
    context: "PlanContext",
) -> Expectation:
    """An expected effect from a published range of ratios new/old: the pessimistic end, then the optimistic one.

    The most likely one is half of the mid-range (tuning §3): headlines were measured where they are largest. The
    pessimistic end is never better than that.
    """
    low, high = ratios
    mid = round(1 + context.tuning.prior_share * ((low + high) / 2 - 1), 3)
    worst = max(low, mid) if direction is Direction.LOWER else min(low, mid)
    return Expectation(metric=metric, direction=direction, low=worst, mid=mid, high=high, source=source)


def fewer_preemptions(context: "PlanContext") -> Expectation:
    """What more room for KV, or less that is admitted to it, does to requests that are thrown out of it."""
    return published(
        VerificationMetric.PREEMPTIONS_PER_REQUEST,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.0),
        "P02: at best nothing is preempted any more, at worst the least that counts as proof; half of the middle is "
        "likely [guess]",
        context,
    )


def predicted(
    metric: VerificationMetric, direction: Direction, ratios: tuple[float, float, float], source: str
) -> Expectation:
    """An expected effect that a model gives: ratios new/old, the smallest, the likely and the largest one."""
    least, likely, most = ratios
    worst, best = (most, least) if direction is Direction.LOWER else (least, most)
    return Expectation(
        metric=metric,
        direction=direction,
        low=round(max(worst, 0.0), 3),
        mid=round(likely, 3),
        high=round(max(best, 0.0), 3),
        source=source,
    )


def error_guard(context: "PlanContext") -> Guard:
    """Errors may not rise: in points of the error ratio, canary against control (tuning §7.2 no. 6)."""
    return Guard(metric=VerificationMetric.ERROR_RATIO, max_increase=context.verification.error_ratio_max_increase)


def preemption_guard(context: "PlanContext") -> Guard:
    """Preemptions per finished request stay below the critical guard of tuning §7.2 no. 6."""
    return Guard(
        metric=VerificationMetric.PREEMPTIONS_PER_REQUEST, max_value=context.verification.preemptions_per_request_max
    )


def ratio_guard(metric: VerificationMetric, max_ratio: float) -> Guard:
    """Canary over control stays at or below `max_ratio`."""
    return Guard(metric=metric, max_ratio=max_ratio)


def objective_guard(metric: VerificationMetric, evidence: Evidence, max_ratio: float) -> Guard:
    """The metric stays within its objective; where there is none, at or below `max_ratio` of the control's."""
    objective = evidence.objectives.get(metric)
    if objective is not None:
        return Guard(metric=metric, max_value=objective)
    return ratio_guard(metric, max_ratio)


def itl_guard(context: "PlanContext") -> Guard:
    """Inter-token latency may rise by the relative guard of tuning §7.2 no. 6, where it is no declared trade."""
    return ratio_guard(VerificationMetric.ITL_P95_SECONDS, context.verification.itl_p95_max_ratio)


def ttft_guard(context: "PlanContext") -> Guard:
    """TTFT may rise by the relative guard of tuning §7.2 no. 6, where it is no declared trade."""
    return ratio_guard(VerificationMetric.TTFT_P95_SECONDS, context.verification.ttft_p95_max_ratio)
