"""What a person can ask Prometheus to see whether a change worked (tuning §3.1), or has to be taken back.

Over recorded signals alone. Every label value is a quoted literal: nothing of a service's or a replica's name can end
it. A query that answers with a series says that its sentence holds. What was promised comes first, as the verdict
judges it; a condition of the class follows where the step is expected to reach it, for one step need not mend all.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recommender.evidence import quote
from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Guard, PlanQuery, Verification
from recommender.playbooks import node_queries
from recommender.playbooks.base import PlanContext
from recommender.told import could_tell, signals_in
from recommender.tuning_config import SuccessConfig
from recommender.wording import figure as metric_figure
from recommender.wording import metric_name, verb

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


@dataclass(frozen=True, slots=True)
class Step:
    """A change whose success is asked for: where, what it promises, and what is seen before it."""

    of: Selectors
    instances: tuple[str, ...]
    change: Change
    judged: Verification
    bounds: SuccessConfig
    evidence: Evidence

    @property
    def goal(self) -> Expectation:
        """What is promised."""
        return self.judged.must_improve

    def known(self, signal: str) -> bool:
        """Whether each replica tells it: a query over what none tells never answers, which says nothing."""
        return all(self.evidence.value(signal, one) is not None for one in self.instances)

    def worst(self, signal: str, *, lowest: bool = False) -> float | None:
        """The highest (lowest) of all replicas; None while one does not tell it."""
        seen = [self.evidence.value(signal, one) for one in self.instances]
        known = [each for each in seen if each is not None]
        return (min if lowest else max)(known) if known and len(known) == len(seen) else None


Rule = Callable[[Step], tuple[PlanQuery, ...]]


def success_queries(
    change: Change,
    judged: Verification,
    evidence: Evidence,
    instances: tuple[str, ...],
    *,
    playbook: str,
    bounds: SuccessConfig,
) -> tuple[PlanQuery, ...]:
    """What the change promises, then those conditions of its class that it is expected to reach."""
    step = Step(Selectors(evidence, instances), instances, change, judged, bounds, evidence)
    rule = _RULES.get(playbook.partition(".")[0])
    return (*_promise(step), *(() if rule is None else rule(step)))


def rollback_queries(
    guards: tuple[Guard, ...], evidence: Evidence, instances: tuple[str, ...], context: PlanContext
) -> tuple[PlanQuery, ...]:
    """The plan's own guards, then the triggers that all changes share (tuning §3.1); each answer asks for a roll-back.

    With a single replica its own past hour stands for the control. What the canary does not tell is not asked.
    """
    of = Selectors(evidence, instances)
    # No error may have been counted yet: that is asked in any case.
    told = {VerificationMetric.ERROR_RATIO, *(one for one in _EXPRESSIONS if known(one, evidence, instances[:1]))}
    guarded = tuple(
        query for guard in guards if guard.metric in told and (query := _guard_query(guard, of)) is not None
    )
    success = context.tuning.success
    watched = {guard.metric for guard in guards}
    common = [
        PlanQuery(
            text=f"{metric_name(metric)} is over {success.latency_worse_ratio:g} times {_whose(of)}",
            query=f"{_compared(_EXPRESSIONS[metric], of)} > {success.latency_worse_ratio:g}",
        )
        for metric in (VerificationMetric.TTFT_P95_SECONDS, VerificationMetric.ITL_P95_SECONDS)
        if metric not in watched and metric in told
    ]
    per_running = (
        "sum(replica:llm_generation_tokens:rate5m{{{of}}}{offset}) "
        "/ sum(replica:llm_requests_running:avg2m{{{of}}}{offset})"
    )
    slower = PlanQuery(
        text=f"tokens per running request are under {success.throughput_worse_ratio:g} times {_whose(of)}",
        query=f"{_compared(per_running, of)} < {success.throughput_worse_ratio:g}",
    )
    found = (
        *guarded,
        *common,
        # It is one over ITL, which has a guard.
        *(() if watched & _TIMED or not _rated(evidence, instances[:1]) else (slower,)),
        PlanQuery(
            text="a changed replica stopped answering after it had been ready",
            query=f"min_over_time(replica:llm_up{{{of.changed}}}[5m]) == 0",
        ),
    )
    return readable(found, context.engine)


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
_TIMED = {VerificationMetric.ITL_P95_SECONDS, VerificationMetric.SECONDS_PER_TOKEN}
_PER_TOKEN = frozenset({VerificationMetric.SECONDS_PER_TOKEN, VerificationMetric.QUEUE_SECONDS_PER_TOKEN})


def known(metric: str, evidence: Evidence, instances: tuple[str, ...]) -> bool:
    """Whether each of these replicas tells a metric now: what is unknown today is not measured tomorrow either."""
    signals = [_SHOWN[metric]] if metric in _SHOWN else []
    signals += [_SHOWN[VerificationMetric.GENERATION_TOKENS_RATE]] if metric in _PER_TOKEN else []
    return bool(signals) and all(evidence.value(signal, one) is not None for signal in signals for one in instances)


def _rated(evidence: Evidence, instances: tuple[str, ...]) -> bool:
    running = all(evidence.value("replica:llm_requests_running:avg2m", one) is not None for one in instances)
    return running and known(VerificationMetric.GENERATION_TOKENS_RATE, evidence, instances)


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


def _guard_query(guard: Guard, of: Selectors) -> PlanQuery | None:
    expression, name = _EXPRESSIONS.get(guard.metric), f"{metric_name(guard.metric)} {verb(guard.metric)}"
    if expression is None:
        return None
    now = expression.format(of=of.canary, offset="")
    if guard.max_value is not None:
        text = f"{name} over {metric_figure(guard.metric, guard.max_value)}"
        return PlanQuery(text=text, query=f"{now} > {guard.max_value:g}")
    if guard.max_increase is not None:
        text = f"{name} {100 * guard.max_increase:g} percentage points above {_whose(of)}"
        return PlanQuery(text=text, query=f"({now}) - ({_control(expression, of)}) > {guard.max_increase:g}")
    ratio = _compared(expression, of)
    text, query = f"{name} over {guard.max_ratio or 1:g} times {_whose(of)}", f"{ratio} > {guard.max_ratio or 1:g}"
    if guard.min_ratio is not None:
        text, query = f"{name} under {guard.min_ratio:g} times {_whose(of)}", f"{ratio} < {guard.min_ratio:g}"
    if guard.tolerated:
        text += f", and by more than {guard.tolerated:g}"
        query += f" and abs(({now}) - ({_control(expression, of)})) > {guard.tolerated:g}"
    return PlanQuery(text=text, query=query)


def _whose(of: Selectors) -> str:
    """What `_control` reads."""
    return "its own an hour before" if of.alone else "the other replicas'"


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


def _promise(step: Step) -> tuple[PlanQuery, ...]:
    """What must improve, by as much as counts as proof: the canary against the others, as the verdict has it."""
    goal, least = step.goal, step.judged.min_improvement
    expression = _EXPRESSIONS.get(goal.metric)
    if expression is None or not known(goal.metric, step.evidence, step.instances[:1]):
        return ()
    sign, bound, most = (
        ("<", 1 - least, "at most") if goal.direction is Direction.LOWER else (">", 1 + least, "at least")
    )
    when = "" if step.of.alone else ", while those have the old value"
    text = (
        f"{metric_name(goal.metric)} of the canary {verb(goal.metric)} {most} {bound:.4g} times {_whose(step.of)}{when}"
    )
    return (PlanQuery(text=text, query=f"{_compared(expression, step.of)} {sign}= {bound:.4g}"),)


def _reaches(step: Step, metric: str, signal: str, bound: float) -> bool:
    """Whether a latency is expected to be within a bound after the change: what is promised at its likely value."""
    seen = step.worst(signal)
    mid = step.goal.mid if step.goal.metric == metric else 1.0
    return seen is not None and mid is not None and seen * mid <= bound


def _no_preemptions(step: Step) -> tuple[PlanQuery, ...]:
    if not known(VerificationMetric.PREEMPTIONS_PER_REQUEST, step.evidence, step.instances):
        return ()
    query = f"max(avg_over_time(replica:llm_preemptions:rate5m{{{step.of.changed}}}[{_WINDOW}])) == 0"
    return (PlanQuery(text="nothing is preempted", query=query),)


_ROOM = {"kv_cache_dtype": 2.0}  # KV tokens after over before; of a share of memory at least in proportion


def _kv(step: Step) -> tuple[PlanQuery, ...]:
    of, most = step.of, step.bounds.kv_usage_max
    usage = f"max(avg_over_time(replica:llm_kv_cache_usage:avg2m{{{of.changed}}}[{_WINDOW}])) < {most:g}"
    roomy = PlanQuery(text=f"KV usage is below {figure(most, 'ratio')}", query=usage)
    return (*((roomy,) if _leaves_room(step) else ()), *_no_preemptions(step))


def _leaves_room(step: Step) -> bool:
    """Whether all that runs and waits is expected to fit below the bound; a smaller batch fills what there is."""
    change = step.change
    grown = float(change.new) / float(change.old) if change.knob == "kv_cache_memory_fraction" else 0.0
    factor = _ROOM.get(change.knob, grown)
    for one in step.instances:
        capacity, held, running, waiting = (
            step.evidence.value(f"replica:llm_{name}", one)
            for name in (
                "kv_cache_capacity_tokens",
                "tokens_per_running_request:avg5m",
                "requests_running:avg2m",
                "requests_waiting:avg2m",
            )
        )
        if not capacity or held is None or running is None or waiting is None:
            return False
        if (running + waiting) * held >= step.bounds.kv_usage_max * factor * capacity:
            return False
    return True


def _queue(step: Step) -> tuple[PlanQuery, ...]:
    most = step.bounds.queue_share_max
    share = f"max(avg_over_time(replica:llm_queue_share_of_ttft:ratio_rate5m{{{step.of.changed}}}[{_WINDOW}]))"
    text = f"queueing is less than {figure(most, 'ratio')} of TTFT"
    return (PlanQuery(text=text, query=f"{share} < {most:g}"), _waiting(step.of, step.bounds.waiting_max))


def _waiting(of: Selectors, most: float) -> PlanQuery:
    waiting = f"max(avg_over_time(replica:llm_requests_waiting:avg2m{{{of.changed}}}[{_WINDOW}])) < {most:g}"
    few = "less than one request waits" if most == 1 else f"fewer than {most:g} requests wait"
    return PlanQuery(text=f"on average {few} at each replica", query=waiting)


def _admission(step: Step) -> tuple[PlanQuery, ...]:
    """An empty queue only where the step has slots for all that run and wait; another step follows else."""
    of, bounds = step.of, step.bounds
    full = f"max(replica:llm_admission_fullness:ratio_avg2m{{{of.changed}}}) < {bounds.fullness_max:g}"
    emptied = (
        PlanQuery(text=f"the batch is below {figure(bounds.fullness_max, 'ratio')} of its limit", query=full),
        _waiting(of, bounds.admitted_waiting_max),
    )
    kept = _promises(step, ("itl_p95_seconds",))
    return (*(emptied if _holds_all(step) else ()), *_no_preemptions(step), *kept)


def _holds_all(step: Step) -> bool:
    if step.change.knob != "max_running_requests":
        return False
    in_system = [
        (step.evidence.value("replica:llm_requests_running:avg2m", one), step.evidence.value(_WAITING, one))
        for one in step.instances
    ]
    slots = step.bounds.fullness_max * float(step.change.new)
    return all(r is not None and w is not None and r + w < slots for r, w in in_system)


_WAITING = "replica:llm_requests_waiting:avg2m"
_ITL_TAIL = ("replica:llm_itl_seconds:p99_5m", "replica:llm_itl_seconds:p50_5m")


def _prefill(step: Step) -> tuple[PlanQuery, ...]:
    most = step.bounds.itl_tail_max
    high, low = (step.worst(signal) for signal in _ITL_TAIL)
    shorter = step.goal.mid if step.goal.metric == VerificationMetric.ITL_P95_SECONDS else None
    tail = "max({0}{{{2}}} / {1}{{{2}}})".format(*_ITL_TAIL, step.of.changed)
    even = PlanQuery(text=f"ITL p99 is below {most:g} times its p50", query=f"{tail} < {most:g}")
    reached = high is not None and low and shorter is not None and high / low * shorter < most
    return (*((even,) if reached else ()), *_promises(step))


def _decode(step: Step) -> tuple[PlanQuery, ...]:
    """The median of ITL where ITL is what must fall: with speculation it is of streamed chunks and says nothing."""
    median = "avg(avg_over_time(replica:llm_itl_seconds:p50_5m{{{of}}}[15m]{offset}))"
    ratio, goal = step.bounds.itl_median_ratio, step.goal
    faster = PlanQuery(
        text=f"ITL p50 is below {ratio:g} of yesterday's at this hour", query=f"{_before(median, step.of)} < {ratio:g}"
    )
    reached = goal.metric == VerificationMetric.ITL_P95_SECONDS and goal.mid is not None and goal.mid < ratio
    return (*((faster,) if reached else ()), *_promises(step))


_LATENCIES = (
    ("ttft_p95_seconds", "replica:llm_ttft_seconds:p95_5m"),
    ("itl_p95_seconds", "replica:llm_itl_seconds:p95_5m"),
)


def _promises(step: Step, names: tuple[str, ...] = ("ttft_p95_seconds", "itl_p95_seconds")) -> tuple[PlanQuery, ...]:
    """Each latency objective that is kept now, or that this step is expected to reach."""
    return tuple(
        PlanQuery(
            text=f"{metric_name(name)} keeps its objective of {figure(objective, 'seconds')}",
            query=f"max(avg_over_time({signal}{{{step.of.changed}}}[{_WINDOW}])) < {objective:g}",
        )
        for name, signal in _LATENCIES
        if name in names
        and (objective := step.evidence.objectives.get(name)) is not None
        and _reaches(step, name, signal, objective)
    )


def _throughput(step: Step) -> tuple[PlanQuery, ...]:
    each = (
        "sum(avg_over_time(replica:llm_generation_tokens:rate5m{{{of}}}[15m]{offset})) "
        "/ sum(avg_over_time(replica:llm_requests_running:avg2m{{{of}}}[15m]{offset}))"
    )
    ratio = step.bounds.tokens_per_running_ratio
    text = f"tokens per running request are over {ratio:g} times yesterday's at this hour"
    return (PlanQuery(text=text, query=f"{_before(each, step.of)} > {ratio:g}"), *_promises(step))


def _cache(step: Step) -> tuple[PlanQuery, ...]:
    """More hits than yesterday; any at all where there were none. KV in host memory has hits of its own."""
    if step.change.knob == "kv_offload_bytes":
        return ()
    hits = "avg(avg_over_time(replica:llm_prefix_cache_hit:ratio_rate5m{{{of}}}[15m]{offset}))"
    if step.worst("replica:llm_prefix_cache_hit:ratio_rate5m"):
        text = "more prompt tokens are found in the prefix cache than yesterday at this hour"
        return (PlanQuery(text=text, query=f"{_before(hits, step.of)} > 1"),)
    text = "prompt tokens are found in the prefix cache"
    return (PlanQuery(text=text, query=f"{hits.format(of=step.of.changed, offset='')} > 0"),)


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
