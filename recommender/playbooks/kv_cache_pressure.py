"""P02: the KV cache limits the batch, or requests are thrown out of it and computed again."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Finding, Guard, KnobValue, Placement
from recommender.placement import BY_INVENTORY
from recommender.playbooks import precision
from recommender.playbooks.admission_policy import RAISE_CONSERVATIVENESS
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.context_limit import LOWER_CONTEXT
from recommender.playbooks.effects import (
    Effects,
    error_guard,
    fewer_preemptions,
    itl_guard,
    published,
    ratio_guard,
    ttft_guard,
)
from recommender.playbooks.moves import Move, move, of_sized
from recommender.playbooks.offload import OFFLOAD_KV
from recommender.playbooks.parallelism import MORE_GPUS_FOR_KV
from recommender.playbooks.precision_effects import Purpose
from recommender.playbooks.proofs import CAPACITY, FREE, NO_MORE, TOKENS_PER_REQUEST, USED, batch_proof, share_proof
from recommender.playbooks.scaling import SCALE_OUT_FOR_KV
from recommender.playbooks.scope import canary_of, known_everywhere, not_what_runs
from recommender.sizing import NotApplicable, Sized, concurrency_cap, lower_max_running, raise_memory_fraction

_PREEMPTIONS = "replica:llm_preemptions_per_request:ratio_rate5m"
_ANY_LIMIT = 65536  # as if the batch were not limited: what fits does not depend on a limit that is unknown


def cap_concurrency(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P02 no. 1: a limit in the gateway, which takes no restart. Mean lengths stand in for the longest requests."""
    instance = canary_of(evidence, finding)
    prompt = evidence.value("replica:llm_request_prompt_tokens:mean_5m", instance)
    output = evidence.value("replica:llm_request_generation_tokens:mean_5m", instance)
    mean = prompt + output if prompt is not None and output is not None else None
    longest = context.tuning.longest_request_tokens
    sized = concurrency_cap(
        evidence.value(CAPACITY, instance),
        mean if longest is None else float(longest),
        fill=context.tuning.kv_fill_of_gateway,
    )
    if isinstance(sized, NotApplicable):
        return sized
    lengths = "mean lengths" if longest is None else "the longest requests"
    return Advice(
        f"Without a restart: let the gateway send at most {sized.value:.0f} requests at a time to each replica "
        f"({sized.formula}, with {lengths}); requests then wait there instead of being preempted."
    )


