"""Ollama's own: models that spill out of device memory, that nobody asks, or that are loaded anew each time.

`/api/ps` tells `size` and `size_vram` of each loaded model; the layers beyond `size_vram` are computed on the CPU. What
happens per request (`keep_alive`, `num_ctx` as options) is the client's, so that is advice with the exact call.
"""

import math

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, itl_guard, ratio_guard
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import device_bytes, kv_bytes_of_token, setup_proof
from recommender.playbooks.scope import affected, canary_of
from recommender.sizing import NotApplicable

_SIZE = "replica:llm_model_memory_bytes"
_ON_DEVICE = "replica:llm_model_device_memory_bytes"
_CONTEXT = "replica:llm_max_model_length_tokens"


def spilled_bytes(evidence: Evidence, instance: str) -> float | None:
    """Bytes of the loaded model that are not in device memory; None when unknown (also with several models)."""
    size, on_device = evidence.value(_SIZE, instance), evidence.value(_ON_DEVICE, instance)
    return None if size is None or on_device is None else max(0.0, size - on_device)


def _spill(evidence: Evidence, finding: Finding) -> tuple[str, float] | NotApplicable:
    """The affected replica that spills most, and how much."""
    found = {i: spilled for i in affected(evidence, finding) if (spilled := spilled_bytes(evidence, i)) is not None}
    if not found:
        return NotApplicable("what of the model is not on the device is unknown (several models, or none, are loaded)")
    instance = max(sorted(found), key=lambda i: found[i])
    if found[instance] == 0:
        return NotApplicable("the whole model is on the device")
    return instance, found[instance]


def _reason(evidence: Evidence, instance: str, spilled: float) -> str:
    size = evidence.value(_SIZE, instance)
    share = "" if not size else f" ({figure(spilled / size, 'ratio')})"
    return f"{figure(spilled, 'bytes')} of the model{share} of {instance} are not in device memory."


