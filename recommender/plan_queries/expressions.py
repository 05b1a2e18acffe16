"""PromQL of each metric that a verdict compares, and how the canary's is held against its control's.

Over recorded signals alone. Every label value is a quoted literal: nothing of a service's or a replica's name can end
it.
"""

import re
from collections.abc import Mapping

from recommender.engine_signals import could_tell, signals_in
from recommender.evidence import quote
from recommender.metrics import VerificationMetric
from recommender.model import Evidence, PlanQuery


class Selectors:
    """Selectors of the replicas that a plan changes, its canary, and the others, which are the canary's control."""

    def __init__(self, evidence: Evidence, instances: tuple[str, ...]) -> None:
        self.service = f"service={quote(evidence.service)}"
        self.changed = f"{self.service},instance=~{quote('|'.join(re.escape(one) for one in instances))}"
        canary = quote(instances[0]) if instances else '""'
        self.canary = f"{self.service},instance={canary}"
        self.others = f"{self.service},instance!={canary}"
        self.alone = len(evidence.replica_readings) <= 1


def readable(queries: tuple[PlanQuery, ...], engine: str | None) -> tuple[PlanQuery, ...]:
    """Those that the engine can answer: a series that it never gives is no answer, and no news is no proof."""
    return tuple(one for one in queries if could_tell(engine, signals_in(one.query)))


# What shows at the time of a plan that a replica tells a metric at all.
_SHOWN: Mapping[str, str] = {
    VerificationMetric.TTFT_P95_SECONDS: "replica:llm_ttft_seconds:p95_5m",
    VerificationMetric.ITL_P95_SECONDS: "replica:llm_itl_seconds:p95_5m",
    VerificationMetric.ERROR_RATIO: "replica:llm_request_errors:ratio_rate5m",
    VerificationMetric.PREEMPTIONS_PER_REQUEST: "replica:llm_preemptions_per_request:ratio_rate5m",
    VerificationMetric.GENERATION_TOKENS_RATE: "replica:llm_generation_tokens:rate5m",
    VerificationMetric.PREFIX_CACHE_HIT_RATIO: "replica:llm_prefix_cache_hit:ratio_rate5m",
    VerificationMetric.REQUESTS_WAITING: "replica:llm_requests_waiting:avg2m",
    VerificationMetric.DEVICE_MEMORY_USED_RATIO: "gpu:gpu_memory_used:ratio",
    VerificationMetric.HOST_MEMORY_AVAILABLE_RATIO: "node:host_memory_available:ratio",
    VerificationMetric.SECONDS_PER_TOKEN: "replica:llm_requests_running:avg2m",
    VerificationMetric.QUEUE_SECONDS_PER_TOKEN: "replica:llm_requests_waiting:avg2m",
    VerificationMetric.PAUSED_RATIO: "replica:llm_requests_paused",
    VerificationMetric.MODEL_ON_DEVICE_RATIO: "replica:llm_model_device_memory_bytes",
    VerificationMetric.PROBE_TTFT_SECONDS: "replica:llm_probe_ttft_seconds",
    VerificationMetric.PROBE_ITL_SECONDS: "replica:llm_probe_itl_seconds",
    VerificationMetric.PROBE_FAILURE_RATIO: "replica:llm_probe_success",
}
_PER_TOKEN = frozenset({VerificationMetric.SECONDS_PER_TOKEN, VerificationMetric.QUEUE_SECONDS_PER_TOKEN})


def known(metric: str, evidence: Evidence, instances: tuple[str, ...]) -> bool:
    """Whether each of these replicas tells a metric now: what is unknown today is not measured tomorrow either."""
    signals = [_SHOWN[metric]] if metric in _SHOWN else []
    signals += [_SHOWN[VerificationMetric.GENERATION_TOKENS_RATE]] if metric in _PER_TOKEN else []
    return bool(signals) and all(evidence.value(signal, one) is not None for signal in signals for one in instances)


EXPRESSIONS: Mapping[str, str] = {
    VerificationMetric.TTFT_P95_SECONDS: "avg(replica:llm_ttft_seconds:p95_5m{{{of}}}{offset})",
    VerificationMetric.ITL_P95_SECONDS: "avg(replica:llm_itl_seconds:p95_5m{{{of}}}{offset})",
    VerificationMetric.ERROR_RATIO: (
        "(sum(replica:llm_request_errors:rate5m{{{of}}}{offset}) or vector(0)) "
        "/ sum(replica:llm_requests:rate5m{{{of}}}{offset})"
    ),
    VerificationMetric.PREEMPTIONS_PER_REQUEST: "avg(replica:llm_preemptions_per_request:ratio_rate5m{{{of}}}{offset})",
    VerificationMetric.GENERATION_TOKENS_RATE: "avg(replica:llm_generation_tokens:rate5m{{{of}}}{offset})",
    VerificationMetric.PREFIX_CACHE_HIT_RATIO: "avg(replica:llm_prefix_cache_hit:ratio_rate5m{{{of}}}{offset})",
    VerificationMetric.REQUESTS_WAITING: "avg(replica:llm_requests_waiting:avg2m{{{of}}}{offset})",
    VerificationMetric.SECONDS_PER_TOKEN: (
        "sum(replica:llm_requests_running:avg2m{{{of}}}{offset}) "
        "/ (sum(replica:llm_generation_tokens:rate5m{{{of}}}{offset}) > 0)"
    ),
    VerificationMetric.QUEUE_SECONDS_PER_TOKEN: (
        "sum(replica:llm_requests_waiting:avg2m{{{of}}}{offset}) "
        "/ (sum(replica:llm_generation_tokens:rate5m{{{of}}}{offset}) > 0)"
    ),
    VerificationMetric.PAUSED_RATIO: (
        "sum(replica:llm_requests_paused{{{of}}}{offset}) / (sum(replica:llm_requests_paused{{{of}}}{offset} "
        "+ replica:llm_requests_running{{{of}}}{offset}) > 0)"
    ),
    VerificationMetric.MODEL_ON_DEVICE_RATIO: (
        "sum(replica:llm_model_device_memory_bytes{{{of}}}{offset}) "
        "/ (sum(replica:llm_model_memory_bytes{{{of}}}{offset}) > 0)"
    ),
    VerificationMetric.PROBE_TTFT_SECONDS: (
        "avg(quantile_over_time(0.5, replica:llm_probe_ttft_seconds{{{of}}}[15m]{offset}))"
    ),
    VerificationMetric.PROBE_ITL_SECONDS: (
        "avg(quantile_over_time(0.5, replica:llm_probe_itl_seconds{{{of}}}[15m]{offset}))"
    ),
    VerificationMetric.PROBE_FAILURE_RATIO: "1 - avg(avg_over_time(replica:llm_probe_success{{{of}}}[15m]{offset}))",
}


def whose(of: Selectors) -> str:
    """What `control` reads."""
    return "its own an hour before" if of.alone else "the other replicas'"


def control(expression: str, of: Selectors) -> str:
    """The untouched replicas of the service; of a single replica its own past hour."""
    return (
        expression.format(of=of.canary, offset=" offset 1h") if of.alone else expression.format(of=of.others, offset="")
    )


def compared(expression: str, of: Selectors) -> str:
    """Canary over control."""
    return f"({expression.format(of=of.canary, offset='')}) / ({control(expression, of)})"


def before(expression: str, of: Selectors) -> str:
    """The changed replicas now over the same replicas a day ago, at the same hour."""
    now, then = expression.format(of=of.changed, offset=""), expression.format(of=of.changed, offset=" offset 1d")
    return f"({now}) / ({then})"
