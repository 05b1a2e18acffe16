"""P04 no. 1 with P02 no. 4: slots that KV has no room for, together with the memory that gives them room.

One without the other does nothing that could be seen: more KV admits nobody while the batch is at its limit, and more
slots would fill the cache. So it is one change of two settings, as llama.cpp's slots and their context are.
"""

from recommender.figures import figure
from recommender.model import Change, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.batch_limit import (
    RAISE_BATCH_LIMIT,
    held_back,
    itl_over_objective,
    least_capacity,
    not_for_slots,
    size_slots,
    slots_of,
)
from recommender.playbooks.kv_cache_pressure import more_memory
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import SLOT_ENGINES, TOKENS_PER_REQUEST, device_bytes, kv_bytes_of_token, tightest
from recommender.playbooks.scope import ChangeScope, OldValueUnknown, affected, change_scope, not_what_runs
from recommender.sizing import NotApplicable
from recommender.sizing.memory_setup import ENGINE_MEMORY, EngineMemory, Share

_SHARE = "kv_cache_memory_fraction"


def raise_both(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """As many slots as KV holds once the engine has 0.03 more of the device, where that much is free."""
    share = _share(evidence, finding, context)
    if isinstance(share, NotApplicable):
        return share
    given: dict[str, KnobValue] = {}

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        if old is None:
            return NotApplicable("the batch limit is not known: what more it may be cannot be said")
        if wrong := not_what_runs("max_running_requests", old, evidence, instances[0]):
            return NotApplicable(wrong)
        if apart := [one for one in instances if one not in share.instances]:
            return NotApplicable(f"{apart[0]} has another share of its device: one value does not fit all")
        memory = more_memory(float(share.old), evidence, instances, context)
        if isinstance(memory, NotApplicable):
            return memory
        given[_SHARE] = memory.value
        return _both((int(old), float(share.old)), memory, evidence, (affected(evidence, finding), instances), context)

    reason = f"{held_back(evidence, finding, context)} KV has no room for more, and the device has memory for KV."
    changed = move("max_running_requests", evidence, finding, context, size=size, reason=reason)
    return _beside(changed, share, given[_SHARE]) if isinstance(changed, Change) else changed


def _share(evidence: Evidence, finding: Finding, context: PlanContext) -> ChangeScope | NotApplicable:
    """Where the engine's share of its device is set, if more slots can be wanted at all."""
    if context.engine in SLOT_ENGINES:
        return NotApplicable("each slot has its whole context from the start: memory is part of P04 no. 5")
    if against := not_for_slots(evidence, finding, context) or itl_over_objective(evidence, finding):
        return NotApplicable(against)
    share = change_scope(_SHARE, evidence, finding, context)
    if isinstance(share, OldValueUnknown):
        return NotApplicable(f"how much of its device the engine has is unknown: {share.text}")
    if isinstance(share, ChangeScope) and share.knob.config_key is None:
        return NotApplicable(f"no configuration file holds {share.knob.label}")
    return share


def _beside(change: Change, share: ChangeScope, new: KnobValue) -> Change:
    """The change of slots, with the share of memory beside it: as in its own change, in the engine's words."""
    own = share.change_to(new, formula=change.formula, inputs={}, reason=change.reason)
    sets = {**change.sets, share.knob.key: own.written_new}
    return change.model_copy(update={"sets": sets, "sets_old": {**change.sets_old, share.knob.key: own.written_old}})


def _both(
    old: tuple[int, float],
    memory: Move,
    evidence: Evidence,
    replicas: tuple[tuple[str, ...], tuple[str, ...]],
    context: PlanContext,
) -> Move | NotApplicable:
    slots, share = old
    if not isinstance(size_slots(slots, evidence, *replicas, context), NotApplicable):
        return NotApplicable("KV has room for more slots as it is")
    least, capacity = tightest(evidence, replicas[0]), least_capacity(evidence, *replicas)
    held, proof = evidence.value(TOKENS_PER_REQUEST, least), memory.feasibility
    if capacity is None or held is None or proof is None:
        return NotApplicable("KV capacity or the KV tokens that a request holds are unknown: it might not fit")
    new_share = float(memory.value)
    after = _capacity(capacity, (share, new_share), evidence, least, context)
    sized = slots_of(slots, after, evidence, replicas, context)
    if isinstance(sized, NotApplicable):
        return sized
    text = (
        f"{proof.text}; the KV cache of {figure(capacity)} tokens becomes at least {figure(after)}, of which "
        f"{sized.value:.0f} requests of {figure(held)} hold {figure(sized.value * held / after, 'ratio')}"
    )
    inputs = {**sized.inputs, "memory_fraction": new_share, "memory_fraction_old": share}
    formula = f"share of memory {memory.formula}; {sized.formula}"
    return Move(sized.value, formula, inputs, proof.model_copy(update={"text": text}))


def _capacity(now: float, share: tuple[float, float], evidence: Evidence, instance: str, context: PlanContext) -> float:
    """KV tokens with the larger share, at least: all that it adds is KV, by the bytes of a token where these are known.

    Where they are not, the share is taken to be KV alone, which is the least that more of it can add.
    """
    engine = ENGINE_MEMORY.get(context.engine or "", EngineMemory(Share.REMAINDER))
    least = now * share[1] / share[0]
    each, device = kv_bytes_of_token(context), device_bytes(evidence, instance, context)
    if engine.share is Share.REMAINDER or not each or device is None:
        return least
    return max(least, now + engine.fraction_scale * (share[1] - share[0]) * device / each)


RAISE_BOTH = Playbook(
    id="P04.6",
    title="Raise the batch limit and the KV memory for it",
    size=raise_both,
    effects=RAISE_BATCH_LIMIT.effects,
    rollback=(
        "When ITL p95 passes its guard, requests are preempted, errors rise by half a percentage point or TTFT p95 "
        "does not improve, the old batch limit and share of memory are written back and the replicas are restarted."
    ),
)