def _unload(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """Live: a model that nobody asks gives its memory back at once."""
    instances = affected(evidence, finding)
    spill = _spill(evidence, finding)
    told = "" if isinstance(spill, NotApplicable) else f"{_reason(evidence, *spill)} "
    url = next((replica.url for replica in context.replicas if replica.instance in instances), "http://HOST:11434")
    return Advice(
        f"{told}Unload what nobody asks (ollama ps; ollama stop MODEL, or curl {url}/api/generate -d "
        '\'{"model": "MODEL", "keep_alive": 0}\'); it is loaded again by its next request. Where models take turns, '
        "OLLAMA_MAX_LOADED_MODELS says how many stay."
    )


def _fewer_slots(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """OLLAMA_NUM_PARALLEL - ceil(spilled/(context·kv_B)), at least half and at least 1: each has all its context."""
    spill = _spill(evidence, finding)
    if isinstance(spill, NotApplicable):
        return spill
    instance, spilled = spill
    tokens, each = evidence.value(_CONTEXT, instance), kv_bytes_of_token(context)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        if old is None or int(old) <= 1:
            return NotApplicable("there is one slot" if old is not None else "how many slots there are is unknown")
        if not tokens or not each:
            return NotApplicable("the context of a slot, or the KV bytes of a token, is unknown")
        too_many = math.ceil(spilled / (tokens * each))
        new = max(1, int(old) - too_many, math.ceil(int(old) / context.tuning.step_max_ratio))
        proof = setup_proof(evidence, instances[0], context, slots=new, context_tokens=tokens * new)
        fits = f"{old} - ceil({figure(spilled, 'bytes')}/({tokens:.0f}·{each:.0f} B)) = {int(old) - too_many}"
        inputs = {"spilled_bytes": spilled, "context_tokens": tokens, "kv_bytes_per_token": each}
        return Move(new, f"max({fits}, half, 1) = {new}", inputs, proof)

    return move(
        "max_running_requests", evidence, finding, context, size=size, reason=_reason(evidence, instance, spilled)
    )


def _less_context(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """num_ctx - spilled/(slots·kv_B), down to 1024s; at most halved, never below 1.25 of the longest request."""
    spill = _spill(evidence, finding)
    if isinstance(spill, NotApplicable):
        return spill
    instance, spilled = spill
    each, tuning = kv_bytes_of_token(context), context.tuning
    slots = context.configured("max_running_requests", instance)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = evidence.value(_CONTEXT, instances[0]) if old is None else float(old)
        if now is None or not each or slots is None:
            return NotApplicable("the context, the number of slots or the KV bytes of a token is unknown")
        if tuning.longest_request_tokens is None:
            return NotApplicable(
                f"how long requests are is unknown (services.{context.service}.tuning.longest_request_tokens): Ollama "
                "cuts longer prompts without a word"
            )
        least = math.ceil(tuning.context_headroom_ratio * tuning.longest_request_tokens / tuning.context_step_tokens)
        floor = max(least * tuning.context_step_tokens, math.ceil(now / tuning.step_max_ratio))
        wanted = math.floor((now - spilled / (int(slots) * each)) / tuning.context_step_tokens)
        new = max(wanted * tuning.context_step_tokens, floor)
        if new >= now:
            return NotApplicable(f"requests need a context of {floor} tokens, not less than {now:.0f}")
        proof = setup_proof(evidence, instances[0], context, context_tokens=new * int(slots))
        formula = f"max({now:.0f} - {figure(spilled, 'bytes')}/({slots}·{each:.0f} B), {floor}) in 1024s = {new}"
        inputs = {"spilled_bytes": spilled, "slots": float(slots), "kv_bytes_per_token": each}
        return Move(new, formula, inputs, proof)

    return move(
        "max_model_length_tokens", evidence, finding, context, size=size, reason=_reason(evidence, instance, spilled)
    )


def _keep_loaded(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """A model that is loaded anew makes the first request after a pause wait for it."""
    instance = canary_of(evidence, finding)
    size, device = evidence.value(_SIZE, instance), device_bytes(evidence, instance, context)
    fits = ""
    if size and device:
        fits = f" {math.floor(0.9 * device / size)} models of this size fit on the device (0.9·M/size)."
    return Advice(
        "If the first request after a pause is slow, its model was unloaded: set OLLAMA_KEEP_ALIVE above the longest "
        'pause (default 5m; -1 keeps it), or send "keep_alive" with requests, and OLLAMA_MAX_LOADED_MODELS to the '
        f"models that are asked in turns.{fits} What is kept loaded holds its memory."
    )


def _effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """The model comes back to the device, which the engine tells; each token is faster, nobody measured by how much."""
    size, on_device = evidence.value(_SIZE, canary), evidence.value(_ON_DEVICE, canary)
    least = 1 + context.verification.min_improvement
    whole = Expectation(
        metric=VerificationMetric.MODEL_ON_DEVICE_RATIO,
        direction=Direction.HIGHER,
        low=least,
        high=round(max(least, size / on_device), 3) if size and on_device else least,
        source="at best all of the model is on the device; at worst the least that counts as proof",
    )
    itl = Expectation(
        metric=VerificationMetric.ITL_P95_SECONDS,
        direction=Direction.LOWER,
        low=1 - context.verification.min_improvement,
        mid=0.7,
        high=0.2,
        source="what is not on the device is computed from host memory, ten times slower and more [guess]",
    )
    fewer = ratio_guard(VerificationMetric.TTFT_P95_SECONDS, context.tuning.ttft_trade_ratio)
    return Effects(expected=(whole, itl), must_improve=whole, guards=(error_guard(context), itl_guard(context), fewer))


_ROLLBACK = (
    "When probes fail, tokens or first tokens come later or no more of the model is on the device, the old value is "
    "written back and the server is restarted; each model is loaded again by its next request."
)


_OLLAMA = frozenset({"ollama"})
UNLOAD = Playbook("P01.8", "Unload models that nobody asks", _unload, engines=_OLLAMA)
FEWER_SLOTS = Playbook("P01.9", "Keep it on the device with fewer slots", _fewer_slots, _effects, _ROLLBACK, _OLLAMA)
LESS_CONTEXT = Playbook(
    "P01.10", "Keep it on the device with less context", _less_context, _effects, _ROLLBACK, _OLLAMA
)
KEEP_LOADED = Playbook("P07.5", "Keep the model loaded between requests", _keep_loaded, engines=_OLLAMA)
