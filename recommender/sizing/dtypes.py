"""Bytes that a number takes in each type, its part of a scale included, and the words that engines have for types."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dtype:
    """`bits` of one number, plus `scale_bits` shared by each `block` of numbers (0: so few that they do not count)."""

    bits: float
    block: int = 0
    scale_bits: float = 0.0

    @property
    def bytes(self) -> float:
        """Bytes of one number with its part of the scale."""
        return (self.bits + (self.scale_bits / self.block if self.block else 0.0)) / 8


_PLAIN: Mapping[str, Dtype] = {
    "fp32": Dtype(32),
    "bf16": Dtype(16),
    "fp16": Dtype(16),
    "fp8": Dtype(8),  # a scale for each tensor, channel or 128x128 block: below a thousandth
    "int8": Dtype(8),
}
_FP4: Mapping[str, Dtype] = {
    "nvfp4": Dtype(4, 16, 8),  # 3.56 times smaller than 16 bits (tuning §2.1)
    "mxfp4": Dtype(4, 32, 8),
}
# Blocks of 32 numbers with an FP16 scale, and those ending in _1 with a minimum as well (ggml's block formats).
_GGML: Mapping[str, Dtype] = {
    "q8_0": Dtype(8, 32, 16),
    "q5_1": Dtype(5, 32, 32),
    "q5_0": Dtype(5, 32, 16),
    "q4_1": Dtype(4, 32, 32),
    "q4_0": Dtype(4, 32, 16),
    "iq4_nl": Dtype(4, 32, 16),
}
KV_DTYPES: Mapping[str, Dtype] = {**_PLAIN, **_FP4, **_GGML}
# "int4" is AWQ's and GPTQ's usual form: groups of 128 with an FP16 scale and a 4-bit zero point.
WEIGHT_DTYPES: Mapping[str, Dtype] = {**_PLAIN, "int4": Dtype(4, 128, 20), **_FP4, **_GGML}

_SAME_WORDS = {
    "float32": "fp32",
    "float": "fp32",
    "f32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "f16": "fp16",
    "nvfp4": "nvfp4",
}
_KV_WORDS = {"fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "fp8_e4m3fn": "fp8", "fp8_inc": "fp8", "fp4_e2m1": "nvfp4"}
_WEIGHT_WORDS = {
    "fp8_per_tensor": "fp8",
    "fp8_per_channel": "fp8",
    "fp8_per_block": "fp8",
    "w8a8_fp8": "fp8",
    "modelopt_fp8": "fp8",
    "w8a8_int8": "int8",
    "int8_per_channel_weight_only": "int8",
    "awq": "int4",  # AWQ kernels are for 4 bits alone
    "awq_marlin": "int4",
    "modelopt_fp4": "nvfp4",
}


def kv_dtype_of(word: str) -> str | None:
    """The type that an engine's word for its KV cache means; None for "auto" and for words that are not known here."""
    return _meaning(word, _KV_WORDS, KV_DTYPES)


def weight_dtype_of(word: str) -> str | None:
    """The type that an engine's word for its weights means; None where it leaves the width open, as "gptq" does."""
    return _meaning(word, _WEIGHT_WORDS, WEIGHT_DTYPES)


def _meaning(word: str, words: Mapping[str, str], known: Mapping[str, Dtype]) -> str | None:
    plain = word.strip().lower().removeprefix("torch.")
    meant = words.get(plain) or _SAME_WORDS.get(plain, plain)
    return meant if meant in known else None
