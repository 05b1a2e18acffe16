"""What an engine's own history says of it: the linear latency model of tuning §2.3."""

from datetime import datetime, timedelta

from recommender.contracts import PromQL, Series
from recommender.evidence import quote
from recommender.sizing import LinearItl, fit_linear_itl

HISTORY = timedelta(hours=24)
_STEP_SECONDS = 60.0
# Both over the same five minutes, so that a point's batch is the batch that gave its latency.
_BATCH_QUERY = "avg_over_time(replica:llm_requests_running{{service={service}}}[5m]) > 0"
_ITL_QUERY = "replica:llm_itl_seconds:mean_5m{{service={service}}}"


def fit_itl(promql: PromQL, service: str, at: datetime) -> LinearItl | None:
    """ITL as a function of the batch, from a day of the service's replicas; None when the data do not allow a fit.

    Raises PrometheusError when Prometheus cannot be asked.
    """
    batches = _points(promql.range(_BATCH_QUERY.format(service=quote(service)), at - HISTORY, at, _STEP_SECONDS))
    latencies = _points(promql.range(_ITL_QUERY.format(service=quote(service)), at - HISTORY, at, _STEP_SECONDS))
    pairs = [(batches[key], latencies[key]) for key in sorted(batches.keys() & latencies.keys())]
    fit = fit_linear_itl(pairs)
    return fit if isinstance(fit, LinearItl) else None


def _points(series: list[Series]) -> dict[tuple[str, float], float]:
    """(instance, instant) -> value."""
    return {(one.labels.get("instance", ""), at): value for one in series for at, value in one.points}
