"""P20: an engine does not answer, or is stuck. Nothing here changes a knob: a person must look first."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.handles import handle
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import value


def _bring_back(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    down = [i for i in affected(evidence, finding) if evidence.value("replica:llm_up", i) == 0]
    which = ", ".join(down) or "The engine"
    turned = handle("kv_cache_memory_fraction", context) or "its KV cache or context"
    return Advice(
        f"{which} {'do' if len(down) > 1 else 'does'} not answer: look at the engine's own log and at "
        "its process. Out of memory at start: lower its share of device "
        f"memory ({turned}). Reachable from elsewhere: check the URL in the inventory and the exporter's allowed "
        "targets. Other bottlenecks of this service are judged again once its engines answer; autoscalers must hold "
        "meanwhile (KEDA: ignoreNullValues must not mean zero)."
    )


def _free_stuck(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    held = value(evidence, finding, "replica:llm_requests_running")
    stuck = affected(evidence, finding)
    which = ", ".join(stuck) or "The replica"
    what = "requests" if held is None else f"up to {figure(held)} requests"
    says = f"each hold {what} and give" if len(stuck) > 1 else f"holds {what} and gives"
    return Advice(
        f"{which} {says} no token. Take such a replica out of the load balancer, keep its log and a stack dump (py-spy "
        "dump --pid PID, or kill -ABRT with faulthandler on), then restart it. Requests that it holds are lost either "
        "way."
    )


TARGET_DOWN = (
    Playbook("P20.1", "Bring the engine back", _bring_back),
    advising(
        "P20.3",
        "Tell a dead engine from a dead exporter",
        "Ask the engine itself (curl http://HOST:PORT/health): if it answers, its exporter or the network between is "
        "down, not the engine. Scrapes, and with them all figures, come back with the exporter.",
    ),
)

ENGINE_FROZEN = (Playbook("P20.2", "Restart the stuck engine", _free_stuck),)
