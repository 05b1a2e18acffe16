"""Judges one measurement window: canary against control, or after against before. Pure.

Four outcomes. `fail`: worse. `error`: something needed could not be measured, which says nothing of the change.
`inconclusive`: measured, but not enough requests, or neither better nor worse. `pass`: the promised metric improved
and no guard was hurt. Whatever is unknown can never give `pass`.

An improvement counts when it exceeds both `min_improvement` and the noise band, and is not chance. The noise band is
the difference between the same two arms before the change, when both ran with the old value (an A/A comparison).
"Not chance" is Mann-Whitney U at p < 0.02 (Kayenta's confidence) over the samples of the window, thinned to one a
minute because a rate over one minute read more often repeats itself. A short window cannot reach that p whatever
happens, so a plain effect is accepted too: at least 25 % better, and every one of at least four samples of the one
arm better than every one of the other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from recommender.metrics import VerificationMetric, Work
from recommender.model import Basis, Comparison, Direction, Guard, Verdict, VerdictOutcome, Verification
from recommender.statistics import log_ratio_error, p_less
from recommender.wording import figure, metric_name, percent, work_name

RATE_WINDOW_SECONDS = 60.0  # of the signals that are sampled
P_LIMIT = 0.02
Z_95 = 1.96  # standard errors to either side of a 95 % interval
PLAIN_EFFECT = 0.25
PLAIN_SAMPLES = 4
TOLERATED_LOSS = 0.10  # of the promised metric in validation, while it may be chance (tuning §7.2 no. 6)

PASS, FAIL, ERROR, INCONCLUSIVE = (
    VerdictOutcome.PASS,
    VerdictOutcome.FAIL,
    VerdictOutcome.ERROR,
    VerdictOutcome.INCONCLUSIVE,
)


@dataclass(frozen=True, slots=True)
class Arm:
    """What was measured on one set of replicas over one window. Unknown is None; samples are one an interval."""

    label: str  # "the canary 10.0.0.1:8000", "before"
    requests: float | None  # or what else of the verification's work is counted
    values: Mapping[str, float | None]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    problem: str = ""  # why the arm as a whole could not be measured

    def value(self, metric: str) -> float | None:
        """The value over the window; None when unknown or not a finite number."""
        value = self.values.get(metric)
        return value if value is not None and math.isfinite(value) else None


def judge(
    verification: Verification,
    canary: Arm,
    control: Arm,
    *,
    at: datetime,
    window_seconds: float,
    basis: Basis,
    noise: float = 0.0,
    require_improvement: bool = True,
) -> Verdict:
    """The verdict on `canary` against `control`, which `basis` says what it is.

    `noise` is the relative difference of the two arms before the change. Without `require_improvement` (the
    validation of a change that the canary proved) the promised metric only must not be worse.
    """
    if short := _too_little(verification, canary, control):
        outcome, text = short
        return Verdict(outcome=outcome, at=at, window_seconds=window_seconds, text=f"{outcome}: {text}")
    promised = _promised(verification, canary, control, noise, require_improvement=require_improvement)
    promised = _with_interval(promised, verification, canary, control, noise)
    if basis is Basis.BEFORE and require_improvement and promised.outcome is PASS:
        promised = _not_by_demand(promised, canary, control)
    lenient = not require_improvement
    comparisons = (promised, *(_guarded(guard, canary, control, lenient=lenient) for guard in verification.guards))
    outcome, counted = _worst(comparisons), f"{work_name(verification.work)} in {window_seconds:.0f} s"
    return Verdict(
        outcome=outcome,
        at=at,
        window_seconds=window_seconds,
        basis=basis,
        requests=_served(verification, canary, control),
        comparisons=comparisons,
        text=_summary(outcome, comparisons, canary, control, counted),
    )


def _served(verification: Verification, canary: Arm, control: Arm) -> float | None:
    """Requests of the arm that served fewer; None where something else is counted."""
    if verification.work not in {Work.FIRST_TOKENS, Work.REQUESTS}:
        return None
    return min((arm.requests for arm in (canary, control) if arm.requests is not None), default=None)


def measuring_error(reason: str, *, at: datetime, window_seconds: float) -> Verdict:
    """The verdict when nothing could be measured at all."""
    return Verdict(outcome=ERROR, at=at, window_seconds=window_seconds, text=f"error: {reason}")


def noise_band(metric: str, canary_before: Arm, control_before: Arm) -> float:
    """Relative difference of two arms that ran with the same value; 0 when it is not known."""
    canary, control = canary_before.value(metric), control_before.value(metric)
    return 0.0 if canary is None or not control else abs(canary / control - 1)


def _too_little(verification: Verification, canary: Arm, control: Arm) -> tuple[VerdictOutcome, str] | None:
    """Why the window cannot be judged at all, if so."""
    for arm in (canary, control):
        if arm.problem:
            return ERROR, f"{arm.label}: {arm.problem}"
        if arm.requests is None or not math.isfinite(arm.requests):
            return ERROR, f"{arm.label}: the number of {work_name(verification.work)} is unknown"
    work = work_name(verification.work)
    for arm in (canary, control):
        if arm.requests is not None and arm.requests < verification.min_requests:
            return (
                INCONCLUSIVE,
                f"{arm.label} served {arm.requests:.0f} of the {verification.min_requests} {work} needed",
            )
    return None


def _promised(
    verification: Verification, canary: Arm, control: Arm, noise: float, *, require_improvement: bool
) -> Comparison:
    expectation = verification.must_improve
    metric, name = expectation.metric, metric_name(expectation.metric)
    new, old = canary.value(metric), control.value(metric)
    if new is None or old is None:
        unknown = canary.label if new is None else control.label
        return _comparison(metric, new, old, ERROR, f"{name} of {unknown} is unknown")
    sign = -1 if expectation.direction is Direction.LOWER else 1
    gain = sign * _relative(new, old)  # above 0: better
    needed = max(verification.min_improvement, noise)
    stride = _stride(verification)
    better = [-sign * sample for sample in canary.samples.get(metric, ())]  # as if lower were better
    worse = [-sign * sample for sample in control.samples.get(metric, ())]
    says = f"{name} {figure(metric, new)} against {figure(metric, old)} ({percent(new, old)})"
    p_better, p_worse = p_less(better[::stride], worse[::stride]), p_less(worse[::stride], better[::stride])
    if gain >= needed and _not_chance(gain, better, worse, p_better):
        sure = f"p = {p_better:.2g}" if p_better is not None and p_better < P_LIMIT else "and so is every single sample"
        return _comparison(metric, new, old, PASS, f"{says}, {sure}", p=p_better)
    if -gain >= needed and _not_chance(-gain, worse, better, p_worse):
        if not require_improvement and _demand_fell(metric, canary):
            return _comparison(metric, new, old, PASS, f"{says}, with nothing waiting: fewer requests came", p=p_worse)
        return _comparison(metric, new, old, FAIL, f"{says}: worse", p=p_worse)
    if not require_improvement and -gain <= max(needed, TOLERATED_LOSS):
        return _comparison(metric, new, old, PASS, f"{says}: not worse", p=p_better)
    why = f"less than {needed:.0%} better" if gain < needed else "may be chance"
    return _comparison(metric, new, old, INCONCLUSIVE, f"{says}: {why}", p=p_better)


def _stride(verification: Verification) -> int:
    """Every how many samples one is new: a rate over a minute that is read more often repeats itself."""
    return max(1, math.ceil(RATE_WINDOW_SECONDS / verification.interval_seconds))


def _with_interval(
    comparison: Comparison, verification: Verification, canary: Arm, control: Arm, noise: float
) -> Comparison:
    """With the 95 % interval of the ratio: the samples' own scatter, and how far apart the arms were before."""
    stride = _stride(verification)
    new = canary.samples.get(comparison.metric, ())[::stride]
    old = control.samples.get(comparison.metric, ())[::stride]
    error = log_ratio_error(new, old)
    if error is None or not comparison.ratio or comparison.ratio < 0:
        return comparison
    factor = math.exp(Z_95 * math.hypot(error, math.log1p(noise)))
    interval = {"ratio_low": comparison.ratio / factor, "ratio_high": comparison.ratio * factor}
    return comparison.model_copy(update={**interval, "samples": min(len(new), len(old))})


