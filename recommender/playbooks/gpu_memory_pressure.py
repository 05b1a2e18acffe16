"""P01: device memory is nearly full and still grows."""

import math

from recommender.figures import figure, sentence, share_of
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Feasibility, Finding, KnobValue, Placement
from recommender.placement import BY_INVENTORY
from recommender.playbooks import ollama, precision
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.chunks import too_small
from recommender.playbooks.effects import Effects, error_guard, itl_guard, preemption_guard, ttft_guard
from recommender.playbooks.handles import engine_of, handle
from recommender.playbooks.moves import Move, move
from recommender.playbooks.precision_effects import Purpose
from recommender.playbooks.proofs import FREE, SLOT_ENGINES, USED, capacity_of_rank, device_bytes, kv_bytes_of_token
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import value
from recommender.sizing import NotApplicable

_FRACTION = "replica:llm_kv_cache_memory_fraction"
_PEAK = "replica:llm_requests_running:max6h"  # what runs now says nothing of the busy hours
_USAGE = "replica:llm_kv_cache_usage:max2m"
_BUDGETS = (4096, 2048)  # P01 no. 3, SGLang's tuning guide
_LEAST_STEP = 0.005  # of device memory: less is not worth a restart


def _other_tenant(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    """P01 no. 1: what the engine's own share does not explain may be somebody else's."""
    used, share = value(evidence, finding, USED), value(evidence, finding, _FRACTION)
    told = f"{share_of(used)} of device memory is in use"
    if used is not None and share is not None and used > share:
        told += f", {figure(used - share, 'ratio')} of it beyond the engine's own share of {share:g}"
    return Advice(
        f"{sentence(told)}. See which processes hold it (nvidia-smi --query-compute-apps=pid,process_name,used_memory "
        "--format=csv); one that is not the engine should move. Graphs and the driver take one to a few GB beside an "
        "engine."
    )


def _lower_fraction(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P01 no. 2: f' = f - (use - target), at most 0.03 lower."""
    engine, used, target = engine_of(context), value(evidence, finding, USED), context.tuning.device_memory_target
    if engine in SLOT_ENGINES:
        return NotApplicable(f"{engine} has no share of memory: its slots have their context from the start (P02.6)")
    if used is None:
        return NotApplicable("how much of the device is in use is unknown")
    if used <= target:
        return NotApplicable(f"{figure(used, 'ratio')} of the device is in use, no more than {figure(target, 'ratio')}")
    if tenant := _somebody_else(evidence, finding, context):
        return NotApplicable(tenant)
    step = min(used - target, context.tuning.memory_fraction_step)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = value(evidence, finding, _FRACTION) if old is None else float(old)
        if now is None:
            return NotApplicable("the engine's share of device memory is unknown")
        new = math.floor((now - step) * 1000 + 1e-6) / 1000
        if step < _LEAST_STEP or new <= 0:
            return NotApplicable(
                f"{figure(used, 'ratio')} in use is too near to {figure(target, 'ratio')} for a restart"
            )
        formula = f"f - min(use - target = {used - target:.3f}, {context.tuning.memory_fraction_step:g}) = {new:g}"
        inputs = {"old": now, "used_ratio": used, "target_ratio": target}
        return Move(new, formula, inputs, _smaller_pool(now - new, evidence, instances, context))

    return move(
        "kv_cache_memory_fraction",
        evidence,
        finding,
        context,
        size=size,
        reason=f"{figure(used, 'ratio')} of device memory is in use and it grows: an allocation peak would not fit.",
    )


def _somebody_else(evidence: Evidence, finding: Finding, context: PlanContext) -> str:
    """Why the memory that grows need not be the engine's: others are on its GPU, or hold more than it can."""
    for instance in affected(evidence, finding):
        placed = evidence.placements.get(instance) or Placement()
        if placed.others and placed.gpus_from != BY_INVENTORY:
            return (
                f"{', '.join(placed.others)} of other services run on the node of {instance}, and whose memory grows "
                f"is not known: name the GPUs of {instance} in the inventory (P01.1)"
            )
        used, share = evidence.value(USED, instance), evidence.value(_FRACTION, instance)
        device, most = device_bytes(evidence, instance, context), context.tuning.beside_engine_bytes
        if engine_of(context) not in _SHARE_OF_ALL or used is None or share is None or device is None:
            continue
        if (beyond := (used - share) * device) > most:
            return (
                f"{figure(beyond, 'bytes')} in use on the GPU of {instance} are beyond the engine's own share, more "
                f"than graphs and the driver take ({figure(most, 'bytes')}): something else holds them (P01.1)"
            )
    return ""


_SHARE_OF_ALL = frozenset({"vllm", "tgi"})  # their share is of the whole device, activations included


def _smaller_pool(step: float, evidence: Evidence, instances: tuple[str, ...], context: PlanContext) -> Feasibility:
    """That what requests hold at most still fits in the KV cache that is left: capacity - step·M/kv_B."""
    tightest: Feasibility | None = None
    for instance in instances:
        each, device = kv_bytes_of_token(context), device_bytes(evidence, instance, context)
        capacity = capacity_of_rank(evidence, instance, context)
        peak = evidence.value("replica:llm_kv_cache_usage:max2m", instance)
        if not each or device is None or capacity is None or peak is None:
            lacking = ("model", "kv_dtype", "tensor_parallel") if not each else ("kv_cache_capacity_tokens",)
            return Feasibility(
                fits=None, text="whether the smaller KV cache holds what runs cannot be said", missing=lacking
            )
        held, left = peak * capacity * each, capacity * each - step * device
        text = (
            f"the KV cache shrinks from {figure(capacity * each, 'bytes')} to {figure(left, 'bytes')} on a GPU "
            f"({capacity:,.0f} to {max(0.0, left) / each:,.0f} tokens), of which {figure(held, 'bytes')} are held at "
            "most"
        )
        longest = _longest(evidence, instance, context)
        refused = longest is not None and left < longest * each <= capacity * each
        if refused:
            text += f"; the engine does not start with less than its longest request, {longest:,.0f} tokens"
        proof = Feasibility(
            fits=not refused and held <= context.tuning.kv_fill_when_lowering * left,
            before=held,
            after=held,
            limit=max(0.0, context.tuning.kv_fill_when_lowering * left),
            text=text,
        )
        if refused:
            return proof
        if tightest is None or (proof.limit or 0.0) - held < (tightest.limit or 0.0) - (tightest.after or 0.0):
            tightest = proof
    return tightest or Feasibility(fits=None, text="no replica is known", missing=("kv_cache_capacity_tokens",))


def _longest(evidence: Evidence, instance: str, context: PlanContext) -> float | None:
    """Tokens that one request may have: as set, as told, else as the model can; None when unknown."""
    setting, model = context.neutral(instance).get("max_model_length_tokens"), context.facts.model
    if isinstance(setting, int):
        return float(setting)
    told = evidence.value("replica:llm_max_model_length_tokens", instance)
    return told if told is not None or model is None or model.max_length is None else float(model.max_length)


def _lower_budget(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P01 no. 3: to 4096, then 2048; a power of two that is no shorter than the usual prompt, at most halved."""
    prompt = value(evidence, finding, "replica:llm_request_prompt_tokens:mean_5m")

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = evidence.value("replica:llm_max_batched_tokens", instances[0]) if old is None else float(old)
        if now is None or prompt is None:
            return NotApplicable("the token budget of a step, or the length of prompts, is unknown")
        target = next((each for each in _BUDGETS if each < now), None)
        if target is None:
            return NotApplicable(f"a budget of {now:.0f} tokens is already no more than {_BUDGETS[-1]}")
        whole = 2 ** math.ceil(math.log2(max(prompt, 1)))
        half = math.ceil(now / context.tuning.step_max_ratio)
        limit = context.configured("max_running_requests", instances[0])
        new = max(target, whole, half, int(limit) if isinstance(limit, int) else 1)
        if new >= now:
            return NotApplicable(f"prompts of {prompt:.0f} tokens need a budget of {new}")
        if against := too_small(new, instances, context):
            return NotApplicable(against)
        formula = f"max({target}, power of two from the mean prompt = {whole}, half of {now:.0f} = {half}) = {new}"
        return Move(new, formula, {"old": now, "prompt_tokens": prompt})

    reason = "Activations of a step grow with its tokens, and device memory is nearly full."
    return move("max_batched_tokens", evidence, finding, context, size=size, reason=reason)


def _lower_running(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P01 no. 4: 0.9 of the largest batch that ran, at most halved."""
    peak = value(evidence, finding, _PEAK)
    if not peak:
        return NotApplicable("the largest batch that ran is unknown, or none did")

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = evidence.value("replica:llm_max_running_requests", instances[0]) if old is None else float(old)
        if now is None:
            return NotApplicable("the batch limit is unknown")
        share = context.tuning.batch_of_decode_peak
        wanted, least = math.floor(share * peak), math.ceil(min(now, peak) / context.tuning.step_max_ratio)
        knob = context.knob("max_running_requests")
        new = max(1, least, wanted if knob is None else knob.legal_at_or_below(wanted))
        if new >= now:
            return NotApplicable(f"{share:g} of the largest batch of {peak:.0f} is not below the limit of {now:.0f}")
        return Move(new, f"max({share:g}·{peak:.0f} = {wanted}, half of what ran = {least}, 1) = {new}", {"peak": peak})

    reason = f"Up to {peak:.0f} requests ran at once in six hours; sampling and graphs of fewer take less memory."
    return move("max_running_requests", evidence, finding, context, size=size, reason=reason)


def _fewer_graphs(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P01 no. 5: graphs for batches that run, and none above; each captured size takes 10 to 23 MB."""
    peak = value(evidence, finding, _PEAK)
    if handle("graph_max_batch", context) is None:
        return NotApplicable(f"{engine_of(context)} captures no graphs that could be fewer")
    if not peak:
        return NotApplicable("the largest batch that ran is unknown, or none did")
    keep = max(8, 8 * math.ceil(peak / 8))

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:  # noqa: ARG001 - Sizer's signature
        if old is not None and keep >= float(old):
            return NotApplicable(f"graphs up to a batch of {float(old):.0f} are not more than the {peak:.0f} that run")
        new = keep if old is None else max(keep, math.ceil(float(old) / context.tuning.step_max_ratio))
        freed = (
            ""
            if old is None
            else f", about {figure((float(old) - new) / 8 * context.tuning.graph_bytes, 'bytes')} back"
        )
        return Move(new, f"multiple of 8 from the largest batch of {peak:.0f} = {keep}{freed}", {"peak": peak})

    reason = f"Graphs are captured for batches that never run: the largest in six hours was {peak:.0f}."
    return move("graph_max_batch", evidence, finding, context, size=size, reason=reason)


def _leave_room(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P01 for engines with slots: their context and layers, not a share, decide what they take."""
    seen = value(evidence, finding, FREE, min)
    free = "Nearly no device memory is" if seen is None else f"{figure(seen, 'bytes')} of device memory are"
    if engine_of(context) == "ollama":
        how = "set OLLAMA_GPU_OVERHEAD (bytes kept free), lower num_ctx or OLLAMA_NUM_PARALLEL, or unload a model"
    else:
        how = "raise the margin that --fit-target leaves (MiB), lower -c or -ub, or keep fewer layers on the GPU (-ngl)"
    return Advice(f"{free} free: {how}.")


def _effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    """Device memory comes back below what alerts; the KV cache must not become too small for it."""
    used, target = evidence.value(USED, canary), context.tuning.device_memory_target
    best = target / used if used else 0.97
    if used and change.knob == "kv_cache_memory_fraction":
        best = max(0.0, used - (float(change.old) - float(change.new))) / used
    less = Expectation(
        metric=VerificationMetric.DEVICE_MEMORY_USED_RATIO,
        direction=Direction.LOWER,
        low=round((1 + best) / 2, 3),
        mid=round(best, 3),
        high=round(best, 3),
        source="P01: what is given back, over what is in use; half of it at worst [guess]",
    )
    guards = (error_guard(context), preemption_guard(context), itl_guard(context), ttft_guard(context))
    # A share of 0.03 is a change of 3 %: half of what is given back is proof, for nothing but the engine moves it.
    return Effects(expected=(less,), must_improve=less, guards=guards, min_improvement=round((1 - best) / 2, 4))


_ROLLBACK = (
    "When preemptions begin (the KV cache is too small), errors rise by half a percentage point, a latency passes its "
    "guard or memory does not fall, the old value is written back and the replicas that have the new one are restarted."
)

PLAYBOOKS = (
    Playbook("P01.1", "Find the other tenant", _other_tenant),
    Playbook("P01.2", "Lower the engine's share of device memory", _lower_fraction, _effects, _ROLLBACK),
    Playbook("P01.3", "Compute fewer tokens in a step", _lower_budget, _effects, _ROLLBACK),
    Playbook("P01.4", "Run fewer requests at once", _lower_running, _effects, _ROLLBACK),
    Playbook("P01.5", "Capture graphs only for batches that run", _fewer_graphs, _effects, _ROLLBACK),
    ollama.UNLOAD,
    ollama.FEWER_SLOTS,
    ollama.LESS_CONTEXT,
    Playbook("P01.7", "Leave room beside the slots", _leave_room, engines=SLOT_ENGINES),
    precision.weights("P01.6", Purpose.MEMORY),
)
