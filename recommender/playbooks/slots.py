"""P04 no. 5: slots of engines that give each its whole context from the start (llama.cpp, Ollama)."""

import math

from recommender.figures import figure
from recommender.model import Change, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import setup_of, setup_proof
from recommender.playbooks.scope import canary_of, not_what_runs
from recommender.sizing import NotApplicable


def raise_slots(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """More slots with the context of each kept: memory is slots·context·kv_B.

    Ollama gives each slot the whole context, so the number of slots is all. llama.cpp divides its context by them: what
    they share is set with them.
    """
    if context.engine == "llamacpp":
        return _of_shared_context(evidence, finding, context)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        slots = _slots(old, evidence, instances, context)
        if isinstance(slots, NotApplicable):
            return slots
        before, new = slots
        each = setup_of(evidence, instances[0], context)
        whole = None if each.context_tokens is None else each.context_tokens * new / before
        proof = setup_proof(evidence, instances[0], context, slots=new, context_tokens=whole)
        return Move(new, _formula(before, new, context), {"old": float(before)}, proof)

    return move("max_running_requests", evidence, finding, context, size=size, reason=_reason(evidence, finding))


def _of_shared_context(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """llama.cpp: slots and the context that they share are set together, so that each keeps what it has."""
    canary = canary_of(evidence, finding)
    old, shared = context.configured("max_running_requests", canary), context.configured("context_tokens", canary)
    slots = _slots(old, evidence, (canary,), context)
    if isinstance(slots, NotApplicable):
        return slots
    before, new = slots
    if shared is not None and _is_one_pool(evidence, canary, before, float(shared)):
        return Advice(
            f"{_reason(evidence, finding)} Set -np to {new}, and --kv-unified with it: its slots share one context of "
            f"{shared} tokens, of which a request may take all, as they do while -np is not set. -np alone ends that, "
            f"and leaves each slot {math.floor(float(shared) / new)}."
        )
    if shared is None:
        text = (
            f"{_reason(evidence, finding)} Set -np to {new} and -c to {new}/{before} of what it is, both together: -c "
            "is divided by the slots, so more of them alone would refuse long requests. Where -np is not set yet they "
            "share it instead: then leave -c and give --kv-unified."
        )
        return Advice(text, context.asks("context_tokens"))
    each = -(-int(shared) // before)
    changed = move(
        "max_running_requests",
        evidence,
        finding,
        context,
        size=lambda scoped, instances: _together(scoped, evidence, instances, (before, new, each), context),
        reason=f"{_reason(evidence, finding)} Each keeps its context of {each} tokens, so what they share grows too.",
    )
    knob = context.knob("context_tokens")
    if not isinstance(changed, Change) or knob is None:
        return changed
    beside = {"sets": {**changed.sets, knob.key: new * each}, "sets_old": {knob.key: shared}}
    return changed.model_copy(update=beside)


def _is_one_pool(evidence: Evidence, canary: str, slots: int, shared: float) -> bool:
    """Whether the slots are known to have unified KV: each tells the whole context for its own, not its part of it."""
    told = evidence.value("replica:llm_max_model_length_tokens", canary)
    return slots > 1 and told is not None and told > (shared / slots + shared) / 2


def _together(
    old: KnobValue | None,
    evidence: Evidence,
    instances: tuple[str, ...],
    slots: tuple[int, int, int],
    context: PlanContext,
) -> Move | NotApplicable:
    before, new, each = slots
    if old is not None and int(old) != before:
        return NotApplicable(f"the engine tells {old} slots, and {before} are seen: how many share its context is open")
    shared = {instance: context.configured("context_tokens", instance) for instance in instances}
    differing = [instance for instance, tokens in shared.items() if tokens != shared[instances[0]]]
    if differing:
        return NotApplicable(f"{differing[0]} does not share as much context as the others: one value does not fit all")
    proof = setup_proof(evidence, instances[0], context, slots=new, context_tokens=new * each)
    formula = f"{_formula(before, new, context)}, context {new}·{each} = {new * each}"
    return Move(new, formula, {"old": float(before), "context_of_a_slot": float(each)}, proof)


def _slots(
    old: KnobValue | None, evidence: Evidence, instances: tuple[str, ...], context: PlanContext
) -> tuple[int, int] | NotApplicable:
    """Slots now and after one step: twice as many, as far as a fitted ITL model allows."""
    canary = instances[0]
    if old is not None and (wrong := not_what_runs("max_running_requests", old, evidence, canary)):
        return NotApplicable(wrong)
    now = float(old) if old is not None else evidence.value("replica:llm_max_running_requests", canary)
    if now is None or now < 1:
        return NotApplicable("how many slots the engine has is unknown")
    new = context.tuning.step_max_ratio * now
    objective = evidence.objectives.get("itl_p95_seconds")
    if context.itl is not None and objective is not None:
        new = min(new, context.itl.batch_for(objective / context.tuning.itl_headroom_ratio))
    if math.floor(new) <= now:
        return NotApplicable(f"by the fitted model no more than {now:g} slots keep the ITL objective")
    return int(now), math.floor(new)


def _formula(old: int, new: int, context: PlanContext) -> str:
    bound = "" if context.itl is not None else "; the ITL bound is unknown (no fitted model)"
    return f"min({context.tuning.step_max_ratio:g}·{old}, ITL within its objective) = {new}{bound}"


def _reason(evidence: Evidence, finding: Finding) -> str:
    canary = canary_of(evidence, finding)
    running = figure(evidence.value("replica:llm_requests_running:avg2m", canary))
    waiting = figure(evidence.value("replica:llm_requests_waiting:avg2m", canary))
    return f"All slots of {canary} are taken ({running} run) while {waiting} requests wait."
