"""Scale-out advice: how many replicas the present load needs. Carrying it out is the orchestrator's."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.sizing import NotApplicable, replicas_for_kv, replicas_for_load


def scale_out_for_load(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,
) -> Advice | NotApplicable:
    """P03 no. 2: replicas that hold what runs at 75 % of their slots and work off what waits."""
    replicas = evidence.value("service:llm_replicas_up:count")
    slots = evidence.value("service:llm_max_running_requests:sum")
    each = slots / replicas if slots is not None and replicas else None
    sized = replicas_for_load(
        evidence.value("service:llm_requests_running:sum"),
        evidence.value("service:llm_requests_waiting:sum"),
        each,
        replicas,
        finished_per_second=evidence.value("service:llm_requests:rate5m"),
        backlog_seconds=context.tuning.backlog_seconds,
        utilization=context.tuning.scale_out_utilization,
    )
    if isinstance(sized, NotApplicable):
        return sized
    return Advice(
        f"With today's batch limit at least {sized.value:.0f} replicas hold what runs and work off what waits: "
        f"{sized.formula}. What arrives beyond what is finished is not known; look again when the queue is gone."
    )


def scale_out_for_kv(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,
) -> Advice | NotApplicable:
    """P02 no. 3: replicas that bring mean KV usage to 0.70."""
    target = context.tuning.scale_out_kv_usage
    sized = replicas_for_kv(
        evidence.value("service:llm_replicas_up:count"), evidence.value("service:llm_kv_cache_usage:avg"), target=target
    )
    if isinstance(sized, NotApplicable):
        return sized
    return Advice(
        f"{sized.value:.0f} replicas would bring mean KV usage to {figure(target, 'ratio')}: {sized.formula}."
    )


SCALE_OUT_FOR_LOAD = Playbook(id="P03.2", title="Add replicas", size=scale_out_for_load)
SCALE_OUT_FOR_KV = Playbook(id="P02.3", title="Add replicas", size=scale_out_for_kv)
