"""What a person can ask Prometheus to see whether a change worked (tuning §3.1), or has to be taken back.

Over recorded signals alone. Every label value is a quoted literal: nothing of a service's or a replica's name can end
it. A query that answers with a series says that its sentence holds.
"""

import re
from collections.abc import Callable, Mapping

from recommender.evidence import quote
from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Evidence, Guard, PlanQuery
from recommender.playbooks import node_queries
from recommender.playbooks.base import PlanContext
from recommender.tuning_config import SuccessConfig
from recommender.wording import metric_name

_WINDOW = "15m"  # tuning §3.1: holds for at least 15 minutes


class Selectors:
    """Selectors of the replicas that a plan changes, its canary, and the others, which are the canary's control."""

    def __init__(self, evidence: Evidence, instances: tuple[str, ...]) -> None:
        self.service = f"service={quote(evidence.service)}"
        self.changed = f"{self.service},instance=~{quote('|'.join(re.escape(one) for one in instances))}"
        canary = quote(instances[0]) if instances else '""'
        self.canary = f"{self.service},instance={canary}"
        self.others = f"{self.service},instance!={canary}"
        self.alone = len(evidence.replica_readings) <= 1


Rule = Callable[[Selectors, SuccessConfig, Evidence], tuple[PlanQuery, ...]]


def success_queries(
    playbook: str, evidence: Evidence, instances: tuple[str, ...], context: PlanContext
) -> tuple[PlanQuery, ...]:
    """The success conditions of a playbook's class, over the replicas that are changed; none for a class without."""
    rule = _RULES.get(playbook.partition(".")[0])
    return () if rule is None else rule(Selectors(evidence, instances), context.tuning.success, evidence)


def rollback_queries(
    guards: tuple[Guard, ...], evidence: Evidence, instances: tuple[str, ...], context: PlanContext
) -> tuple[PlanQuery, ...]:
    """The plan's own guards, then the triggers that all changes share (tuning §3.1); each answer asks for a roll-back.

    With a single replica its own past hour stands for the control.
    """
    of = Selectors(evidence, instances)
    guarded = tuple(query for guard in guards if (query := _guard_query(guard, of)) is not None)
    success = context.tuning.success
    watched = {guard.metric for guard in guards}
    common = [
        PlanQuery(
            text=f"{metric_name(metric)} is over {success.latency_worse_ratio:g} times {_whose(of)}",
            query=f"{_compared(_EXPRESSIONS[metric], of)} > {success.latency_worse_ratio:g}",
        )
        for metric in (VerificationMetric.TTFT_P95_SECONDS, VerificationMetric.ITL_P95_SECONDS)
        if metric not in watched
    ]
    per_running = (
        "sum(replica:llm_generation_tokens:rate5m{{{of}}}{offset}) "
        "/ sum(replica:llm_requests_running:avg2m{{{of}}}{offset})"
    )
    slower = PlanQuery(
        text=f"tokens per running request are under {success.throughput_worse_ratio:g} of {_whose(of)}",
        query=f"{_compared(per_running, of)} < {success.throughput_worse_ratio:g}",
    )
    return (
        *guarded,
        *common,
        *(() if VerificationMetric.ITL_P95_SECONDS in watched else (slower,)),  # it is one over ITL, which has a guard
        PlanQuery(
            text="a changed replica stopped answering after it had been ready",
            query=f"min_over_time(replica:llm_up{{{of.changed}}}[5m]) == 0",
        ),
    )


_EXPRESSIONS: Mapping[str, str] = {
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
}


def _guard_query(guard: Guard, of: Selectors) -> PlanQuery | None:
    expression, name = _EXPRESSIONS.get(guard.metric), metric_name(guard.metric)
    if expression is None:
        return None
    now = expression.format(of=of.canary, offset="")
    if guard.max_value is not None:
        return PlanQuery(text=f"{name} is over {guard.max_value:g}", query=f"{now} > {guard.max_value:g}")
    if guard.max_increase is not None:
        text = f"{name} is {guard.max_increase:g} above {_whose(of)}"
        return PlanQuery(text=text, query=f"({now}) - ({_control(expression, of)}) > {guard.max_increase:g}")
    if guard.max_ratio is not None:
        text = f"{name} is over {guard.max_ratio:g} times {_whose(of)}"
        return PlanQuery(text=text, query=f"{_compared(expression, of)} > {guard.max_ratio:g}")
    return None


def _whose(of: Selectors) -> str:
    """What `_control` reads."""
    return "its own an hour before" if of.alone else "the control's"


def _control(expression: str, of: Selectors) -> str:
    return (
        expression.format(of=of.canary, offset=" offset 1h") if of.alone else expression.format(of=of.others, offset="")
    )


def _compared(expression: str, of: Selectors) -> str:
    """Canary over control."""
    return f"({expression.format(of=of.canary, offset='')}) / ({_control(expression, of)})"


