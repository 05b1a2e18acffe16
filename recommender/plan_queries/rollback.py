"""What asks for a roll-back: the plan's own guards, and the triggers that all changes share (tuning §3.1)."""

from recommender.metrics import VerificationMetric
from recommender.model import Evidence, Guard, PlanQuery
from recommender.plan_queries.expressions import EXPRESSIONS, Selectors, compared, control, known, readable, whose
from recommender.playbooks.base import PlanContext
from recommender.wording import figure, metric_name, verb

_TIMED = {VerificationMetric.ITL_P95_SECONDS, VerificationMetric.SECONDS_PER_TOKEN}


def rollback_queries(
    guards: tuple[Guard, ...], evidence: Evidence, instances: tuple[str, ...], context: PlanContext
) -> tuple[PlanQuery, ...]:
    """The plan's own guards, then the triggers that all changes share (tuning §3.1); each answer asks for a roll-back.

    With a single replica its own past hour stands for the control. What the canary does not tell is not asked.
    """
    of = Selectors(evidence, instances)
    # No error may have been counted yet: that is asked in any case.
    told = {VerificationMetric.ERROR_RATIO, *(one for one in EXPRESSIONS if known(one, evidence, instances[:1]))}
    guarded = tuple(
        query for guard in guards if guard.metric in told and (query := _guard_query(guard, of)) is not None
    )
    success = context.tuning.success
    watched = {guard.metric for guard in guards}
    common = [
        PlanQuery(
            text=f"{metric_name(metric)} is over {success.latency_worse_ratio:g} times {whose(of)}",
            query=f"{compared(EXPRESSIONS[metric], of)} > {success.latency_worse_ratio:g}",
        )
        for metric in (VerificationMetric.TTFT_P95_SECONDS, VerificationMetric.ITL_P95_SECONDS)
        if metric not in watched and metric in told
    ]
    per_running = (
        "sum(replica:llm_generation_tokens:rate5m{{{of}}}{offset}) "
        "/ sum(replica:llm_requests_running:avg2m{{{of}}}{offset})"
    )
    slower = PlanQuery(
        text=f"tokens per running request are under {success.throughput_worse_ratio:g} times {whose(of)}",
        query=f"{compared(per_running, of)} < {success.throughput_worse_ratio:g}",
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


def _rated(evidence: Evidence, instances: tuple[str, ...]) -> bool:
    running = all(evidence.value("replica:llm_requests_running:avg2m", one) is not None for one in instances)
    return running and known(VerificationMetric.GENERATION_TOKENS_RATE, evidence, instances)


def _guard_query(guard: Guard, of: Selectors) -> PlanQuery | None:
    expression, name = EXPRESSIONS.get(guard.metric), f"{metric_name(guard.metric)} {verb(guard.metric)}"
    if expression is None:
        return None
    now = expression.format(of=of.canary, offset="")
    if guard.max_value is not None:
        text = f"{name} over {figure(guard.metric, guard.max_value)}"
        return PlanQuery(text=text, query=f"{now} > {guard.max_value:g}")
    if guard.max_increase is not None:
        text = f"{name} {100 * guard.max_increase:g} percentage points above {whose(of)}"
        return PlanQuery(text=text, query=f"({now}) - ({control(expression, of)}) > {guard.max_increase:g}")
    ratio = compared(expression, of)
    text, query = f"{name} over {guard.max_ratio or 1:g} times {whose(of)}", f"{ratio} > {guard.max_ratio or 1:g}"
    if guard.min_ratio is not None:
        text, query = f"{name} under {guard.min_ratio:g} times {whose(of)}", f"{ratio} < {guard.min_ratio:g}"
    if guard.tolerated:
        text += f", and by more than {guard.tolerated:g}"
        query += f" and abs(({now}) - ({control(expression, of)})) > {guard.tolerated:g}"
    return PlanQuery(text=text, query=query)
