"""P07: latency is over its objective and no cause of it is certain. The decision tree of B07 names the playbook.

No knob belongs to a latency itself: a first token that is late because prompts are computed leads to P05, gaps between
tokens that grow with the batch to P06. Both ask for all that they need; what is unknown leads nowhere.
"""

from recommender.diagnosis.symptoms import explain
from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks import ollama
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.batch_limit import RAISE_BATCH_LIMIT
from recommender.playbooks.batch_with_memory import RAISE_BOTH
from recommender.playbooks.decode_bandwidth import SMALLER_BATCH
from recommender.playbooks.scaling import SCALE_OUT_FOR_LOAD
from recommender.playbooks.token_budget import LOWER_BUDGET, RAISE_BUDGET
from recommender.sizing import NotApplicable


def _where(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,  # noqa: ARG001 - Size's signature
) -> Advice | NotApplicable:
    """The branch of the tree, in words."""
    text = explain(evidence)
    return Advice(f"Where the time goes: {text}") if text else NotApplicable("no latency is over its objective now")


def _shorter_answers(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,  # noqa: ARG001 - Size's signature
) -> Advice | NotApplicable:
    """P07 no. 2: end to end is TTFT + output·ITL, so shorter answers end sooner in proportion."""
    itl = evidence.value("service:llm_itl_seconds:mean_5m")
    seen, objective = (
        evidence.value("service:llm_request_duration_seconds:p95_5m"),
        evidence.objectives.get("request_duration_p95_seconds"),
    )
    if not itl or seen is None or objective is None or seen <= objective:
        return NotApplicable("whole requests are not known to take longer than promised")
    fewer = (seen - objective) / itl
    return Advice(
        f"Cap max_tokens: a request takes TTFT plus {figure(itl, 'seconds')} a token, so {fewer:.0f} tokens fewer "
        "bring the 95th percentile within its objective."
    )


def _tiers(
    evidence: Evidence,  # noqa: ARG001 - Size's signature
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,  # noqa: ARG001 - Size's signature
) -> Advice:
    """P07 no. 1 and no. 3."""
    return Advice(
        "Put interactive requests ahead of batch work, which gets at most half of the slots while it lasts; "
        "let gateways stream (a proxy that buffers makes TTFT as long as the whole answer)."
    )


PLAYBOOKS = (
    Playbook("P07.0", "See where the time goes", _where),
    SMALLER_BATCH,
    LOWER_BUDGET,
    RAISE_BATCH_LIMIT,
    RAISE_BOTH,
    RAISE_BUDGET,
    Playbook("P07.1", "Serve people before batches", _tiers),
    Playbook("P07.2", "Cap the length of answers", _shorter_answers),
    advising(
        "P07.4",
        "Answer with a smaller model while it lasts",
        "Where the team has a smaller or quantised variant whose answers are good enough, let the gateway send it the "
        "requests that can take it (batch work, drafts, short answers) until latency is within its objective. Check "
        "answers before: they are another model's.",
    ),
    ollama.KEEP_LOADED,
    SCALE_OUT_FOR_LOAD,
)
