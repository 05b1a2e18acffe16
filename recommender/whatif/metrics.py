"""The lines of an answer: each figure measured, predicted now and after, and what is to be expected."""

from collections.abc import Iterable
from dataclasses import dataclass

from recommender.model import Evidence
from recommender.sizing.load import Prediction
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


def metrics(now: Prediction, after: Prediction | None, evidence: Evidence, instance: str) -> tuple[Metric, ...]:
    """All lines, in the order of the answer."""
    return tuple(_line(figure, now, after, evidence, instance) for figure in _FIGURES)


def far_off(lines: Iterable[Metric]) -> tuple[str, ...]:
    """Means in which the model is far off at the present point."""
    return tuple(
        line.name for line in lines if line.name in _MEANS and line.error is not None and abs(line.error) > LARGE_ERROR
    )


def _line(figure: _Figure, now: Prediction, after: Prediction | None, evidence: Evidence, instance: str) -> Metric:
    reading = evidence.replica_readings.get(instance, {}).get(figure.signal)
    measured = None if reading is None else reading.value
    ours = getattr(now, figure.name)
    theirs = None if after is None else getattr(after, figure.name)
    return Metric(
        name=figure.name,
        unit=figure.unit,
        query="" if reading is None else reading.query,
        measured=measured,
        now=ours,
        after=theirs,
        error=ours / measured - 1 if ours is not None and measured else None,
        expected=_expected(measured, ours, theirs, figure.most),
        grows=after is not None and theirs is None,
        objective=evidence.objectives.get(figure.objective) if figure.objective else None,
    )


def _expected(measured: float | None, now: float | None, after: float | None, most: float | None) -> float | None:
    if measured is None or after is None:
        return None
    value = measured * after / now if now and measured > 0 else after
    return value if most is None else min(most, value)
