"""Whether a configuration fits in device memory: bytes of one GPU before and after a change, against what there is.

Where the engine tells its KV capacity, that is what the rest of the memory is measured by; else tuning §2.1.
"""

from dataclasses import dataclass, replace

from recommender.model.plan import Feasibility
from recommender.sizing.footprint import (
    ACTIVATION_BYTES,
    concurrency_from_memory,
    kv_bytes_of_sequence,
    kv_bytes_per_token,
    kv_pool_bytes,
    kv_pool_tokens,
    model_weight_bytes,
    weight_bytes,
)
from recommender.sizing.memory_setup import ENGINE_MEMORY, EngineMemory, MemorySetup, Share
from recommender.sizing.told_capacity import CONFLICT, conflict

__all__ = [
    "ACTIVATION_BYTES",
    "ENGINE_MEMORY",
    "EngineMemory",
    "MemorySetup",
    "Share",
    "concurrency_from_memory",
    "kv_bytes_of_sequence",
    "kv_bytes_per_token",
    "kv_capacity_after",
    "kv_pool_bytes",
    "kv_pool_tokens",
    "memory_proof",
    "model_weight_bytes",
    "weight_bytes",
]


@dataclass(frozen=True, slots=True)
class _Use:
    """Bytes of one GPU: all that is taken, and of it the KV cache. None: not known."""

    total: float | None
    kv: float | None


def memory_proof(before: MemorySetup, after: MemorySetup, *, kv_capacity_tokens: float | None = None) -> Feasibility:
    """Whether `after` fits where `before` runs; `kv_capacity_tokens` is what the engine tells of `before`.

    It fits when it takes no more than the engine may have (or no more than runs there today) and its KV cache holds
    the longest request. What is not known is named, and proves nothing.
    """
    engine = ENGINE_MEMORY.get(before.engine)
    if engine is None or before.engine != after.engine:
        return Feasibility(fits=None, text=f"how {before.engine} takes its memory is not known", missing=("engine",))
    if before.device_bytes is None or after.device_bytes is None:
        return _unknown(after, "how much memory the GPU has is unknown", ("gpu",))
    if contradicted := conflict(before, kv_capacity_tokens):
        return Feasibility(fits=None, text=contradicted, missing=(CONFLICT,))
    rest = _rest(engine, before, kv_capacity_tokens)
    old = _use(engine, before, rest)
    new = _use(engine, after, _rest_after(before, after, rest))
    limit = engine.limit(after.device_bytes)
    if new.total is None:
        return _unknown(after, "what the change needs cannot be said", _needed(engine, after))
    return _judge(before, after, old, new, limit)


def kv_capacity_after(
    before: MemorySetup, after: MemorySetup, *, kv_capacity_tokens: float | None = None
) -> float | None:
    """Tokens that the KV cache of a replica holds with `after`; None where that cannot be said.

    `kv_capacity_tokens` is what the engine tells of `before`: it is scaled by what the formula makes of the two, so
    what the formula leaves out stays left out on both sides. Where it contradicts the facts, nothing can be said.
    """
    engine = ENGINE_MEMORY.get(before.engine)
    if engine is not None and engine.share is Share.NONE and before.engine == after.engine:
        return after.context_tokens  # that of all slots, taken from the start whatever the device has
    if engine is None or before.engine != after.engine or before.device_bytes is None or after.device_bytes is None:
        return None
    if conflict(before, kv_capacity_tokens):
        return None
    rest = _rest(engine, before, kv_capacity_tokens)
    old, new = _use(engine, before, rest), _use(engine, after, _rest_after(before, after, rest))
    if new.kv is None or new.kv <= 0:
        return None
    tokens = _tokens(after, new.kv)
    today = None if old.kv is None else _tokens(before, old.kv)
    if tokens is None or kv_capacity_tokens is None or today is None or today <= 0:
        return tokens
    return kv_capacity_tokens * tokens / today


def _judge(before: MemorySetup, after: MemorySetup, old: _Use, new: _Use, limit: float) -> Feasibility:
    total = new.total or 0.0
    within = total <= limit or (old.total is not None and total <= old.total)
    enough, missing = _serves(before, after, old, new)
    fits = False if not within or enough is False else enough
    text = f"one GPU: {_change(old.total, total)} of {_gb(limit)} that may be taken"
    if old.kv is not None and new.kv is not None:
        text += f"; KV cache {_change(old.kv, max(0.0, new.kv))}"
        tokens = _tokens(before, old.kv), _tokens(after, new.kv)
        if tokens[0] is not None and tokens[1] is not None:
            text += f", {tokens[0]:,.0f} to {tokens[1]:,.0f} tokens"
    if not within:
        text += ": it does not fit"
    elif enough is False:
        text += ": it cannot hold the longest request"
    elif enough is None:
        text += f": whether its KV cache holds the longest request needs {' and '.join(missing)}"
    return Feasibility(fits=fits, before=old.total, after=total, limit=limit, text=text, missing=missing)


def _serves(before: MemorySetup, after: MemorySetup, old: _Use, new: _Use) -> tuple[bool | None, tuple[str, ...]]:
    """Whether the KV cache holds one longest request, or no fewer tokens than the one that serves today."""
    if new.kv is not None and new.kv <= 0:
        return False, ()
    longest = _longest(before, after, old)
    needed = None if longest is None else after.kv_bytes(longest, sequence=True)
    if new.kv is not None and needed is not None:
        return new.kv >= needed, ()
    if ENGINE_MEMORY[after.engine].share is Share.NONE and new.kv is not None:
        return True, ()  # each slot has its context, however long a request is
    tokens = [None if use.kv is None else _tokens(setup, use.kv) for setup, use in ((before, old), (after, new))]
    if tokens[0] is not None and tokens[1] is not None and tokens[1] >= tokens[0]:
        return True, ()
    if _same_but_shares(before, after) and old.total is not None and (new.total or 0.0) >= old.total:
        return True, ()  # whatever the rest takes, the cache has what is added
    missing = (*after.missing(), *(() if longest is not None else ("max_model_length_tokens",)))
    return None, missing or ("kv_cache_memory_fraction",)


