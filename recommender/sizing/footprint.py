"""What a model takes of device memory: weights, the KV cache of a token and of a request, and what is left (§2.1).

Formulas and checks: tuning §2.1. All bytes are those of one GPU where `tensor_parallel` is given, decimal (1 GB = 1e9).
"""

import math

from recommender.sizing.dtypes import (
    KV_DTYPES,
    PACKED_MLA,
    PACKED_MLA_BYTES,
    PER_HEAD_SCALE_BYTES,
    PER_HEAD_SCALES,
    WEIGHT_DTYPES,
)
from recommender.sizing.model_facts import Attention, ModelFacts
from recommender.sizing.result import NotApplicable, Sized

# Activations, CUDA graphs and the driver's context of one GPU: tuning §2.1 takes 3 GB for one GPU and 10 GB for four.
ACTIVATION_BYTES = 3e9
DEFAULT_MEMORY_FRACTION = 0.90  # tuning §2.1
KV_FILL = 0.9  # tuning §2.1: C_mem = floor(0.9·T_kv/tau)


def kv_bytes_per_token(
    model: ModelFacts, kv_dtype: str, *, tensor_parallel: int = 1, context_tokens: float | None = None
) -> float:
    """Bytes of KV cache of one token on one GPU: 2·L·H_kv·d·b, or L·(d_latent + d_rope)·b with latent attention.

    KV heads are divided over the ranks, a latent vector is on each of them. Of a sequence of `context_tokens` a layer
    with a window keeps min(context, window): the mean over the sequence is given. None: every layer keeps every token,
    which is the most. Layers with a state of constant size keep none. Raises ValueError for an unknown type.
    """
    held = model.full_layers + model.sliding_layers * _kept_share(model, context_tokens)
    return held * _layer_bytes(model, kv_dtype, tensor_parallel)


def kv_bytes_of_sequence(model: ModelFacts, kv_dtype: str, context_tokens: float, *, tensor_parallel: int = 1) -> float:
    """Bytes of KV cache of a whole sequence of this length on one GPU."""
    return context_tokens * kv_bytes_per_token(
        model, kv_dtype, tensor_parallel=tensor_parallel, context_tokens=context_tokens
    )


def weight_bytes(parameters: float, dtype: str) -> float:
    """Bytes of so many weights, scales of their groups included. Raises ValueError for an unknown type."""
    if dtype not in WEIGHT_DTYPES:
        raise ValueError(f"'{dtype}' is not a known type of weights; known are {', '.join(WEIGHT_DTYPES)}")
    return parameters * WEIGHT_DTYPES[dtype].bytes


def model_weight_bytes(model: ModelFacts, dtype: str, *, ranks: int = 1) -> float:
    """Bytes of a model's weights on one of `ranks` GPUs: in `dtype`, but for what quantization leaves in 16 bits.

    That is the token table and the output head for the most part; a GGUF file quantizes them as well.
    """
    if dtype not in WEIGHT_DTYPES:
        raise ValueError(f"'{dtype}' is not a known type of weights; known are {', '.join(WEIGHT_DTYPES)}")
    kept = 0.0 if WEIGHT_DTYPES[dtype].whole_file or WEIGHT_DTYPES[dtype].bits >= 16 else model.kept_parameters  # noqa: PLR2004 - 16 bits is what they are left in
    return (weight_bytes(model.parameters - kept, dtype) + weight_bytes(kept, "bf16")) / ranks


def kv_pool_bytes(
    device_bytes: float, weights: float, *, memory_fraction: float, activations: float = ACTIVATION_BYTES
) -> float:
    """Bytes left for the KV cache of one GPU by an engine whose share holds all: M·f - W - A. Negative: no room."""
    return device_bytes * memory_fraction - weights - activations


