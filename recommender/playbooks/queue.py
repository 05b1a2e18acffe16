"""P03: requests queue up and no cause of it is certain. What helps whatever the cause is, and what never does."""

from recommender.diagnosis.missing import obtain
from recommender.figures import counted, figure
from recommender.model import Ask, Evidence, Finding
from recommender.playbooks.admission_policy import LOOSER_POLICY, LOWER_CONSERVATIVENESS
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.batch_limit import RAISE_BATCH_LIMIT, told_of_slots
from recommender.playbooks.batch_with_memory import RAISE_BOTH
from recommender.playbooks.handles import handle, queue_limit
from recommender.playbooks.scaling import SCALE_OUT_FOR_LOAD
from recommender.playbooks.scope import canary_of
from recommender.playbooks.token_budget import RAISE_BUDGET
from recommender.sizing import NotApplicable

_SEEN = (
    "replica:llm_requests_running:avg2m",
    "replica:llm_requests_running:max2m",
    "replica:llm_requests_waiting:avg2m",
)


def _what_stops_it(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P03 no. 1: confirm the cause first. Where its signals are unknown: what is seen, and how each can be known."""
    canary = canary_of(evidence, finding)
    lacking = [name for name, value in told_of_slots(evidence, canary, context).items() if value is None]
    if not canary or not lacking:
        return NotApplicable("all that tells slots from KV memory is known")
    running, most, waiting = (evidence.value(name, canary) for name in _SEEN)
    turned = handle("max_running_requests", context) or "its batch limit"
    runs = "requests" if running is None else counted(running, "request")
    seen = f"{canary} runs {runs} while {'others' if waiting is None else figure(waiting)} wait"
    if most is not None and evidence.value("replica:llm_requests_waiting:min2m", canary):
        seen += f", and never ran more than {figure(most)} in two minutes in which some always waited"
    asks = tuple(_ask(name, context) for name in lacking)
    return Advice(
        f"{seen}. Whether slots ({turned}) or KV memory stop it there is not known: compare what it runs with what it "
        "is allowed to. Where they are equal it has too few slots; where it is allowed more, its memory is full.",
        asks,
    )


def _ask(signal: str, context: PlanContext) -> Ask:
    how, _ = obtain(signal, context.engine)
    own = how.replace("services.NAME.", f"services.{context.service}.")
    return Ask(fact=signal, needed_for="to tell what requests wait for", how=own or f"record {signal}")


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
    turned, beside = queue_limit(context)
    return Advice(
        f"Let no more than {limit} requests queue at a replica ({turned}: {limit}{beside}): objective·finished per "
        f"second = {figure(objective, 'seconds')}·{figure(each)}/s. Turn away or defer what need not be answered now; "
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
    LOOSER_POLICY,
    Playbook("P03.1", "Find what requests wait for", _what_stops_it),
    SCALE_OUT_FOR_LOAD,
    Playbook("P03.3", "Limit the queue", _shed),
    Playbook("P03.4", "Spread the load", _balance),
)
