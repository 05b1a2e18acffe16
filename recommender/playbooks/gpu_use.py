"""P10: GPUs that are held for nothing."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks import ollama, right_sizing
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import burning, nodes_of, value
from recommender.sizing import NotApplicable


def _give_back(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P10 no. 1 and 5: which replicas are idle, what they hold, and what that costs."""
    if why := burning(evidence):
        return NotApplicable(why)
    idle = [i for i in affected(evidence, finding) if evidence.value("replica:llm_requests_running:max6h", i) == 0]
    if not idle:
        return NotApplicable("no replica is known to have had no request for six hours")
    held = figure(value(evidence, finding, "gpu:gpu_memory_used:ratio"), "ratio")
    price = context.facts.price_per_replica_hour
    cost = "" if price is None else f" They cost {price * len(idle) * 24:.4g} a day."
    where = ", ".join(nodes_of(finding, evidence, context)) or "their nodes"
    up = evidence.value("service:llm_replicas_up:count")
    last = (
        " All replicas of the service are idle: scale to zero only where users can wait for a cold start "
        f"({'minutes' if context.start_seconds is None else figure(context.start_seconds, 'seconds')})."
        if up is not None and len(idle) >= up
        else " Scale the service in by them, one at a time."
    )
    return Advice(
        f"{', '.join(idle)} had no request in six hours and {'hold' if len(idle) > 1 else 'holds'} {held} of a GPU's "
        f"memory on {where}.{cost}{last} A model that sleeps wakes in 0.1 to 6 s, one that is loaded anew in 30 to 100 "
        "s."
    )


IDLE = (
    advising(
        "P10.1",
        "Ask whether it is a spare",
        "A warm spare, a replica for disaster recovery or a service that is used at other hours is meant to be idle: "
        "look at a week before anything else.",
    ),
    Playbook("P10.2", "Give the GPU back", _give_back),
    ollama.UNLOAD,
    advising(
        "P10.6",
        "Put small models together",
        "Several models that are used at different hours share one GPU: several engines with a smaller share of its "
        "memory each, MIG slices where the GPU has them, or sleep mode (vLLM --enable-sleep-mode, development mode "
        "only).",
    ),
    right_sizing.FEWER_GPUS,
    right_sizing.OTHER_GPU,
)
