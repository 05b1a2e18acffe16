"""P22-P24: replicas before they are needed, replicas that are not needed, and tokens that cost more than they did.

The counts are those of `rules/capacity.yml`, which autoscalers read too. Nothing here changes a knob.
"""

import math

from recommender.figures import counted, figure
from recommender.model import Evidence, Finding
from recommender.playbooks import precision, right_sizing
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.precision_effects import Purpose
from recommender.playbooks.seen import burning
from recommender.sizing import NotApplicable

_FORECAST = "service:llm_capacity_usage:forecast_max"
_EXPECTED = "service:llm_replicas_expected:count"
_CANDIDATE = "replica:llm_scale_in:candidate"


def _scale_out(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P22: N' = ceil(L_predicted/(rho·C)); the desired count of the rules, which autoscalers follow, goes first."""
    replicas, desired = evidence.value(_EXPECTED), evidence.value("service:llm_replicas_desired:count")
    forecast, share = evidence.value(_FORECAST), context.tuning.scale_out_utilization
    reporting = evidence.value("service:llm_replicas_reporting:count") or replicas
    if replicas is None or (desired is None and (forecast is None or reporting is None)):
        return NotApplicable("the number of replicas, or of those desired, is unknown")
    formula, needed = "", desired
    if forecast is not None and reporting is not None:
        by_forecast = math.ceil(forecast * reporting / share - 1e-9)
        formula = f" (ceil({forecast:.3g}·{reporting:g}/{share:g}) = {by_forecast} by the forecast alone)"
        needed = by_forecast if desired is None else desired
    if needed is None or needed <= replicas:
        return NotApplicable(f"{replicas:g} replicas are what is desired, also for the demand that is forecast")
    ready = "minutes" if context.start_seconds is None else figure(context.start_seconds, "seconds")
    return Advice(
        f"Run {counted(needed, 'replica')} instead of {replicas:g}: demand is forecast to be "
        f"{figure(forecast, 'ratio')} of what they can take{formula}. Start them now, for a replica needs {ready} "
        "until it serves."
    )


def _scale_in(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P23 no. 1: the smallest step down, and how a replica is taken away (tuning §5.4)."""
    if why := burning(evidence):
        return NotApplicable(why)
    replicas, after = evidence.value(_EXPECTED), evidence.value("service:llm_scale_in_replicas:count")
    if replicas is None or after is None:
        return NotApplicable("the number of replicas is unknown")
    usage = figure(evidence.value("service:llm_scale_in_usage:max"), "ratio")
    victim = next((i for i in sorted(evidence.replica_readings) if evidence.value(_CANDIDATE, i) is not None), None)
    which = f"{victim} has least to do" if victim else "Choose the one with the fewest running requests"
    price = context.facts.price_per_replica_hour
    saved = "" if price is None else f" That saves {price * (replicas - after) * 24:.4g} a day."
    return Advice(
        f"Run {counted(after, 'replica')} instead of {replicas:g}: {usage} of what they can take would be in use."
        f"{saved} {which}. Stop sending it requests, wait until those that it has are done (two minutes at least), "
        "then stop it. Wait half an hour before the next, and go back at once when an error budget burns."
    )


def _fill(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P24: replicas that are paid for and not needed."""
    if why := burning(evidence):
        return NotApplicable(why)
    replicas, desired = evidence.value(_EXPECTED), evidence.value("service:llm_replicas_desired:count")
    if replicas is None or desired is None:
        return NotApplicable("the number of replicas, or of those desired, is unknown")
    if desired >= replicas:
        return NotApplicable(f"{replicas:g} replicas are what is desired")
    share = figure((replicas - desired) / replicas, "ratio")
    return Advice(
        f"{desired:g} replicas are desired and {replicas:g} are there: {share} of the cost is for nothing. Scale in by "
        "one at a time; give GPUs back that are held for nothing."
    )


def _explain_cost(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,  # noqa: ARG001 - Size's signature
) -> Advice | NotApplicable:
    """P24: the figures that tell utilisation, mix and throughput apart (tuning B24)."""
    cost = evidence.value("service:llm_cost_per_million_tokens:1h")
    week = evidence.value("service:llm_cost_per_million_tokens:avg7d")
    if cost is None or week is None:
        return NotApplicable("what tokens cost, or cost in a week, is unknown")
    running, places = (
        evidence.value(f"service:llm_{name}:sum") for name in ("requests_running", "max_running_requests")
    )
    prompt, answer = (evidence.value(f"service:llm_{name}_tokens:rate5m") for name in ("prompt", "generation"))
    used = "" if running is None or not places else f": {figure(running / places, 'ratio')} of the places are in use"
    mix = "" if prompt is None or not answer else f": {figure(prompt / answer)} prompt tokens for each generated one"
    rate = "" if answer is None else f": {counted(round(answer), 'token')} a second generated"
    return Advice(
        f"A million tokens cost {cost:.2f}, {week:.2f} on average of a week. Look first at utilisation{used}; replicas "
        f"that wait are paid for. Then at the mix{mix}; generated tokens are dear. Then at throughput{rate}; compare "
        "with the same load before the last change."
    )


START_REPLICAS = Playbook("P22.1", "Start replicas before they are needed", _scale_out)

PREDICTED_SATURATION = (
    START_REPLICAS,
    advising(
        "P22.2",
        "Let an autoscaler follow the forecast",
        "An autoscaler can follow service:llm_replicas_desired:count (optiinfra export keda or hpa). Where the peak "
        "comes each week at the same time, raise the minimum for it; where a start takes longer than 15 minutes, keep "
        "a warm spare.",
    ),
    advising(
        "P22.3",
        "Move what can wait",
        "Batch work and evaluations to other hours, or to a service of their own with a lower priority.",
    ),
)

OVER_PROVISIONED = (
    Playbook("P23.1", "Take one replica away", _scale_in),
    advising(
        "P23.2",
        "Keep what a failure needs",
        "Two replicas at least where users would notice the loss of one; replicas for disaster recovery are not too "
        "many. threshold:scale_in_replicas_min of the service says how many must stay. Be sure that the nodes can take "
        "the replica back: image and weights kept, capacity reserved.",
    ),
    right_sizing.FEWER_GPUS,
    right_sizing.OTHER_GPU,
)

COST_PER_TOKEN = (
    Playbook("P24.1", "Look where the money goes", _explain_cost),
    Playbook("P24.2", "Fill the replicas that there are", _fill),
    right_sizing.OTHER_GPU,
    precision.weights("P24.3", Purpose.COST),
    advising(
        "P24.5",
        "Move what can wait",
        "Batch work at hours when replicas have nothing to do costs nothing; a prefix cache makes prompts that repeat "
        "cheap.",
    ),
)
