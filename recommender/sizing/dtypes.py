"""Bytes that a number takes in each type, its part of a scale included, and the words that engines have for types."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dtype:
    """`bits` of one number, plus `scale_bits` shared by each `block` of numbers (0: so few that they do not count).

    `whole_file`: the bits are those of all weights of a file, embeddings among them.
    """

    bits: float
    block: int = 0
    scale_bits: float = 0.0
    whole_file: bool = False

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
KV_DTYPES: Mapping[str, Dtype] = {
    **_PLAIN,
    **_FP4,
    # ggml's blocks: 32 numbers with an FP16 scale; those that end in _1 have a minimum as well.
    "q8_0": Dtype(8, 32, 16),
    "q5_1": Dtype(5, 32, 32),
    "q5_0": Dtype(5, 32, 16),
    "q4_1": Dtype(4, 32, 32),
    "q4_0": Dtype(4, 32, 16),
    "iq4_nl": Dtype(4, 32, 16),
}
# Types of which each token and head has an FP32 scale of its own: of a vector of `head_dim` numbers.
PER_HEAD_SCALES: Mapping[str, str] = {"fp8_per_token_head": "fp8", "int8_per_token_head": "int8"}
PER_HEAD_SCALE_BYTES = 4.0
# FlashMLA's packed form: 512 FP8 numbers, four FP32 scales, 64 rotary numbers in BF16.
PACKED_MLA = "fp8_ds_mla"
PACKED_MLA_BYTES = 656.0

# Bits a weight of whole GGUF files of Llama-3.1-8B (llama.cpp tools/quantize/README.md; the legacy ones from the sizes
# that llama-quantize prints). They differ by a tenth between models: how large the output head is.
_GGUF = {
    "q2_k": 3.1593,
    "q3_k_s": 3.6429,
    "q3_k_l": 4.2979,
    "iq4_xs": 4.4597,
    "q4_0": 4.64,
    "q4_k_s": 4.6672,
    "iq4_nl": 4.6818,
    "q4_k_m": 4.8944,
    "q4_1": 5.11,
    "q5_k_s": 5.5704,
    "q5_0": 5.57,
    "q5_k_m": 5.7036,
    "q5_1": 6.04,
    "q6_k": 6.5633,
    "q8_0": 8.5008,
}
WEIGHT_DTYPES: Mapping[str, Dtype] = {
    **_PLAIN,
    "int4": Dtype(4, 128, 20),  # AWQ's and GPTQ's usual form: groups of 128, an FP16 scale and a 4-bit zero point
    **_FP4,
    **{name: Dtype(bits, whole_file=True) for name, bits in _GGUF.items()},
}

_SAME_WORDS = {
    "float32": "fp32",
    "float": "fp32",
    "f32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "f16": "fp16",
}
_KV_WORDS = {
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "fp8_e4m3fn": "fp8",
    "fp8_inc": "fp8",
    "fp4_mx_block16": "nvfp4",  # 16 numbers a block, as NVFP4 has them
}
_WEIGHT_WORDS = {
    "fp8_per_tensor": "fp8",
    "fp8_per_channel": "fp8",
    "fp8_per_block": "fp8",
    "w8a8_fp8": "fp8",
    "modelopt_fp8": "fp8",
    "w8a8_int8": "int8",
    "int8_per_channel_weight_only": "int8",
    "awq": "int4",  # AWQ's kernels are for 4 bits alone
    "awq_marlin": "int4",
    "modelopt_fp4": "nvfp4",
    "nvfp4_per_token": "nvfp4",
    "eetq": "int8",
}
# What llama.cpp keeps in so many bits, its scales included: 8.5 and 4.5.
_BLOCKS_OF = {"int8": "q8_0", "int4": "q4_0"}
_IN_BLOCKS = frozenset({"llamacpp", "ollama"})
_KV_NAMES = frozenset({*KV_DTYPES, *PER_HEAD_SCALES, PACKED_MLA})


def kv_dtype_of(word: str, engine: str | None = None) -> str | None:
    """The type that a word for a KV cache means, an engine's own or a neutral one of its knob.

    None for "auto" and for words that are not known here.
    """
    plain = _plain(word)
    meant = _KV_WORDS.get(plain, plain)
    if engine in _IN_BLOCKS:
        meant = _BLOCKS_OF.get(meant, meant)
    return meant if meant in _KV_NAMES else None


def weight_dtype_of(word: str) -> str | None:
    """The type that an engine's word for its weights means; None where it leaves the width open, as "gptq" does."""
    plain = _plain(word)
    meant = _WEIGHT_WORDS.get(plain, plain)
    return meant if meant in WEIGHT_DTYPES else None


def _plain(word: str) -> str:
    plain = word.strip().lower().removeprefix("torch.")
    return _SAME_WORDS.get(plain, plain)
