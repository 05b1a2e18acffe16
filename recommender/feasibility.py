"""The memory proof of a change of one knob, from a service's facts and the values that its engine runs with."""

from collections.abc import Mapping
from dataclasses import replace

from recommender.facts import ServiceFacts
from recommender.model import Feasibility, KnobValue
from recommender.sizing.dtypes import kv_dtype_of, weight_dtype_of
from recommender.sizing.memory import ENGINE_MEMORY, MemorySetup, Share, kv_capacity_after, memory_proof

# Neutral knobs that change what a configuration takes. Elsewhere (the batch limit of an engine that has a pool, say)
# no byte moves: what fits is a matter of the tokens that requests hold.
_ALWAYS = frozenset(
    {
        "kv_cache_memory_fraction",
        "kv_cache_memory_bytes",
        "kv_cache_capacity_tokens",
        "kv_cache_dtype",
        "weight_quantization",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "max_model_length_tokens",
    }
)
_OF_SLOTS = frozenset({"max_running_requests", "context_tokens"})


def setup_of(engine: str, facts: ServiceFacts, settings: Mapping[str, KnobValue]) -> MemorySetup:
    """One configuration of an engine: `settings` are its knobs by neutral name and in neutral units.

    Types and tensor parallelism that no fact tells are those of the settings; a word that is no known type is unknown.
    """
    slots = _whole(settings.get("max_running_requests"))
    longest = _number(settings.get("max_model_length_tokens"))
    context = _number(settings.get("context_tokens"))
    if context is None and engine == "ollama" and longest is not None and slots is not None:
        context = longest * slots  # its num_ctx is of each slot (engine-knobs §6)
    return MemorySetup(
        engine=engine,
        device_bytes=None if facts.gpu is None else facts.gpu.memory_bytes,
        model=facts.model,
        weight_dtype=facts.weight_dtype or _weight_dtype(settings.get("weight_quantization")),
        kv_dtype=facts.kv_dtype or _kv_dtype(engine, settings.get("kv_cache_dtype"), facts),
        tensor_parallel=facts.tensor_parallel or _whole(settings.get("tensor_parallel_size")),
        pipeline_parallel=_whole(settings.get("pipeline_parallel_size")) or 1,
        memory_fraction=_number(settings.get("kv_cache_memory_fraction")),
        kv_cache_bytes=_number(settings.get("kv_cache_memory_bytes")),
        kv_cache_tokens=_number(settings.get("kv_cache_capacity_tokens")),
        slots=slots,
        context_tokens=context,
        longest_request_tokens=longest,
    )


def prove(
    engine: str,
    facts: ServiceFacts,
    settings: Mapping[str, KnobValue],
    knob: str,
    new: KnobValue,
    *,
    kv_capacity_tokens: float | None = None,
) -> Feasibility | None:
    """Whether `knob` at `new` fits where `settings` run; None for a knob that moves no memory of the device.

    `kv_capacity_tokens` is what the engine tells of a replica with `settings`.
    """
    return prove_all(engine, facts, settings, {knob: new}, kv_capacity_tokens=kv_capacity_tokens)


def prove_all(
    engine: str,
    facts: ServiceFacts,
    settings: Mapping[str, KnobValue],
    changes: Mapping[str, KnobValue],
    *,
    kv_capacity_tokens: float | None = None,
) -> Feasibility | None:
    """Whether all of `changes` together fit where `settings` run; None when none of them moves memory of the device."""
    if not _moves_memory(engine, changes):
        return None
    before, after = _setups(engine, facts, settings, changes)
    return memory_proof(before, after, kv_capacity_tokens=kv_capacity_tokens)


def capacity_after(
    engine: str,
    facts: ServiceFacts,
    settings: Mapping[str, KnobValue],
    changes: Mapping[str, KnobValue],
    *,
    kv_capacity_tokens: float | None,
) -> float | None:
    """KV tokens of a replica once `changes` act; None where that cannot be said. What moves no memory leaves them."""
    if not _moves_memory(engine, changes):
        return kv_capacity_tokens
    before, after = _setups(engine, facts, settings, changes)
    return kv_capacity_after(before, after, kv_capacity_tokens=kv_capacity_tokens)


def _moves_memory(engine: str, changes: Mapping[str, KnobValue]) -> bool:
    share = ENGINE_MEMORY[engine].share if engine in ENGINE_MEMORY else None
    return any(knob in _ALWAYS or (share is Share.NONE and knob in _OF_SLOTS) for knob in changes)


def _setups(
    engine: str, facts: ServiceFacts, settings: Mapping[str, KnobValue], changes: Mapping[str, KnobValue]
) -> tuple[MemorySetup, MemorySetup]:
    changed = facts
    for knob in changes:
        changed = _without(changed, knob)
    return setup_of(engine, facts, settings), setup_of(engine, changed, {**settings, **changes})


def _without(facts: ServiceFacts, knob: str) -> ServiceFacts:
    """The facts, but for the one that a knob sets."""
    if knob == "kv_cache_dtype":
        return replace(facts, kv_dtype=None)
    if knob == "weight_quantization":
        return replace(facts, weight_dtype=None)
    return replace(facts, tensor_parallel=None) if knob == "tensor_parallel_size" else facts


def _weight_dtype(value: KnobValue | None) -> str | None:
    return weight_dtype_of(value) if isinstance(value, str) else None


def _kv_dtype(engine: str, value: KnobValue | None, facts: ServiceFacts) -> str | None:
    if value == "auto" and facts.model is not None:
        return facts.model.activation_dtype
    return kv_dtype_of(value, engine) if isinstance(value, str) else None


def _number(value: KnobValue | None) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: KnobValue | None) -> int | None:
    number = _number(value)
    return None if number is None or number < 1 else int(number)