def _not_chance(gain: float, better: Sequence[float], worse: Sequence[float], p: float | None) -> bool:
    if p is not None and p < P_LIMIT:
        return True
    enough = min(len(better), len(worse)) >= PLAIN_SAMPLES
    return enough and gain >= PLAIN_EFFECT and max(better) < min(worse)


# What tells of the change whatever is asked of the service.
_WITHOUT_DEMAND = frozenset(
    {
        VerificationMetric.DEVICE_MEMORY_USED_RATIO,
        VerificationMetric.HOST_MEMORY_AVAILABLE_RATIO,
        VerificationMetric.MODEL_ON_DEVICE_RATIO,
        VerificationMetric.PREFIX_CACHE_HIT_RATIO,
    }
)


def _not_by_demand(promised: Comparison, after: Arm, before: Arm) -> Comparison:
    """An improvement over before proves the change only while as much was asked for.

    As many tokens as before say so, or requests that still wait. More tokens prove something only where requests
    waited before: else more may just have been asked for.
    """
    if promised.metric in _WITHOUT_DEMAND:
        return promised
    tokens, waiting = VerificationMetric.GENERATION_TOKENS_RATE, VerificationMetric.REQUESTS_WAITING
    if promised.metric == tokens:
        why = (
            "" if (before.value(waiting) or 0) >= 1 else "nothing is known to have waited before: demand may have risen"
        )
    else:
        new, old = after.value(tokens), before.value(tokens)
        as_much = new is not None and old is not None and new >= (1 - TOLERATED_LOSS) * old
        why = "" if as_much or (after.value(waiting) or 0) >= 1 else "as much demand as before is not shown"
    if not why:
        return promised
    return promised.model_copy(update={"outcome": INCONCLUSIVE, "text": f"{promised.text}; but {why}"})


