"""P04: the batch limit keeps requests waiting while KV has room."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Finding, Guard
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, preemption_guard
from recommender.playbooks.scaling import scale_out_for_load
from recommender.playbooks.scope import OldValueUnknown, affected, change_scope, contradicted, known_everywhere
from recommender.sizing import NotApplicable, Sized, captured_batch_size, raise_max_running

_CAPACITY = "replica:llm_kv_cache_capacity_tokens"
_TAU = "replica:llm_tokens_per_running_request:avg5m"
_LIMIT = "replica:llm_max_running_requests"
_ITL_TRADE = 1.2  # P04: roll back at ITL p95 +20 %, where no objective says what is acceptable


def raise_batch_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P04 no. 1: more slots, as far as KV memory, the ITL objective and the step cap allow."""
    over = _itl_over_objective(evidence, finding)
    if over:
        return NotApplicable(over)
    scope = change_scope("max_running_requests", evidence, finding, context)
    if isinstance(scope, NotApplicable):
        return scope
    if isinstance(scope, OldValueUnknown):
        return _advice(evidence, finding, context, scope.text)
    old = int(scope.old)
    if wrong := contradicted(scope, evidence, "replica:llm_requests_running:max2m", lambda running: running <= old):
        return NotApplicable(wrong)
    sized = _size(old, evidence, finding, context)
    if isinstance(sized, NotApplicable):
        return sized
    return scope.change(sized, reason=_reason(evidence, scope.instances[0], old, int(sized.value)))


def _size(old: int, evidence: Evidence, finding: Finding, context: PlanContext) -> Sized | NotApplicable:
    """Sized for the affected replica with the least room; unknown on one of them is unknown."""
    instances = affected(evidence, finding)
    capacity = known_everywhere(evidence, instances, _CAPACITY)
    tau = known_everywhere(evidence, instances, _TAU)
    tightest = min(capacity.keys() & tau.keys(), key=lambda i: capacity[i] / max(tau[i], 1e-9), default="")
    knob = context.knob("max_running_requests")
    budget = context.configured("max_batched_tokens", tightest)
    return raise_max_running(
        old,
        kv_capacity_tokens=capacity.get(tightest),
        tokens_held_per_request=tau.get(tightest),
        legal=captured_batch_size if knob is None else knob.legal_at_or_below,
        itl=context.itl,
        itl_objective_seconds=evidence.objectives.get("itl_p95_seconds"),
        max_batched_tokens=None if budget is None else int(budget),
    )


def _advice(evidence: Evidence, finding: Finding, context: PlanContext, why: str) -> Advice:
    instances = affected(evidence, finding)
    observed = evidence.value(_LIMIT, instances[0]) if instances else None
    knob = context.knob("max_running_requests")
    flag = "the engine's batch limit (vLLM: --max-num-seqs)" if knob is None else knob.label
    if observed is None:
        return Advice(f"Raise {flag} by at most a factor of two, and watch KV usage and ITL. {why}")
    sized = _size(round(observed), evidence, finding, context)
    if isinstance(sized, NotApplicable):
        return Advice(f"Raise {flag} (observed: about {observed:.0f}) with care: {sized.reason}. {why}")
    return Advice(f"Raise {flag} from about {observed:.0f} (observed) to {sized.value:.0f}: {sized.formula}. {why}")


def _itl_over_objective(evidence: Evidence, finding: Finding) -> str:
    objective = evidence.objectives.get("itl_p95_seconds")
    for instance in affected(evidence, finding):
        itl = evidence.value("replica:llm_itl_seconds:p95_5m", instance)
        if itl is not None and objective is not None and itl > objective:
            return (
                f"ITL p95 of {instance} is {figure(itl, 'seconds')}, already over its objective of "
                f"{figure(objective, 'seconds')}: more slots would slow every request down"
            )
    return ""


def _reason(evidence: Evidence, canary: str, old: int, new: int) -> str:
    running = figure(evidence.value("replica:llm_requests_running:avg2m", canary))
    waiting = figure(evidence.value("replica:llm_requests_waiting:avg2m", canary))
    kv = figure(evidence.value("replica:llm_kv_cache_usage:avg2m", canary), "ratio")
    return (
        f"{canary} runs {running} of {old} requests while {waiting} wait and {kv} of its KV cache is in use: "
        f"{new} slots let more of them run at once."
    )


def effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    """TTFT falls by at most the time spent queueing; tokens/s rise at most with the slots; ITL is the trade."""
    share = evidence.value("replica:llm_queue_share_of_ttft:ratio_rate5m", canary)
    ttft = Expectation(
        metric=VerificationMetric.TTFT_P95_SECONDS,
        direction=Direction.LOWER,
        low=1 - context.verification.min_improvement,
        high=round(max(0.05, 1 - share), 3) if share is not None else 0.5,
        source=(
            f"at best the queueing, {figure(share, 'ratio')} of TTFT now, ends; at worst the least that counts as proof"
            if share is not None
            else "the queue's share of TTFT is unknown: half at best [guess]"
        ),
    )
    slots = float(change.new) / float(change.old)
    throughput = Expectation(
        metric=VerificationMetric.GENERATION_TOKENS_RATE,
        direction=Direction.HIGHER,
        low=1.0,
        high=slots,
        source=(
            "B/(alpha + beta·B): between no gain (all step time grows with the batch) and one in proportion to the "
            "slots; 64 to 512 slots gave +27 % on TensorRT-LLM (tuning §2.7)"
        ),
    )
    itl = Expectation(
        metric=VerificationMetric.ITL_P95_SECONDS,
        direction=Direction.LOWER,
        low=_ITL_TRADE,
        high=1.0,
        source="the declared trade: each step computes more requests (tuning §2.3); it may rise up to its guard",
    )
    guards = (error_guard(context), _itl_guard(evidence), preemption_guard(context))
    return Effects(expected=(ttft, throughput, itl), must_improve=ttft, guards=guards)


def _itl_guard(evidence: Evidence) -> Guard:
    objective = evidence.objectives.get("itl_p95_seconds")
    if objective is not None:
        return Guard(metric=VerificationMetric.ITL_P95_SECONDS, max_value=objective)
    return Guard(metric=VerificationMetric.ITL_P95_SECONDS, max_ratio=_ITL_TRADE)


PLAYBOOKS = (
    Playbook(
        id="P04.1",
        title="Raise the batch limit",
        size=raise_batch_limit,
        effects=effects,
        rollback=(
            "When ITL p95 passes its guard, requests are preempted, errors rise by half a percentage point or TTFT "
            "p95 does not improve, the old batch limit is written back and the replicas that have it are restarted."
        ),
    ),
    Playbook(id="P03.2", title="Add replicas", size=scale_out_for_load),
)
