"""P02: the KV cache limits the batch, or requests are thrown out of it and computed again."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Finding, Guard
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.effects import Effects, error_guard, ratio_guard
from recommender.playbooks.scaling import scale_out_for_kv
from recommender.playbooks.scope import OldValueUnknown, affected, change_scope, contradicted, known_everywhere
from recommender.sizing import NotApplicable, Sized, concurrency_cap, lower_max_running, raise_memory_fraction

_CAPACITY = "replica:llm_kv_cache_capacity_tokens"
_TAU = "replica:llm_tokens_per_running_request:avg5m"
_PREEMPTIONS = "replica:llm_preemptions_per_request:ratio_rate5m"
_FRACTION = "replica:llm_kv_cache_memory_fraction"
_ANY_LIMIT = 65536  # as if the batch were not limited: what fits does not depend on a limit that is unknown
_SAME_FRACTION = 0.001
_TTFT_WORSE = 1.15  # P02: roll back when p95 TTFT rises by 15 %


def cap_concurrency(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P02 no. 1: a limit in the gateway, which takes no restart. Mean lengths stand in for the longest requests."""
    instance = affected(evidence, finding)[0]
    prompt = evidence.value("replica:llm_request_prompt_tokens:mean_5m", instance)
    output = evidence.value("replica:llm_request_generation_tokens:mean_5m", instance)
    whole = prompt + output if prompt is not None and output is not None else None
    sized = concurrency_cap(evidence.value(_CAPACITY, instance), whole)
    if isinstance(sized, NotApplicable):
        return sized
    return Advice(
        f"Without a restart: let the gateway send at most {sized.value:.0f} requests at a time to each replica "
        f"({sized.formula}, with mean lengths); requests then wait there instead of being preempted."
    )