def _demand_fell(metric: str, after: Arm) -> bool:
    """A lower token rate with no queue is lower demand; a latency or ratio has no such excuse."""
    waiting = after.value(VerificationMetric.REQUESTS_WAITING)
    return metric == VerificationMetric.GENERATION_TOKENS_RATE and waiting is not None and waiting < 1


def _guarded(guard: Guard, canary: Arm, control: Arm, *, lenient: bool = False) -> Comparison:
    """`lenient`, after the canary proved it: tokens that fall with nothing waiting were not asked for."""
    metric, name = guard.metric, metric_name(guard.metric)
    new, old = canary.value(metric), control.value(metric)
    relative = any(limit is not None for limit in (guard.max_ratio, guard.min_ratio, guard.max_increase))
    if new is None or (relative and old is None):
        unknown = canary.label if new is None else control.label
        return _comparison(metric, new, old, ERROR, f"{name} of {unknown} is unknown")
    says = f"{name} {figure(metric, new)}" + ("" if old is None else f" against {figure(metric, old)}")
    hurt = _breach(guard, new, old)
    if hurt and not (lenient and guard.min_ratio is not None and _demand_fell(metric, canary)):
        return _comparison(metric, new, old, FAIL, f"{says}: {hurt}")
    return _comparison(metric, new, old, PASS, says)


def _breach(guard: Guard, new: float, old: float | None) -> str:
    """Which limit of the guard `new` is above; empty when none."""
    if guard.max_value is not None and new > guard.max_value:
        return f"above {figure(guard.metric, guard.max_value)}"
    if old is not None and abs(new - old) > guard.tolerated:
        if guard.max_ratio is not None and new > guard.max_ratio * old:
            return f"more than {guard.max_ratio:g} times as much"
        if guard.min_ratio is not None and new < guard.min_ratio * old:
            return f"less than {guard.min_ratio:g} times as much"
    if old is not None and guard.max_increase is not None and new - old > guard.max_increase:
        return f"more than {figure(guard.metric, guard.max_increase)} above it"
    return ""


def _relative(new: float, old: float) -> float:
    """(new - old) / old, with both zero no change and from zero an unlimited one."""
    if old == 0:
        return 0.0 if new == 0 else math.copysign(math.inf, new)
    return (new - old) / abs(old)


def _comparison(
    metric: str, new: float | None, old: float | None, outcome: VerdictOutcome, text: str, *, p: float | None = None
) -> Comparison:
    ratio = None if new is None or not old else new / old
    return Comparison(metric=metric, canary=new, control=old, ratio=ratio, p_value=p, outcome=outcome, text=text)


def _worst(comparisons: Sequence[Comparison]) -> VerdictOutcome:
    """Known harm first, then what is unknown, then what is undecided."""
    outcomes = {comparison.outcome for comparison in comparisons}
    return next((outcome for outcome in (FAIL, ERROR, INCONCLUSIVE) if outcome in outcomes), PASS)


def _summary(
    outcome: VerdictOutcome,
    comparisons: Sequence[Comparison],
    canary: Arm,
    control: Arm,
    counted: str,
) -> str:
    promised, *guards = comparisons
    parts = [promised.text]
    parts += [guard.text for guard in guards if guard.outcome is not PASS]
    if guards and all(guard.outcome is PASS for guard in guards):
        parts.append("no guard was hurt")
    counts = f"{canary.requests:.0f} and {control.requests:.0f} {counted}"
    return f"{outcome}: {canary.label} against {control.label}: {'; '.join(parts)} ({counts})"
