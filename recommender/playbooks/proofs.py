"""That a change fits in memory: bytes where the facts of model and GPU allow, else KV tokens against the KV capacity.

`fits` None is a proof that could not be made; it names the facts that would make it.
"""

from dataclasses import replace
from typing import Any

from recommender.figures import figure
from recommender.model import Evidence, Feasibility
from recommender.playbooks.base import PlanContext
from recommender.playbooks.scope import known_everywhere, ranks_of
from recommender.sizing.footprint import kv_bytes_per_token
from recommender.sizing.memory import MemorySetup, memory_proof

CAPACITY = "replica:llm_kv_cache_capacity_tokens"
TOKENS_PER_REQUEST = "replica:llm_tokens_per_running_request:avg5m"
FREE = "gpu:gpu_memory_free_bytes"
USED = "gpu:gpu_memory_used:ratio"
SLOT_ENGINES = frozenset({"llamacpp", "ollama"})  # all slots have their whole context from the start


NO_MORE = Feasibility(fits=True, text="it takes no more memory than runs today")


def kv_bytes_of_token(context: PlanContext) -> float | None:
    """Bytes of KV of one token on one GPU, from the facts of the model; None when one of them is unknown."""
    facts = context.facts
    if facts.model is None or facts.kv_dtype is None or facts.tensor_parallel is None:
        return None
    return kv_bytes_per_token(facts.model, facts.kv_dtype, tensor_parallel=facts.tensor_parallel)


def capacity_of_rank(evidence: Evidence, instance: str, context: PlanContext) -> float | None:
    """KV tokens of one data-parallel rank: engines tell those of all ranks together, and memory is of each."""
    told = evidence.value(CAPACITY, instance)
    return None if told is None else told / ranks_of(instance, context)


def tightest(evidence: Evidence, instances: tuple[str, ...]) -> str:
    """The replica whose KV holds the fewest of its requests; empty when that is unknown of one of them."""
    capacity = known_everywhere(evidence, instances, CAPACITY)
    held = known_everywhere(evidence, instances, TOKENS_PER_REQUEST)
    return min(capacity.keys() & held.keys(), key=lambda i: (capacity[i] / max(held[i], 1e-9), i), default="")


def batch_proof(evidence: Evidence, instance: str, requests: tuple[float, int], context: PlanContext) -> Feasibility:
    """KV that so many requests hold before and after, at what one holds now, against what there is."""
    capacity, held = evidence.value(CAPACITY, instance), evidence.value(TOKENS_PER_REQUEST, instance)
    if capacity is None or held is None:
        return Feasibility(
            fits=None,
            unit="tokens",
            text="what a request holds, or how much there is, is unknown",
            missing=("kv_cache_capacity_tokens",),
        )
    old, new = (each * held for each in requests)
    text = (
        f"{requests[1]} requests of {figure(held)} KV tokens hold {figure(new)} of {figure(capacity)} "
        f"({figure(new / capacity, 'ratio')}; before, {figure(old / capacity, 'ratio')})"
    )
    if (each := kv_bytes_of_token(context)) is not None:
        return Feasibility(
            fits=new <= capacity, before=old * each, after=new * each, limit=capacity * each, text=f"{text} on a GPU"
        )
    return Feasibility(fits=new <= capacity, unit="tokens", before=old, after=new, limit=capacity, text=text)


def device_bytes(evidence: Evidence, instance: str, context: PlanContext) -> float | None:
    """Memory of a replica's GPU: as it tells, else as its data sheet says."""
    free, used = evidence.value(FREE, instance), evidence.value(USED, instance)
    if free is not None and used is not None and 0 <= used < 1:
        return free / (1 - used)
    return None if context.facts.gpu is None else context.facts.gpu.memory_bytes