def kv_pool_tokens(
    model: ModelFacts | None,
    *,
    device_bytes: float | None,
    weight_dtype: str | None,
    kv_dtype: str | None,
    tensor_parallel: int | None = 1,
    memory_fraction: float = DEFAULT_MEMORY_FRACTION,
    activations: float = ACTIVATION_BYTES,
    context_tokens: float | None = None,
) -> Sized | NotApplicable:
    """Tokens that the KV cache of one replica holds: T_kv = (M·f - W - A)/kv_B, each of one GPU (tuning §2.1).

    What the engine tells of its capacity goes before this.
    """
    if model is None or device_bytes is None or weight_dtype is None or kv_dtype is None or tensor_parallel is None:
        return NotApplicable("the model, its types, the GPU or the tensor parallelism is unknown")
    weights = model_weight_bytes(model, weight_dtype, ranks=tensor_parallel)
    pool = kv_pool_bytes(device_bytes, weights, memory_fraction=memory_fraction, activations=activations)
    if pool <= 0:
        return NotApplicable(
            f"{weights / 1e9:.1f} GB of weights and {activations / 1e9:.1f} GB of activations leave nothing of "
            f"{memory_fraction:g} of {device_bytes / 1e9:.0f} GB for the KV cache"
        )
    each = kv_bytes_per_token(model, kv_dtype, tensor_parallel=tensor_parallel, context_tokens=context_tokens)
    if each <= 0:
        return NotApplicable("no layer of this model keeps its tokens: its KV cache does not grow with them")
    return Sized(
        math.floor(pool / each),
        f"({device_bytes / 1e9:.4g} GB·{memory_fraction:g} - W - A)/kv_B = {pool / 1e9:.4g} GB/{each:.6g} B",
        {
            "device_bytes": device_bytes,
            "memory_fraction": memory_fraction,
            "weight_bytes": weights,
            "activation_bytes": activations,
            "kv_bytes_per_token": each,
        },
    )


def concurrency_from_memory(
    kv_capacity_tokens: float | None, tokens_per_request: float | None, *, fill: float = KV_FILL
) -> Sized | NotApplicable:
    """Requests that the KV cache holds at a time: C_mem = floor(fill·T_kv/tau) (tuning §2.1).

    tau is what a request holds on average (usage·capacity/running); with p95 of prompt and output together no
    request is preempted.
    """
    if kv_capacity_tokens is None or tokens_per_request is None or tokens_per_request <= 0:
        return NotApplicable("the KV capacity or the tokens that a request holds are unknown")
    return Sized(
        math.floor(fill * kv_capacity_tokens / tokens_per_request),
        f"floor({fill:g}·{kv_capacity_tokens:g}/{tokens_per_request:.4g})",
        {"kv_capacity_tokens": kv_capacity_tokens, "tokens_per_request": tokens_per_request},
    )


def _kept_share(model: ModelFacts, context_tokens: float | None) -> float:
    """Of the tokens of a sequence, the share that a layer with a window keeps."""
    if context_tokens is None or model.sliding_window is None or context_tokens <= model.sliding_window:
        return 1.0
    return model.sliding_window / context_tokens


def _layer_bytes(model: ModelFacts, kv_dtype: str, tensor_parallel: int) -> float:
    """Bytes that one layer keeps of one token on one GPU."""
    if model.attention is Attention.MLA:
        numbers = (model.latent_dim or 0) + (model.rope_dim or 0)
        if kv_dtype == PACKED_MLA:
            return PACKED_MLA_BYTES
        return numbers * _number_bytes(kv_dtype)
    heads = math.ceil(model.kv_heads / tensor_parallel)  # at least one: a rank beyond the KV heads has a copy
    if kv_dtype in PER_HEAD_SCALES:
        return 2 * heads * (model.head_dim * _number_bytes(PER_HEAD_SCALES[kv_dtype]) + PER_HEAD_SCALE_BYTES)
    return 2 * heads * model.head_dim * _number_bytes(kv_dtype)


def _number_bytes(kv_dtype: str) -> float:
    if kv_dtype not in KV_DTYPES:
        raise ValueError(f"'{kv_dtype}' is not a known type of KV cache here; known are {', '.join(KV_DTYPES)}")
    return KV_DTYPES[kv_dtype].bytes
