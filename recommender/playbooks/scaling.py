"""Scale-out advice: how many replicas the present load needs. Carrying it out is the orchestrator's."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.sizing import NotApplicable, replicas_for_kv, replicas_for_load

_QUEUE = "replica:llm_requests_waiting:min2m"


def scale_out_for_load(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,
) -> Advice | NotApplicable:
    """P03 no. 2: replicas that hold what runs at 75 % of their slots and work off what waits.

    Where nobody tells the slots, a replica takes what it ran at most while others waited, whatever stops it there; a
    backlog alone is not divided by that.
    """
    replicas, rate = evidence.value("service:llm_replicas_up:count"), evidence.value("service:llm_requests:rate5m")
    slots, known = evidence.value("service:llm_max_running_requests:sum"), "today's batch limit"
    if slots is None and rate:
        slots, known = _taken(evidence), "what replicas run at most while others wait"
    each = slots / replicas if slots is not None and replicas else None
    sized = replicas_for_load(
        evidence.value("service:llm_requests_running:sum"),
        evidence.value("service:llm_requests_waiting:sum"),
        each,
        replicas,
        finished_per_second=rate,
        backlog_seconds=context.tuning.backlog_seconds,
        utilization=context.tuning.scale_out_utilization,
    )
    if isinstance(sized, NotApplicable):
        return sized
    if not rate:
        return Advice(
            f"With {known} {sized.value:.0f} replicas would hold all that runs and waits at once: "
            f"{sized.formula}. That is the backlog and no load: how many requests finish is not known."
        )
    return Advice(
        f"With {known} at least {sized.value:.0f} replicas hold what runs and work off what waits: "
        f"{sized.formula}. What arrives beyond what is finished is not known; look again when the queue is gone."
    )


def _taken(evidence: Evidence) -> float | None:
    """Requests that all replicas ran at most in two minutes in which requests always waited; None unless known of each.

    The least that they can take: one without a queue might take more.
    """
    told = [
        (evidence.value("replica:llm_requests_running:max2m", each), evidence.value(_QUEUE, each))
        for each in evidence.replica_readings
    ]
    most = [running for running, waiting in told if running is not None and waiting]
    return sum(most) if most and len(most) == len(told) else None


def scale_out_for_kv(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,
) -> Advice | NotApplicable:
    """P02 no. 3: replicas that hold in 0.70 of their KV what is held now: the least, for what waits holds none yet."""
    target = context.tuning.scale_out_kv_usage
    sized = replicas_for_kv(evidence.value("service:llm_replicas_up:count"), _kv_usage(evidence), target=target)
    if isinstance(sized, NotApplicable):
        return sized
    waiting = evidence.value("service:llm_requests_waiting:sum")
    more = ""
    if waiting is None or waiting > 0:
        told = "Requests that wait" if waiting is None else f"The {figure(waiting)} requests that wait"
        more = f" {told} need KV besides; look again when the queue is gone."
    return Advice(
        f"At least {sized.value:.0f} replicas hold in {figure(target, 'ratio')} of their KV caches what is held now: "
        f"{sized.formula}.{more}"
    )


def _kv_usage(evidence: Evidence) -> float | None:
    """Mean KV usage of the replicas over two minutes, which is what a plan shows; else as it is at this moment."""
    told = [evidence.value("replica:llm_kv_cache_usage:avg2m", each) for each in evidence.replica_readings]
    known = [each for each in told if each is not None]
    return sum(known) / len(known) if known else evidence.value("service:llm_kv_cache_usage:avg")


SCALE_OUT_FOR_LOAD = Playbook(id="P03.2", title="Add replicas", size=scale_out_for_load)
SCALE_OUT_FOR_KV = Playbook(id="P02.3", title="Add replicas", size=scale_out_for_kv)
