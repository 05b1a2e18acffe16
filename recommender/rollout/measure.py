"""Reads one arm (a set of replicas over one window) from Prometheus, as the verdict needs it.

Everything comes from the one-minute signals of `rules.catalog`, so a window may start anywhere: a quantile over the
window is that of the buckets' mean rates. A one-minute rate still holds what happened up to a minute earlier; that is
why no window starts within 60 s of a restart (`decide.Limits.min_settle_seconds`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from recommender.contracts import PromQL
from recommender.metrics import WORK_FROM, VerificationMetric, Work
from recommender.verdict import RATE_WINDOW_SECONDS, Arm

_COVERAGE = 0.8  # share of a window's points, over all replicas of the arm, that must be there
_TTFT, _ITL = "replica:llm_ttft_seconds", "replica:llm_itl_seconds"
_RUNNING, _TOKENS = "replica:llm_requests_running", "replica:llm_generation_tokens:rate1m"


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()


def before(instant: datetime, seconds: float) -> Window:
    """The window of that length that ends at `instant`."""
    return Window(instant - timedelta(seconds=seconds), instant)


@dataclass(frozen=True, slots=True)
class Question:
    """Which arm to read. `total` adds the replicas up; otherwise figures are per replica: arms of any size compare."""

    service: str
    instances: Sequence[str]
    window: Window
    interval_seconds: float
    label: str
    total: bool = False
    work: Work = Work.FIRST_TOKENS


def read_arm(promql: PromQL, question: Question, sampled: Iterable[str] = ()) -> Arm:
    """The arm's figures; `sampled` metrics also one value an interval. Raises PrometheusError.

    A replica whose signals are missing for more than a fifth of the window leaves the arm with a `problem`.
    """
    if not question.instances:
        return Arm(question.label, None, {}, problem="there is no replica in it")
    selector = _selector(question.service, question.instances)
    span = f"[{round(question.window.seconds * 1000)}ms]"
    merge = "sum" if question.total else "avg"
    done = _done(promql, question, selector)
    mean, now = _Arm(selector, span), _Arm(selector, "")
    values: dict[str, float | None] = {
        metric: _one(promql, query(mean, merge), question.window.end) for metric, query in _QUERIES.items()
    }
    samples = {
        metric: _points(promql, _QUERIES[VerificationMetric(metric)](now, merge), question)
        for metric in sampled
        if metric in _QUERIES
    }
    return Arm(question.label, done, values, samples, problem=_gaps(promql, question, selector))


def _done(promql: PromQL, question: Question, selector: str) -> float | None:
    """How much of the question's work the arm did in the window."""
    series, milliseconds = f"{WORK_FROM[question.work]}{selector}", round(question.window.seconds * 1000)
    if question.work is Work.PROBES:
        return _one(promql, f"sum(count_over_time({series}[{milliseconds}ms:1m]))", question.window.end)
    rate = _one(promql, f"sum(avg_over_time({series}[{milliseconds}ms]))", question.window.end)
    return None if rate is None else rate * question.window.seconds


def objective(promql: PromQL, service: str, name: str, at: datetime) -> float | None:
    """The service's objective as the rules resolve it, the strictest when models differ. Raises PrometheusError."""
    found = promql.instant(f"service:objective:{name}{{service={_quoted(service)}}}", at)
    return min((sample.value for sample in found), default=None)


@dataclass(frozen=True, slots=True)
class _Arm:
    """Expressions that select the series of an arm: their means over `span`, or as they are when it is empty."""

    selector: str
    span: str

    def of(self, name: str) -> str:
        """A signal of its replicas."""
        return self._mean(f"{name}{self.selector}")

    def middle(self, name: str) -> str:
        """The median of a signal of its replicas: of few values one that is far off moves a mean."""
        series = f"{name}{self.selector}"
        return f"quantile_over_time(0.5, {series}{self.span})" if self.span else series

    def on_nodes(self, name: str, worst: str) -> str:
        """A signal of the nodes that its replicas run on: the worst ("max", "min") of each node."""
        return f"{worst} by (node) ({self._mean(name)}) and on (node) count by (node) (replica:llm_up{self.selector})"

    def _mean(self, series: str) -> str:
        return f"avg_over_time({series}{self.span})" if self.span else series


_Query = Callable[[_Arm, str], str]


def _quantile(stem: str) -> _Query:
    return lambda arm, _: f"histogram_quantile(0.95, sum by (le) ({arm.of(f'{stem}_bucket:rate1m')}))"


