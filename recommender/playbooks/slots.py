"""P04 no. 5: slots of engines that give each its whole context from the start (llama.cpp, Ollama)."""

import math

from recommender.figures import figure
from recommender.model import Ask, Change, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import setup_of, setup_proof
from recommender.playbooks.scope import canary_of, not_what_runs
from recommender.playbooks.seen import ask
from recommender.sizing import NotApplicable


def raise_slots(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """More slots with the context of each kept: memory is slots·context·kv_B.

    Ollama gives each slot the whole context, so the number of slots is one knob. llama.cpp divides its context: there
    it is raised first, and the slots when it is large enough for all of them.
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
    canary = canary_of(evidence, finding)
    old, shared = context.configured("max_running_requests", canary), context.configured("context_tokens", canary)
    longest = context.tuning.longest_request_tokens
    slots = _slots(old, evidence, (canary,), context)
    if isinstance(slots, NotApplicable):
        return slots
    before, new = slots
    if longest is None or shared is None:
        kept = "so that each keeps its context" if shared is None else f"{figure(float(shared) * new / before)}, "
        text = (
            f"{_reason(evidence, finding)} Set -np to {new} and -c to {new}/{before} of what it is ({kept}both "
            "together): -c is divided by the slots, so more of them alone would refuse long requests."
        )
        asks: tuple[Ask, ...] = context.asks("context_tokens") if shared is None else ()
        if longest is None:
            asks += (ask(context, "tuning.longest_request_tokens", "to change slots and context one after the other"),)
        return Advice(text, asks)
    quantum = context.tuning.context_step_tokens
    needed = math.ceil(context.tuning.context_headroom_ratio * longest / quantum) * quantum
    if int(shared) >= new * needed:
        return move(
            "max_running_requests",
            evidence,
            finding,
            context,
            size=lambda _, instances: _more_slots(evidence, instances, (before, new), needed, context),
            reason=_reason(evidence, finding),
        )
    return _more_context(evidence, finding, (before, new, needed), context)


def _more_slots(
    evidence: Evidence, instances: tuple[str, ...], slots: tuple[int, int], needed: int, context: PlanContext
) -> Move | NotApplicable:
    """The slots, where each replica that is changed shares enough context for as many of its longest requests."""
    short = [i for i in instances if not _enough(context.configured("context_tokens", i), slots[1] * needed)]
    if short:
        return NotApplicable(f"{short[0]} is not known to share {slots[1] * needed} tokens of context among its slots")
    proof = setup_proof(evidence, instances[0], context, slots=slots[1])
    return Move(slots[1], _formula(*slots, context), {"old": float(slots[0])}, proof)


def _enough(shared: KnobValue | None, needed: int) -> bool:
    return isinstance(shared, int) and shared >= needed


def _more_context(
    evidence: Evidence, finding: Finding, wanted: tuple[int, int, int], context: PlanContext
) -> Change | Advice | NotApplicable:
    """The context that the slots of the next change need; twice what it is at most."""
    _, slots, needed = wanted

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        if old is None:
            return NotApplicable("how much context the slots share is unknown")
        new = min(slots * needed, int(context.tuning.step_max_ratio * int(old)))
        proof = setup_proof(evidence, instances[0], context, context_tokens=new)
        formula = f"min({slots} slots·{needed} tokens, {context.tuning.step_max_ratio:g}·old) = {new}"
        return Move(new, formula, {"old": float(old), "slots": float(slots), "tokens": float(needed)}, proof)

    reason = f"{_reason(evidence, finding)} Context is divided by the slots, so it goes first; the slots follow."
    return move("context_tokens", evidence, finding, context, size=size, reason=reason)


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
