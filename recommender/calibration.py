"""What an engine's own history says of it: the linear latency model of tuning §2.3, and the whole step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from recommender.contracts import PromQL, Series
from recommender.errors import PrometheusError
from recommender.evidence import quote
from recommender.sizing import LinearItl, NotApplicable, fit_linear_itl
from recommender.sizing.fit import FittedStep, StepPoint, fit_step

HISTORY = timedelta(hours=24)
_STEP_SECONDS = 60.0
# All over the same five minutes, so that a point's batch is the batch that gave its latency.
_BATCH_QUERY = "avg_over_time(replica:llm_requests_running{{service={service}}}[5m]) > 0"
_ITL_QUERY = "replica:llm_itl_seconds:mean_5m{{service={service}}}"
_PROMPT_QUERY = "replica:llm_prompt_tokens:rate5m{{service={service}}}"
_HIT_QUERY = "replica:llm_prefix_cache_hit_tokens:rate5m{{service={service}}}"
_KV_QUERY = (
    "avg_over_time(replica:llm_kv_cache_usage:ratio{{service={service}}}[5m])"
    " * on (instance) group_left () max by (instance) (replica:llm_kv_cache_capacity_tokens{{service={service}}})"
)

_Point = tuple[str, float]


def fit_itl(promql: PromQL, service: str, at: datetime) -> LinearItl | None:
    """ITL as a function of the batch, from a day of the service's replicas; None when the data do not allow a fit.

    Raises PrometheusError when Prometheus cannot be asked.
    """
    batches, latencies = (_read(promql, query, service, at) for query in (_BATCH_QUERY, _ITL_QUERY))
    pairs = [(batches[key], latencies[key]) for key in sorted(batches.keys() & latencies.keys())]
    fit = fit_linear_itl(pairs)
    return fit if isinstance(fit, LinearItl) else None


def calibrate(promql: PromQL, service: str, at: datetime) -> FittedStep | NotApplicable:
    """The step of the service's engines, from a day of its replicas: alpha and beta, gamma and eta where they show.

    An engine that tells no cached tokens gives a gamma over all prompt tokens, cached ones included: that is what its
    loads are counted in too. Raises PrometheusError when Prometheus cannot be asked.
    """
    batches, latencies = (_read(promql, query, service, at) for query in (_BATCH_QUERY, _ITL_QUERY))
    reasons: dict[str, str] = {}
    prompts, hits = _read_all(promql, (_PROMPT_QUERY, _HIT_QUERY), service, at, ("gamma", reasons))
    (held,) = _read_all(promql, (_KV_QUERY,), service, at, ("eta", reasons))
    fitted = fit_step(
        [
            StepPoint(
                batches[key],
                latencies[key],
                _in_a_step(prompts.get(key), hits.get(key), latencies[key]),
                held.get(key),
            )
            for key in sorted(batches.keys() & latencies.keys())
            # Below one request steps are few, and the mean batch is not the batch that made the tokens.
            if batches[key] >= 1 and latencies[key] > 0
        ]
    )
    if isinstance(fitted, NotApplicable):
        return fitted
    return replace(fitted, unknown={**fitted.unknown, **reasons})


def _read_all(
    promql: PromQL, queries: Sequence[str], service: str, at: datetime, term: tuple[str, dict[str, str]]
) -> Sequence[Mapping[_Point, float]]:
    """What one term is fitted to: all of it or, where one query is refused, nothing, and the reason at the term.

    Without rules a query may be too much for one Prometheus that answers all others.
    """
    name, reasons = term
    try:
        return [_read(promql, query, service, at) for query in queries]
    except PrometheusError as exc:
        reasons[name] = str(exc)
        return [{} for _ in queries]


def _in_a_step(prompt_rate: float | None, hit_rate: float | None, seconds: float) -> float | None:
    """Prompt tokens that a step computes: their rate times its duration."""
    return None if prompt_rate is None else max(0.0, prompt_rate - (hit_rate or 0.0)) * seconds


def _read(promql: PromQL, query: str, service: str, at: datetime) -> Mapping[_Point, float]:
    return _points(promql.range(query.format(service=quote(service)), at - HISTORY, at, _STEP_SECONDS))


def _points(series: list[Series]) -> dict[_Point, float]:
    """(instance, instant) -> value."""
    return {(one.labels.get("instance", ""), at): value for one in series for at, value in one.points}