def _before(expression: str, of: Selectors) -> str:
    """The changed replicas now over the same replicas a day ago, at the same hour."""
    now, then = expression.format(of=of.changed, offset=""), expression.format(of=of.changed, offset=" offset 1d")
    return f"({now}) / ({then})"


def _no_preemptions(of: Selectors) -> PlanQuery:
    query = f"max(avg_over_time(replica:llm_preemptions:rate5m{{{of.changed}}}[{_WINDOW}])) == 0"
    return PlanQuery(text="nothing is preempted", query=query)


def _kv(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    usage = f"max(avg_over_time(replica:llm_kv_cache_usage:avg2m{{{of.changed}}}[{_WINDOW}])) < {bounds.kv_usage_max:g}"
    return (
        PlanQuery(text=f"KV usage is below {figure(bounds.kv_usage_max, 'ratio')}", query=usage),
        _no_preemptions(of),
    )


def _queue(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    share = f"max(avg_over_time(replica:llm_queue_share_of_ttft:ratio_rate5m{{{of.changed}}}[{_WINDOW}]))"
    return (
        PlanQuery(
            text=f"queueing is less than {figure(bounds.queue_share_max, 'ratio')} of TTFT",
            query=f"{share} < {bounds.queue_share_max:g}",
        ),
        _waiting(of, bounds.waiting_max),
    )


def _waiting(of: Selectors, most: float) -> PlanQuery:
    waiting = f"max(avg_over_time(replica:llm_requests_waiting:avg2m{{{of.changed}}}[{_WINDOW}])) < {most:g}"
    return PlanQuery(text=f"on average less than {_requests(most)} at each replica", query=waiting)


def _requests(number: float) -> str:
    return "one request waits" if number == 1 else f"{number:g} requests wait"


def _admission(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    full = f"max(replica:llm_admission_fullness:ratio_avg2m{{{of.changed}}}) < {bounds.fullness_max:g}"
    return (
        PlanQuery(text=f"the batch is below {figure(bounds.fullness_max, 'ratio')} of its limit", query=full),
        _waiting(of, bounds.admitted_waiting_max),
        _no_preemptions(of),
    )


def _prefill(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:
    tail = f"max(replica:llm_itl_seconds:p99_5m{{{of.changed}}} / replica:llm_itl_seconds:p50_5m{{{of.changed}}})"
    text = f"ITL p99 is below {bounds.itl_tail_max:g} times its p50"
    return (PlanQuery(text=text, query=f"{tail} < {bounds.itl_tail_max:g}"), *_promises(of, bounds, evidence))


def _decode(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:
    median = "avg(avg_over_time(replica:llm_itl_seconds:p50_5m{{{of}}}[15m]{offset}))"
    ratio = bounds.itl_median_ratio
    text = f"ITL p50 is below {ratio:g} of yesterday's at this hour"
    return (PlanQuery(text=text, query=f"{_before(median, of)} < {ratio:g}"), *_promises(of, bounds, evidence))


def _promises(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    """Each latency objective is kept by every changed replica."""
    pairs = (
        ("ttft_p95_seconds", "replica:llm_ttft_seconds:p95_5m"),
        ("itl_p95_seconds", "replica:llm_itl_seconds:p95_5m"),
    )
    return tuple(
        PlanQuery(
            text=f"{metric_name(name)} keeps its objective of {objective:g} s",
            query=f"max(avg_over_time({signal}{{{of.changed}}}[{_WINDOW}])) < {objective:g}",
        )
        for name, signal in pairs
        if (objective := evidence.objectives.get(name)) is not None
    )


def _throughput(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:
    each = (
        "sum(avg_over_time(replica:llm_generation_tokens:rate5m{{{of}}}[15m]{offset})) "
        "/ sum(avg_over_time(replica:llm_requests_running:avg2m{{{of}}}[15m]{offset}))"
    )
    ratio = bounds.tokens_per_running_ratio
    text = f"tokens per running request are over {ratio:g} times yesterday's at this hour"
    return (PlanQuery(text=text, query=f"{_before(each, of)} > {ratio:g}"), *_promises(of, bounds, evidence))


def _cache(of: Selectors, bounds: SuccessConfig, evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    hits = "avg(avg_over_time(replica:llm_prefix_cache_hit:ratio_rate5m{{{of}}}[15m]{offset}))"
    text = "more prompt tokens are found in the prefix cache than yesterday at this hour"
    return (PlanQuery(text=text, query=f"{_before(hits, of)} > 1"),)


_RULES: Mapping[str, Rule] = {
    "P01": node_queries.device_memory,
    "P02": _kv,
    "P03": _queue,
    "P04": _admission,
    "P05": _prefill,
    "P06": _decode,
    "P07": _promises,
    "P08": _throughput,
    "P09": _cache,
    "P15": node_queries.cpu,
    "P16": node_queries.host_memory,
    "P24": node_queries.cost,
}
