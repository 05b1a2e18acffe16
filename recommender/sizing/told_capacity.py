"""Whether the KV capacity that an engine tells can be that of the model, types, GPU and share that are known of it.

A proof takes what the facts do not explain of the device for weights and activations, so one wrong fact would make it
silently wrong. What is allowed here is as wide as activations are (tuning §2.1: 3 to 10 GB; fewer without graphs) and
weights of one type differ; what lies outside is a conflict that a person has to settle.
"""

from dataclasses import dataclass

from recommender.sizing.memory_setup import ENGINE_MEMORY, MemorySetup, Share

WEIGHTS_TOLERANCE = 0.10  # of the weights: files of one GGUF type differ by as much, other types by less
ACTIVATIONS_MOST = 10e9  # bytes of one GPU: tuning §2.1, the largest of its range
CAPACITY_TOLERANCE = 0.05  # of the capacity: whole blocks, and what drivers count over data sheets
CONFLICT = "kv_capacity"
"""What a proof names as missing where the two disagree."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """KV cache of one GPU that the facts allow, bytes."""

    least: float
    most: float


def allowed_kv(setup: MemorySetup) -> Allowed | None:
    """What the facts allow; None where they do not say, or the engine counts tokens in a way of its own."""
    engine = ENGINE_MEMORY.get(setup.engine)
    if engine is None or engine.share is Share.NONE or setup.model is None:
        return None
    if setup.model.full_layers < setup.model.layers:
        return None  # engines differ in what they call a token of a cache with several kinds of layers
    if setup.kv_cache_bytes is not None:
        return _widened(setup.kv_cache_bytes, setup.kv_cache_bytes)
    if setup.memory_fraction is None or setup.device_bytes is None or setup.weights is None:
        return None
    share = setup.memory_fraction * engine.fraction_scale
    heavy = (1 + WEIGHTS_TOLERANCE) * setup.weights + ACTIVATIONS_MOST
    light = (1 - WEIGHTS_TOLERANCE) * setup.weights
    if engine.share is Share.REMAINDER:
        least, most = share * (setup.device_bytes - heavy), share * (setup.device_bytes - light)
    else:
        least, most = share * setup.device_bytes - heavy, share * setup.device_bytes - light
    limit = None if setup.kv_cache_tokens is None else setup.kv_bytes(setup.kv_cache_tokens)
    return _widened(least, most) if limit is None else _widened(min(least, limit), min(most, limit))


def conflict(setup: MemorySetup, capacity_tokens: float | None) -> str:
    """How the capacity that the engine tells contradicts the facts; empty where it does not, or nobody can tell."""
    told = None if capacity_tokens is None or capacity_tokens <= 0 else setup.kv_bytes(capacity_tokens)
    allowed = allowed_kv(setup)
    if told is None or allowed is None or allowed.least <= told <= allowed.most:
        return ""
    each = setup.kv_bytes(1.0) or 1.0
    bounds = (
        f"{allowed.least / each:,.0f} to {allowed.most / each:,.0f} tokens"
        if allowed.most > 0
        else "no room beside the weights"
    )
    return (
        f"the engine tells a KV cache of {capacity_tokens:,.0f} tokens, {told / 1e9:.1f} GB of one GPU, where the "
        f"facts allow {bounds}: the model, its types, the GPU, its share or the size of the cache is not what is known"
    )


def _widened(least: float, most: float) -> Allowed:
    return Allowed(max(0.0, least) * (1 - CAPACITY_TOLERANCE), max(0.0, most) * (1 + CAPACITY_TOLERANCE))
