"""What says that a change worked (tuning §3.1).

A query that answers with a series says that its sentence holds. What was promised comes first, as the verdict judges
it; a condition of the class follows where the step is expected to reach it, for one step need not mend all.
"""

from collections.abc import Callable, Mapping

from recommender.figures import figure
from recommender.inventory import SuccessConfig
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, PlanQuery, Verification
from recommender.plan_queries import of_nodes
from recommender.plan_queries.expressions import EXPRESSIONS, Selectors, before, compared, known, whose
from recommender.plan_queries.step import WINDOW, Step
from recommender.wording import metric_name, verb

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


def _promise(step: Step) -> tuple[PlanQuery, ...]:
    """What must improve, by as much as counts as proof: the canary against the others, as the verdict has it."""
    goal, least = step.goal, step.judged.min_improvement
    expression = EXPRESSIONS.get(goal.metric)
    if expression is None or not known(goal.metric, step.evidence, step.instances[:1]):
        return ()
    sign, bound, most = (
        ("<", 1 - least, "at most") if goal.direction is Direction.LOWER else (">", 1 + least, "at least")
    )
    when = "" if step.of.alone else ", while those have the old value"
    text = (
        f"{metric_name(goal.metric)} of the canary {verb(goal.metric)} {most} {bound:.4g} times {whose(step.of)}{when}"
    )
    return (PlanQuery(text=text, query=f"{compared(expression, step.of)} {sign}= {bound:.4g}"),)


def _reaches(step: Step, metric: str, signal: str, bound: float) -> bool:
    """Whether a latency is expected to be within a bound after the change: what is promised at its likely value."""
    seen = step.worst(signal)
    mid = step.goal.mid if step.goal.metric == metric else 1.0
    return seen is not None and mid is not None and seen * mid <= bound


def _no_preemptions(step: Step) -> tuple[PlanQuery, ...]:
    if not known(VerificationMetric.PREEMPTIONS_PER_REQUEST, step.evidence, step.instances):
        return ()
    query = f"max(avg_over_time(replica:llm_preemptions:rate5m{{{step.of.changed}}}[{WINDOW}])) == 0"
    return (PlanQuery(text="nothing is preempted", query=query),)


_ROOM = {"kv_cache_dtype": 2.0}  # KV tokens after over before; of a share of memory at least in proportion


def _kv(step: Step) -> tuple[PlanQuery, ...]:
    of, most = step.of, step.bounds.kv_usage_max
    usage = f"max(avg_over_time(replica:llm_kv_cache_usage:avg2m{{{of.changed}}}[{WINDOW}])) < {most:g}"
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
    share = f"max(avg_over_time(replica:llm_queue_share_of_ttft:ratio_rate5m{{{step.of.changed}}}[{WINDOW}]))"
    text = f"queueing is less than {figure(most, 'ratio')} of TTFT"
    return (PlanQuery(text=text, query=f"{share} < {most:g}"), _waiting(step.of, step.bounds.waiting_max))


def _waiting(of: Selectors, most: float) -> PlanQuery:
    waiting = f"max(avg_over_time(replica:llm_requests_waiting:avg2m{{{of.changed}}}[{WINDOW}])) < {most:g}"
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
        text=f"ITL p50 is below {ratio:g} of yesterday's at this hour", query=f"{before(median, step.of)} < {ratio:g}"
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
            query=f"max(avg_over_time({signal}{{{step.of.changed}}}[{WINDOW}])) < {objective:g}",
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
    return (PlanQuery(text=text, query=f"{before(each, step.of)} > {ratio:g}"), *_promises(step))


def _cache(step: Step) -> tuple[PlanQuery, ...]:
    """More hits than yesterday; any at all where there were none. KV in host memory has hits of its own."""
    if step.change.knob == "kv_offload_bytes":
        return ()
    hits = "avg(avg_over_time(replica:llm_prefix_cache_hit:ratio_rate5m{{{of}}}[15m]{offset}))"
    if step.worst("replica:llm_prefix_cache_hit:ratio_rate5m"):
        text = "more prompt tokens are found in the prefix cache than yesterday at this hour"
        return (PlanQuery(text=text, query=f"{before(hits, step.of)} > 1"),)
    text = "prompt tokens are found in the prefix cache"
    return (PlanQuery(text=text, query=f"{hits.format(of=step.of.changed, offset='')} > 0"),)


_RULES: Mapping[str, Rule] = {
    "P01": of_nodes.device_memory,
    "P02": _kv,
    "P03": _queue,
    "P04": _admission,
    "P05": _prefill,
    "P06": _decode,
    "P07": _promises,
    "P08": _throughput,
    "P09": _cache,
    "P15": of_nodes.cpu,
    "P16": of_nodes.host_memory,
    "P24": of_nodes.cost,
}