def route_by_kv(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P02 no. 2: weights in proportion to 0.8 - KV usage, where some replicas have room that others lack."""
    signal = "replica:llm_kv_cache_usage:avg2m"
    usage = {i: seen for i in sorted(evidence.replica_readings) if (seen := evidence.value(signal, i)) is not None}
    room = {i: max(0.0, _ROUTED_TO - seen) for i, seen in usage.items()}
    if len(usage) <= 1:
        return NotApplicable("there are not known to be two replicas between which requests could be routed")
    if not any(room.values()):
        return NotApplicable(f"each replica uses {_ROUTED_TO:.0%} of its KV cache or more: none has room for others'")
    if max(usage.values()) - min(usage.values()) < _UNEVEN_KV - 1e-9:
        return NotApplicable("the KV caches of all replicas are about equally full")
    whole = sum(room.values())
    weights = ", ".join(f"{i} {100 * left / whole:.0f}" for i, left in room.items())
    return Advice(
        f"KV usage goes from {figure(min(usage.values()), 'ratio')} to {figure(max(usage.values()), 'ratio')} over the "
        f"replicas: route by it. Weights in proportion to {_ROUTED_TO:g} - usage: {weights}. What requests hold moves "
        "with them, so let the load balancer follow the metric rather than write the weights down."
    )


_ROUTED_TO = 0.8  # P02 no. 2: of the KV cache; llm-d's end-point picker sends nothing to a replica above it
_UNEVEN_KV = 0.2  # [G]: difference of KV usage that is worth routing by


def raise_memory(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P02 no. 4: more device memory for KV, where the device has some to give."""

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        if old is None:
            return NotApplicable("the engine's share of device memory is unknown: what more it may have cannot be said")
        return more_memory(float(old), evidence, instances, context)

    reason = f"{_pressure(evidence, canary_of(evidence, finding))}: more memory for KV holds more."
    return move("kv_cache_memory_fraction", evidence, finding, context, size=size, reason=reason)


def more_memory(
    old: float, evidence: Evidence, instances: tuple[str, ...], context: PlanContext
) -> Move | NotApplicable:
    """P02 no. 4 in figures: a larger share of devices that are the replicas' own, out of what is free."""
    if wrong := not_what_runs("kv_cache_memory_fraction", old, evidence, instances[0]):
        return NotApplicable(wrong)
    if shared := _shared_gpu(evidence, instances, context):
        return NotApplicable(shared)
    return _fraction(old, evidence, instances, context)


def _shared_gpu(evidence: Evidence, instances: tuple[str, ...], context: PlanContext) -> str:
    """Why free memory may not be a replica's alone; empty when the inventory or their nodes tell them apart."""
    declared = {replica.instance: replica.node for replica in context.replicas}
    places: list[str] = []
    for instance in instances:
        placed = evidence.placements.get(instance) or Placement()
        if placed.gpus_from == BY_INVENTORY:
            places += placed.gpus
            continue
        if placed.others:
            return (
                f"{', '.join(placed.others)} of other services run on the node of {instance}, and which GPUs are its "
                f"own is not known: name them (gpus of {instance} in the inventory)"
            )
        node = declared.get(instance) or placed.node
        if node is None:
            return f"where {instance} runs is unknown: whether it has its GPU alone cannot be said"
        places.append(node)
    if len(places) == len(set(places)):
        return ""
    return "replicas share a node or a GPU: whose its free memory is, is not known"


def _fraction(old: float, evidence: Evidence, instances: tuple[str, ...], context: PlanContext) -> Move | NotApplicable:
    """Sized for the replica with the least free memory; unknown on one is unknown."""
    free = known_everywhere(evidence, instances, FREE)
    used = known_everywhere(evidence, instances, USED)
    least = min(free.keys() & used.keys(), key=lambda instance: (free[instance], instance), default="")
    tuning = context.tuning
    sized = raise_memory_fraction(
        old,
        free_bytes=free.get(least),
        used_ratio=used.get(least),
        reserve_bytes=tuning.memory_reserve_bytes,
        most=tuning.memory_fraction_max,
        step=tuning.memory_fraction_step,
    )
    if isinstance(sized, NotApplicable):
        return sized
    total = free[least] / (1 - used[least])
    return of_sized(sized, share_proof(free[least], total, sized.value - old, tuning.memory_reserve_bytes))


def lower_batch_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P02 no. 5: admit only what KV can hold, so that nothing is computed twice. Only against thrash."""
    if calm := _no_thrash(evidence, canary_of(evidence, finding)):
        return NotApplicable(calm)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        canary = instances[0]
        if old is not None and (wrong := not_what_runs("max_running_requests", old, evidence, canary)):
            return NotApplicable(wrong)
        sized = _batch_limit(_ANY_LIMIT if old is None else int(old), evidence, canary, context)
        if isinstance(sized, NotApplicable):
            return sized
        now = evidence.value("replica:llm_requests_running:avg2m", canary) or 0.0
        proof = batch_proof(evidence, canary, (now, int(sized.value)), context)
        # It only gives memory back, also where the step's limit keeps it above what fits.
        return Move(sized.value, sized.formula, sized.inputs, proof if proof.fits else NO_MORE)

    reason = (
        f"{_pressure(evidence, canary_of(evidence, finding))}: admitting only what fits ends computing requests twice."
    )
    return move("max_running_requests", evidence, finding, context, size=size, reason=reason)


def _no_thrash(evidence: Evidence, instance: str) -> str:
    preempting = evidence.value(_PREEMPTIONS, instance)
    limit = evidence.thresholds.get("preemptions_per_request_high_ratio")
    if preempting is None or limit is None:
        return "preemptions per request, or what is too many of them, are unknown"
    if preempting >= limit:
        return ""
    return f"{figure(preempting)} preemptions per request are no thrash: admitting less would only add queue"


def _batch_limit(old: int, evidence: Evidence, instance: str, context: PlanContext) -> Sized | NotApplicable:
    return lower_max_running(
        old,
        kv_capacity_tokens=evidence.value(CAPACITY, instance),
        tokens_held_per_request=evidence.value(TOKENS_PER_REQUEST, instance),
        running=evidence.value("replica:llm_requests_running:avg2m", instance),
        fill=context.tuning.kv_fill_when_lowering,
        rule=context.tuning.step_rule,
    )


def _pressure(evidence: Evidence, instance: str) -> str:
    usage = figure(evidence.value("replica:llm_kv_cache_usage:avg2m", instance), "ratio")
    seen = evidence.value(_PREEMPTIONS, instance)
    waiting = evidence.value("replica:llm_requests_waiting:avg2m", instance)
    preempts = "" if seen is None else f" and preempts {figure(seen)} times per finished request"
    waits = f" while {figure(waiting)} requests wait" if waiting and not seen else ""
    return f"{instance} uses {usage} of its KV cache on average{preempts}{waits}"


def memory_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """More KV tokens: fewer preemptions where there are any, and a shorter wait for KV."""
    if evidence.value(_PREEMPTIONS, canary):
        goal = fewer_preemptions(context)
    else:
        goal = published(
            VerificationMetric.TTFT_P95_SECONDS,
            Direction.LOWER,
            (1 - context.verification.min_improvement, 0.5),
            "requests wait for KV memory and more of it admits more of them; half at best [guess]",
            context,
        )
    late = () if goal.metric == VerificationMetric.TTFT_P95_SECONDS else (ttft_guard(context),)
    guards: tuple[Guard, ...] = (error_guard(context), itl_guard(context), *late)
    return Effects(expected=(goal,), must_improve=goal, guards=guards)


def batch_limit_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """Preemptions end; tokens per second stay about the same; TTFT may rise a little, because requests wait instead."""
    goal = fewer_preemptions(context)
    throughput = published(
        VerificationMetric.GENERATION_TOKENS_RATE, Direction.HIGHER, (0.95, 1.05), "P02 no. 5: within 5 %", context
    )
    guards = (
        error_guard(context),
        ratio_guard(VerificationMetric.TTFT_P95_SECONDS, context.tuning.ttft_trade_ratio),
        itl_guard(context),
    )
    return Effects(expected=(goal, throughput), must_improve=goal, guards=guards)


_ROLLBACK = (
    "When errors rise by half a percentage point, ITL or TTFT p95 pass their guards or what is promised does not "
    "improve, the old value is written back and the replicas that have the new one are restarted."
)

RAISE_MEMORY = Playbook("P02.4", "Give the engine more device memory", raise_memory, memory_effects, _ROLLBACK)

PLAYBOOKS = (
    Playbook(id="P02.1", title="Cap concurrency in the gateway", size=cap_concurrency),
    Playbook(id="P02.2", title="Route requests to free KV caches", size=route_by_kv),
    SCALE_OUT_FOR_KV,
    RAISE_CONSERVATIVENESS,
    RAISE_MEMORY,
    Playbook("P02.5", "Lower the batch limit", lower_batch_limit, batch_limit_effects, _ROLLBACK),
    LOWER_CONTEXT,
    OFFLOAD_KV,
    precision.kv_cache("P02.7", Purpose.MEMORY),
    precision.weights("P02.8", Purpose.MEMORY),
    MORE_GPUS_FOR_KV,
)
