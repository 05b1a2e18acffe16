"""P03: requests queue up and no cause of it is certain. What helps whatever the cause is, and what never does."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks.admission_policy import LOWER_CONSERVATIVENESS
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.batch_limit import RAISE_BATCH_LIMIT
from recommender.playbooks.batch_with_memory import RAISE_BOTH
from recommender.playbooks.handles import handle
from recommender.playbooks.scaling import SCALE_OUT_FOR_LOAD
from recommender.playbooks.token_budget import RAISE_BUDGET
from recommender.sizing import NotApplicable


def _shed(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,
) -> Advice | NotApplicable:
    """P03 no. 3: a queue that is longer than what is served within the TTFT objective only makes answers late."""
    objective = evidence.objectives.get("ttft_p95_seconds")
    rate, replicas = evidence.value("service:llm_requests:rate5m"), evidence.value("service:llm_replicas_up:count")
    if objective is None or rate is None or not replicas:
        return NotApplicable("the TTFT objective, or how many requests finish, is unknown: no queue limit can be said")
    each = rate / replicas
    limit = max(1, round(objective * each))
    turned = handle("queue_limit_requests", context) or "the gateway"
    return Advice(
        f"Let no more than {limit} requests queue at a replica ({turned}): objective·finished per second = "
        f"{figure(objective, 'seconds')}·{figure(each)}/s. Turn away or defer what does not have to be answered now; "
        "a longer queue only makes answers late."
    )


def _balance(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,  # noqa: ARG001 - Size's signature
) -> Advice | NotApplicable:
    """P03 no. 4: requests wait at one replica while another has room."""
    skew = evidence.value("service:llm_load:skew_ratio")
    if skew is None or skew < 1.3:  # noqa: PLR2004 - tuning §3.1 p11: balanced below
        return NotApplicable("the load is not known to be uneven")
    return Advice(
        f"The busiest replica has {skew:.2f} times the mean load: route to the one with the fewest requests, or by KV "
        "usage, before anything is changed at the engines (P11)."
    )


PLAYBOOKS = (
    LOWER_CONSERVATIVENESS,
    RAISE_BATCH_LIMIT,
    RAISE_BOTH,
    RAISE_BUDGET,
    SCALE_OUT_FOR_LOAD,
    Playbook("P03.3", "Limit the queue", _shed),
    Playbook("P03.4", "Spread the load", _balance),
)
