"""What fewer bits gain on which hardware: bytes, tokens of KV cache, and where arithmetic gains as well.

Sources: tuning §2.1 (tokens), §2.7 (where it helps and harms), §2.8 (hardware).
"""

from enum import StrEnum

from recommender.gpus import Gpu
from recommender.sizing.dtypes import WEIGHT_DTYPES
from recommender.sizing.footprint import kv_bytes_per_token, model_weight_bytes
from recommender.sizing.model_facts import ModelFacts
from recommender.sizing.result import NotApplicable, Sized


class Gain(StrEnum):
    """What a type of weights gains on a GPU."""

    COMPUTE = "compute"  # memory, bandwidth and arithmetic
    MEMORY = "memory"  # memory and bandwidth: weights are unpacked before each product
    NONE = "none"  # no kernels


_HOPPER, _BLACKWELL = 9.0, 10.0
# Sequences from which FP8 KV is faster than BF16: Llama-3.1-8B on H100 and B200 (§2.7).
_KV_BREAK_EVEN = {_HOPPER: 7000.0, _BLACKWELL: 4000.0}


def weight_gain(gpu: Gpu, dtype: str) -> Gain:
    """What weights of this type gain here (§2.7, §2.8); NONE for a type that is not known."""
    if dtype in {"fp16", "bf16", "fp32"}:
        return Gain.COMPUTE if dtype != "bf16" or gpu.bf16 else Gain.NONE
    if dtype == "fp8":
        return Gain.COMPUTE if gpu.fp8 else Gain.MEMORY if gpu.fp8_weights else Gain.NONE
    if dtype == "int8":  # Blackwell computes in it at a fraction of its FP8
        return Gain.COMPUTE if "int8" in gpu.flops and gpu.compute_capability < _BLACKWELL else Gain.MEMORY
    if dtype == "nvfp4":
        return Gain.COMPUTE if gpu.fp4 else Gain.NONE
    return Gain.MEMORY if dtype in WEIGHT_DTYPES else Gain.NONE


def bytes_saved(model: ModelFacts, old: str, new: str, *, ranks: int = 1) -> float:
    """Bytes of one GPU that weights of the new type take less (negative: more)."""
    return model_weight_bytes(model, old, ranks=ranks) - model_weight_bytes(model, new, ranks=ranks)


def tokens_gained(
    model: ModelFacts, old: str, new: str, *, kv_dtype: str, tensor_parallel: int = 1
) -> Sized | NotApplicable:
    """KV tokens that weights of the new type make room for: W_saved/kv_B (§2.1)."""
    saved = bytes_saved(model, old, new, ranks=tensor_parallel)
    each = kv_bytes_per_token(model, kv_dtype, tensor_parallel=tensor_parallel)
    if saved <= 0 or each <= 0:
        return NotApplicable(f"weights in {new} take no less than in {old}, or no token is kept")
    return Sized(
        saved / each,
        f"{saved / 1e9:.1f} GB/{each:.6g} B",
        {"saved_bytes": saved, "kv_bytes_per_token": each},
    )


def kv_dtype_ratio(model: ModelFacts, old: str, new: str) -> float:
    """KV tokens in the same bytes with the new type over those with the old: 2 from 16 to 8 bits, scales aside."""
    return kv_bytes_per_token(model, old) / kv_bytes_per_token(model, new)


def kv_break_even_tokens(gpu: Gpu) -> Sized | NotApplicable:
    """Length of sequences from which an FP8 KV cache is also faster; below it gains memory alone (§2.7)."""
    found = _KV_BREAK_EVEN.get(gpu.compute_capability)
    if found is None:
        return NotApplicable(f"no break-even is published of {gpu.name}")
    return Sized(found, f"measured with an 8B model on compute capability {gpu.compute_capability:g} (tuning §2.7)")