def _longest(before: MemorySetup, after: MemorySetup, old: _Use) -> float | None:
    """Tokens of the longest request, when they are known: an engine never runs with a cache that one cannot hold."""
    if after.longest_request_tokens is not None:
        return after.longest_request_tokens
    longest = None if after.model is None else after.model.max_length
    if longest is None or ENGINE_MEMORY[after.engine].share is Share.NONE:
        return None
    today = before.kv_bytes(longest, sequence=True)
    lowered = old.kv is not None and today is not None and old.kv < today
    return None if lowered else longest  # it runs with a lower limit than the model's, which is not known


def _same_but_shares(before: MemorySetup, after: MemorySetup) -> bool:
    """Whether all that changes is how much memory the KV cache is given."""
    return (
        replace(
            after,
            memory_fraction=before.memory_fraction,
            kv_cache_bytes=before.kv_cache_bytes,
            kv_cache_tokens=before.kv_cache_tokens,
        )
        == before
    )


def _rest(engine: EngineMemory, setup: MemorySetup, capacity: float | None) -> float | None:
    """Weights and activations of one GPU: what the share leaves beside the KV cache that the engine tells."""
    computed = None if setup.weights is None else setup.weights + setup.activation_bytes
    if capacity is None or not setup.memory_fraction or setup.device_bytes is None:
        return computed
    if setup.kv_cache_bytes is not None or setup.kv_cache_tokens is not None or engine.share is Share.NONE:
        return computed
    kv = setup.kv_bytes(capacity)
    if kv is None or (setup.model is not None and setup.model.full_layers < setup.model.layers):
        return computed  # what engines tell as tokens of a cache with several kinds of layers differs
    share = setup.memory_fraction * engine.fraction_scale
    if engine.share is Share.REMAINDER:
        return setup.device_bytes - kv / share
    activations = setup.activation_bytes if engine.share is Share.STATIC else 0.0
    return setup.device_bytes * share - kv + activations


def _rest_after(before: MemorySetup, after: MemorySetup, rest: float | None) -> float | None:
    if rest is None:
        return None
    same = (before.weight_dtype, before.ranks, before.model) == (after.weight_dtype, after.ranks, after.model)
    activations = after.activation_bytes - before.activation_bytes
    if same:
        return rest + activations
    if before.weights is None or after.weights is None:
        return None
    return rest + after.weights - before.weights + activations


def _use(engine: EngineMemory, setup: MemorySetup, rest: float | None) -> _Use:
    """What a configuration takes. `rest`: weights and activations, as far as they are known."""
    fixed = setup.kv_cache_bytes
    if engine.share is Share.NONE:
        fixed = _slots_bytes(setup)
    if fixed is not None:
        return _Use(None if rest is None else rest + fixed, fixed)
    if setup.memory_fraction is None or setup.device_bytes is None or engine.share is Share.NONE:
        return _Use(None, None)
    share = setup.memory_fraction * engine.fraction_scale
    if engine.share is Share.REMAINDER:
        kv = None if rest is None else (setup.device_bytes - rest) * share
    else:
        static = rest if rest is None or engine.share is Share.ALL else rest - setup.activation_bytes
        kv = None if static is None else setup.device_bytes * share - static
    limited = None if setup.kv_cache_tokens is None else setup.kv_bytes(setup.kv_cache_tokens)
    if limited is not None and kv is not None and limited < kv:
        return _Use(None if rest is None else rest + limited, limited)
    if engine.share is Share.REMAINDER:
        return _Use(None if rest is None or kv is None else rest + kv, kv)
    beside = setup.activation_bytes if engine.share is Share.STATIC else 0.0
    return _Use(setup.device_bytes * share + beside, kv)


def _slots_bytes(setup: MemorySetup) -> float | None:
    """KV cache of all slots: each has its part of the context, and a layer with a window keeps that at most."""
    if setup.context_tokens is None or not setup.slots:
        return None
    one = setup.kv_bytes(setup.context_tokens / setup.slots, sequence=True)
    return None if one is None else setup.slots * one


def _needed(engine: EngineMemory, setup: MemorySetup) -> tuple[str, ...]:
    """What has to be known before bytes can be said."""
    knobs = []
    if engine.share is Share.NONE:
        knobs += [
            name
            for name, value in (("context_tokens", setup.context_tokens), ("max_running_requests", setup.slots))
            if value is None
        ]
    elif setup.memory_fraction is None and setup.kv_cache_bytes is None:
        knobs.append("kv_cache_memory_fraction")
    return (*setup.missing(), *knobs)


def _tokens(setup: MemorySetup, kv_bytes: float) -> float | None:
    if ENGINE_MEMORY[setup.engine].share is Share.NONE:
        return setup.context_tokens
    each = setup.kv_bytes(1.0)
    return kv_bytes / each if each and kv_bytes > 0 else None


def _unknown(setup: MemorySetup, text: str, missing: tuple[str, ...]) -> Feasibility:
    limit = None if setup.device_bytes is None else ENGINE_MEMORY[setup.engine].limit(setup.device_bytes)
    return Feasibility(fits=None, limit=limit, text=f"{text}: needs {', '.join(missing)}", missing=missing)


def _change(old: float | None, new: float) -> str:
    return _gb(new) if old is None else f"{_gb(old)} to {_gb(new)}"


def _gb(value: float) -> str:
    return f"{value / 1e9:.1f} GB"