def raise_memory(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P02 no. 4: more device memory for KV, where the device has some to give."""
    scope = change_scope("kv_cache_memory_fraction", evidence, finding, context)
    if isinstance(scope, NotApplicable):
        return scope
    if isinstance(scope, OldValueUnknown):
        return NotApplicable(scope.text)
    old = float(scope.old)
    if wrong := contradicted(scope, evidence, _FRACTION, lambda told: abs(told - old) < _SAME_FRACTION):
        return NotApplicable(wrong)
    nodes = [replica.node for replica in context.replicas if replica.instance in scope.instances]
    if len(nodes) != len(set(nodes)):
        return NotApplicable("replicas share a node: whether they share a GPU, and so its free memory, is not known")
    sized = _fraction(old, evidence, scope.instances)
    if isinstance(sized, NotApplicable):
        return sized
    return scope.change(sized, reason=f"{_pressure(evidence, scope.instances[0])}: more memory for KV holds more.")


def _fraction(old: float, evidence: Evidence, instances: tuple[str, ...]) -> Sized | NotApplicable:
    """Sized for the node with the least free memory; unknown on one node is unknown."""
    free = known_everywhere(evidence, instances, "gpu:gpu_memory_free_bytes")
    used = known_everywhere(evidence, instances, "gpu:gpu_memory_used:ratio")
    tightest = min(free.keys() & used.keys(), key=lambda instance: free[instance], default="")
    return raise_memory_fraction(old, free_bytes=free.get(tightest), used_ratio=used.get(tightest))


def lower_batch_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P02 no. 5: admit only what KV can hold, so that nothing is computed twice. Only against thrash."""
    canary = affected(evidence, finding)[0]
    if calm := _no_thrash(evidence, canary):
        return NotApplicable(calm)
    scope = change_scope("max_running_requests", evidence, finding, context)
    if isinstance(scope, NotApplicable):
        return scope
    if isinstance(scope, OldValueUnknown):
        fits = _batch_limit(_ANY_LIMIT, evidence, canary)
        target = "" if isinstance(fits, NotApplicable) else f" to {fits.value:.0f} ({fits.formula})"
        return Advice(f"Lower the engine's batch limit{target}. {scope.text}")
    old = int(scope.old)
    if wrong := contradicted(scope, evidence, "replica:llm_requests_running:max2m", lambda running: running <= old):
        return NotApplicable(wrong)
    sized = _batch_limit(old, evidence, scope.instances[0])
    if isinstance(sized, NotApplicable):
        return sized
    reason = f"{_pressure(evidence, scope.instances[0])}: admitting only what fits ends computing requests twice."
    return scope.change(sized, reason=reason)


def _no_thrash(evidence: Evidence, instance: str) -> str:
    preempting = evidence.value(_PREEMPTIONS, instance)
    limit = evidence.thresholds.get("preemptions_per_request_high_ratio")
    if preempting is None or limit is None:
        return "preemptions per request, or what is too many of them, are unknown"
    if preempting >= limit:
        return ""
    return f"{figure(preempting)} preemptions per request are no thrash: admitting less would only add queue"


def _batch_limit(old: int, evidence: Evidence, instance: str) -> Sized | NotApplicable:
    return lower_max_running(
        old,
        kv_capacity_tokens=evidence.value(_CAPACITY, instance),
        tokens_held_per_request=evidence.value(_TAU, instance),
        running=evidence.value("replica:llm_requests_running:avg2m", instance),
    )


def _pressure(evidence: Evidence, instance: str) -> str:
    usage = figure(evidence.value("replica:llm_kv_cache_usage:avg2m", instance), "ratio")
    preemptions = figure(evidence.value(_PREEMPTIONS, instance))
    return f"{instance} uses {usage} of its KV cache on average and preempts {preemptions} times per finished request"


def memory_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """More KV tokens: fewer preemptions where there are any, and a shorter wait for KV."""
    if evidence.value(_PREEMPTIONS, canary):
        goal = _fewer_preemptions()
    else:
        goal = Expectation(
            metric=VerificationMetric.TTFT_P95_SECONDS,
            direction=Direction.LOWER,
            low=1 - context.verification.min_improvement,
            high=0.5,
            source="requests wait for KV memory and more of it admits more of them; half at best [guess]",
        )
    guards = (
        error_guard(context),
        ratio_guard(VerificationMetric.ITL_P95_SECONDS, context.verification.itl_p95_max_ratio),
        *_unless_goal(goal, VerificationMetric.TTFT_P95_SECONDS, context.verification.ttft_p95_max_ratio),
    )
    return Effects(expected=(goal,), must_improve=goal, guards=guards)


def batch_limit_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """Preemptions end; tokens per second stay about the same; TTFT may rise a little, because requests wait instead."""
    goal = _fewer_preemptions()
    throughput = Expectation(
        metric=VerificationMetric.GENERATION_TOKENS_RATE,
        direction=Direction.HIGHER,
        low=0.95,
        high=1.05,
        source="P02 no. 5: within 5 %",
    )
    guards = (
        error_guard(context),
        ratio_guard(VerificationMetric.TTFT_P95_SECONDS, _TTFT_WORSE),
        ratio_guard(VerificationMetric.ITL_P95_SECONDS, context.verification.itl_p95_max_ratio),
    )
    return Effects(expected=(goal, throughput), must_improve=goal, guards=guards)


def _fewer_preemptions() -> Expectation:
    return Expectation(
        metric=VerificationMetric.PREEMPTIONS_PER_REQUEST,
        direction=Direction.LOWER,
        low=0.5,
        high=0.0,
        source="P02: none at best; half is the least that is worth a restart [guess]",
    )


def _unless_goal(goal: Expectation, metric: VerificationMetric, max_ratio: float) -> tuple[Guard, ...]:
    return () if goal.metric == metric else (ratio_guard(metric, max_ratio),)


_ROLLBACK = (
    "When errors rise by half a percentage point, ITL or TTFT p95 pass their guards or preemptions do not fall, the "
    "old value is written back and the replicas that have it are restarted."
)

PLAYBOOKS = (
    Playbook(id="P02.1", title="Cap concurrency in the gateway", size=cap_concurrency),
    Playbook(id="P02.3", title="Add replicas", size=scale_out_for_kv),
    Playbook(
        id="P02.4",
        title="Give the engine more device memory",
        size=raise_memory,
        effects=memory_effects,
        rollback=_ROLLBACK,
    ),
    Playbook(
        id="P02.5",
        title="Lower the batch limit",
        size=lower_batch_limit,
        effects=batch_limit_effects,
        rollback=_ROLLBACK,
    ),
    advising(
        "P02.7",
        "Store KV in FP8",
        "FP8 KV (vLLM: --kv-cache-dtype fp8) doubles the KV tokens, and gave 20-56 % more tokens per second where KV "
        "was the limit. It can cost accuracy, most at long context: evaluate before and after; compute capability "
        "8.9 or newer preferred.",
    ),
)
