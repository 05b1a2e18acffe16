"""The lines of an answer: each figure measured, predicted now and after, and what is to be expected."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from recommender.model import Evidence
from recommender.sizing.ranges import Range, Ranged
from recommender.whatif.model import Metric

ITL = "replica:llm_itl_seconds:mean_5m"
LARGE_ERROR = 0.3  # of a mean at the present point; beyond, the figures after a change are no better
_MEANS = frozenset({"tokens_per_second", "running", "kv_usage_ratio", "itl_mean_seconds"})


@dataclass(frozen=True, slots=True)
class _Figure:
    """One line of the answer: attribute of `Prediction`, unit, signal that measures it, objective, most it can be."""

    name: str
    unit: str
    signal: str
    objective: str = ""
    most: float | None = None


_FIGURES = (
    _Figure("tokens_per_second", "tokens/s", "replica:llm_generation_tokens:rate5m"),
    _Figure("requests_per_second", "requests/s", "replica:llm_requests:rate5m"),
    _Figure("running", "requests", "replica:llm_requests_running:avg2m"),
    _Figure("waiting", "requests", "replica:llm_requests_waiting:avg2m"),
    _Figure("kv_usage_ratio", "ratio", "replica:llm_kv_cache_usage:avg2m", most=1.0),
    _Figure("ttft_p95_seconds", "seconds", "replica:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
    _Figure("itl_mean_seconds", "seconds", ITL),
    _Figure("itl_p95_seconds", "seconds", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    _Figure("preemptions_per_request", "", "replica:llm_preemptions_per_request:ratio_rate5m"),
)


def metrics(now: Ranged, after: Ranged | None, evidence: Evidence, instance: str) -> tuple[Metric, ...]:
    """All lines, in the order of the answer."""
    return tuple(_line(figure, now, after, evidence, instance) for figure in _FIGURES)


def far_off(lines: Iterable[Metric]) -> tuple[str, ...]:
    """Means in which the model is far off at the present point."""
    return tuple(
        line.name for line in lines if line.name in _MEANS and line.error is not None and abs(line.error) > LARGE_ERROR
    )


def _line(figure: _Figure, now: Ranged, after: Ranged | None, evidence: Evidence, instance: str) -> Metric:
    reading = evidence.replica_readings.get(instance, {}).get(figure.signal)
    measured = None if reading is None else reading.value
    ours = now.ranges[figure.name]
    theirs = _UNKNOWN if after is None else after.ranges[figure.name]
    grows = after is not None and theirs.mid is None
    expected = _expected(measured, ours, theirs, figure.most)
    objective = evidence.objectives.get(figure.objective) if figure.objective else None
    return Metric(
        name=figure.name,
        unit=figure.unit,
        query="" if reading is None else reading.query,
        measured=measured,
        now=ours.mid,
        now_low=ours.low,
        now_high=ours.high,
        after=theirs.mid,
        after_low=theirs.low,
        after_high=theirs.high,
        error=ours.mid / measured - 1 if ours.mid is not None and measured else None,
        expected=expected.mid,
        expected_low=expected.low,
        expected_high=expected.high,
        grows=grows,
        objective=objective,
        objective_met=_met(expected, objective, grows=grows),
    )


_UNKNOWN = Range(None, None, None)


def _expected(measured: float | None, now: Range, after: Range, most: float | None) -> Range:
    """What is measured, times each end of the prediction after over the likely one now."""
    if measured is None:
        return _UNKNOWN
    factor = measured / now.mid if now.mid and measured > 0 else 1.0
    found = (None if end is None else end * factor for end in (after.low, after.mid, after.high))
    return Range(*(end if end is None or most is None else min(most, end) for end in found))


def _met(expected: Range, objective: float | None, *, grows: bool) -> Literal["yes", "likely", "unlikely", "no"] | None:
    """Whether an upper bound is kept: surely where all of the range keeps it."""
    if objective is None:
        return None
    if grows:
        return "no" if expected.low is None or expected.low > objective else "unlikely"
    if expected.mid is None or expected.low is None:
        return None
    if expected.mid <= objective:
        return "yes" if expected.high is not None and expected.high <= objective else "likely"
    return "unlikely" if expected.low <= objective else "no"