def setup_of(evidence: Evidence, instance: str, context: PlanContext) -> MemorySetup:
    """A replica's configuration as far as memory goes."""
    settings, facts = context.neutral(instance), context.facts
    told = evidence.value("replica:llm_kv_cache_memory_fraction", instance)

    def number(name: str) -> float | None:
        value = settings.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    slots = number("max_running_requests") if context.engine in SLOT_ENGINES else None
    return MemorySetup(
        engine=context.engine or "",
        device_bytes=device_bytes(evidence, instance, context),
        model=facts.model,
        weight_dtype=facts.weight_dtype,
        kv_dtype=facts.kv_dtype,
        tensor_parallel=facts.tensor_parallel,
        pipeline_parallel=int(number("pipeline_parallel_size") or 1),
        memory_fraction=number("kv_cache_memory_fraction") or told,
        kv_cache_bytes=number("kv_cache_memory_bytes"),
        kv_cache_tokens=number("kv_cache_capacity_tokens"),
        slots=None if slots is None else int(slots),
        context_tokens=_context(number("context_tokens"), number("max_model_length_tokens"), slots, context),
        longest_request_tokens=context.tuning.longest_request_tokens or number("max_model_length_tokens"),
    )


def _context(whole: float | None, each: float | None, slots: float | None, context: PlanContext) -> float | None:
    """The context of all slots together: llama.cpp is told that, Ollama what each slot has."""
    if context.engine == "ollama":
        return each * slots if each is not None and slots is not None else whole
    return whole


def setup_proof(evidence: Evidence, instance: str, context: PlanContext, **changes: Any) -> Feasibility:  # noqa: ANN401 - fields of MemorySetup
    """Bytes of one GPU before and after these changes of its `MemorySetup`."""
    before = setup_of(evidence, instance, context)
    return memory_proof(
        before, replace(before, **changes), kv_capacity_tokens=capacity_of_rank(evidence, instance, context)
    )


def share_proof(free: float, total: float, step: float, reserve: float) -> Feasibility:
    """A larger share of the device: what the step takes more comes out of what is free."""
    used = total - free
    after, limit = used + step * total, total - reserve
    text = (
        f"{figure(used, 'bytes')} to {figure(after, 'bytes')} of {figure(total, 'bytes')} on the fullest GPU, "
        f"{figure(total - after, 'bytes')} stay free"
    )
    return Feasibility(fits=after <= limit * (1 + 1e-9), before=used, after=after, limit=limit, text=text)


def step_proof(evidence: Evidence, instance: str, tokens: tuple[int, int], context: PlanContext) -> Feasibility:
    """A larger token budget: its activations come out of the KV cache where the engine's share holds both (vLLM, TGI).

    Elsewhere they come out of what is free on the device. Bytes of a token are a bound (`activation_bytes_per_token`).
    """
    more = (tokens[1] - tokens[0]) * context.tuning.activation_bytes_per_token
    if context.engine in {"vllm", "tgi"}:
        return _out_of_kv(evidence, instance, more, context)
    free, used = evidence.value(FREE, instance), evidence.value(USED, instance)
    if not free or used is None or not 0 <= used < 1:
        return Feasibility(
            fits=None,
            text=f"up to {figure(more, 'bytes')} more of activations, and how much of the device is free is unknown",
            missing=("gpu_memory_free_bytes",),
        )
    total = free / (1 - used)
    return share_proof(free, total, more / total, context.tuning.memory_reserve_bytes)


def _out_of_kv(evidence: Evidence, instance: str, more: float, context: PlanContext) -> Feasibility:
    capacity = capacity_of_rank(evidence, instance, context)
    peak, each = evidence.value("replica:llm_kv_cache_usage:max2m", instance), kv_bytes_of_token(context)
    if capacity is None or peak is None or not each:
        missing = ("model", "kv_dtype", "tensor_parallel") if not each else ("kv_cache_capacity_tokens",)
        text = f"up to {figure(more, 'bytes')} of activations come out of the KV cache, whose bytes are unknown"
        return Feasibility(fits=None, text=text, missing=missing)
    held, left = peak * capacity * each, capacity * each - more
    allowed = context.tuning.kv_fill_when_lowering * left
    text = (
        f"up to {figure(more, 'bytes')} of activations come out of the KV cache: {figure(left, 'bytes')} are left for "
        f"the {figure(held, 'bytes')} that are held at most"
    )
    return Feasibility(fits=held <= allowed, before=held, after=held, limit=max(allowed, 0.0), text=text)