def _ratio(part: str, whole: str) -> _Query:
    return lambda arm, _: f"sum({arm.of(f'{part}:rate1m')}) / sum({arm.of(f'{whole}:rate1m')})"


def _merged(name: str) -> _Query:
    return lambda arm, merge: f"{merge}({arm.of(name)})"


def _over(part: str, *whole: str) -> _Query:
    """A sum over others; no series where those are nothing."""

    def query(arm: _Arm, _: str) -> str:
        all_of_it = " + ".join(f"sum({arm.of(name)})" for name in whole)
        return f"sum({arm.of(part)}) / (({all_of_it}) > 0)"

    return query


def _middle(name: str) -> _Query:
    return lambda arm, _: f"avg({arm.middle(name)})"


def _of_nodes(name: str, worst: str) -> _Query:
    return lambda arm, _: f"avg({arm.on_nodes(name, worst)})"


_QUERIES: dict[VerificationMetric, _Query] = {
    VerificationMetric.TTFT_P95_SECONDS: _quantile(_TTFT),
    VerificationMetric.ITL_P95_SECONDS: _quantile(_ITL),
    VerificationMetric.ERROR_RATIO: _ratio("replica:llm_request_errors", "replica:llm_requests"),
    VerificationMetric.GENERATION_TOKENS_RATE: _merged(_TOKENS),
    VerificationMetric.PREEMPTIONS_PER_REQUEST: _ratio("replica:llm_preemptions", "replica:llm_requests"),
    VerificationMetric.PREFIX_CACHE_HIT_RATIO: _ratio(
        "replica:llm_prefix_cache_hit_tokens", "replica:llm_prefix_cache_query_tokens"
    ),
    VerificationMetric.REQUESTS_WAITING: _merged("replica:llm_requests_waiting"),
    VerificationMetric.DEVICE_MEMORY_USED_RATIO: _of_nodes("gpu:gpu_memory_used:ratio", "max"),
    VerificationMetric.HOST_MEMORY_AVAILABLE_RATIO: _of_nodes("node:host_memory_available:ratio", "min"),
    VerificationMetric.SECONDS_PER_TOKEN: _over(_RUNNING, _TOKENS),
    VerificationMetric.QUEUE_SECONDS_PER_TOKEN: _over("replica:llm_requests_waiting", _TOKENS),
    VerificationMetric.PAUSED_RATIO: _over("replica:llm_requests_paused", "replica:llm_requests_paused", _RUNNING),
    VerificationMetric.MODEL_ON_DEVICE_RATIO: _over(
        "replica:llm_model_device_memory_bytes", "replica:llm_model_memory_bytes"
    ),
    VerificationMetric.PROBE_TTFT_SECONDS: _middle("replica:llm_probe_ttft_seconds"),
    VerificationMetric.PROBE_ITL_SECONDS: _middle("replica:llm_probe_itl_seconds"),
    VerificationMetric.PROBE_FAILURE_RATIO: lambda arm, _: f"1 - avg({arm.of('replica:llm_probe_success')})",
}


def _one(promql: PromQL, query: str, at: datetime) -> float | None:
    """The single value of an aggregation; None when there is none, or (it cannot be) several."""
    found = promql.instant(query, at)
    return found[0].value if len(found) == 1 else None


def _points(promql: PromQL, query: str, question: Question) -> tuple[float, ...]:
    window = question.window
    series = promql.range(query, window.start, window.end, question.interval_seconds)
    return tuple(value for _, value in series[0].points) if len(series) == 1 else ()


def _gaps(promql: PromQL, question: Question, selector: str) -> str:
    # A range, because an instant looks five minutes back and would not see a gap.
    reach = round(max(question.interval_seconds, RATE_WINDOW_SECONDS))
    present = _points(promql, f"count(count_over_time({WORK_FROM[question.work]}{selector}[{reach}s]))", question)
    expected = (int(question.window.seconds / question.interval_seconds) + 1) * len(question.instances)
    coverage = sum(present) / expected
    if coverage >= _COVERAGE:
        return ""
    return f"its metrics are there for only {coverage:.0%} of the window"


def _selector(service: str, instances: Sequence[str]) -> str:
    pattern = "|".join(re.escape(instance) for instance in instances)
    return f"{{service={_quoted(service)},instance=~{_quoted(pattern)}}}"


def _quoted(value: str) -> str:
    """A PromQL string literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
