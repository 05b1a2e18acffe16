"""The types that a checkpoint names: of its weights, and what "auto" makes of its KV cache."""

from collections.abc import Mapping

from recommender.models.fields import ConfigProblem, Fields
from recommender.sizing.dtypes import weight_dtype_of

_BY_METHOD = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "awq": "int4"}
_BY_ALGORITHM = {"FP8": "fp8", "NVFP4": "nvfp4"}
_BY_BITS = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4"}
_KV_BITS = 8


def activation_dtype(fields: Fields) -> str | None:
    """The type that the model computes in, as a neutral word; None when it is not told."""
    word = fields.text("dtype") or fields.text("torch_dtype")
    return None if word is None else weight_dtype_of(word)


def checkpoint_dtype(quantization: Mapping[str, object]) -> str:
    """The weights' type by a `quantization_config`; ConfigProblem for a scheme that is not understood here."""
    fields = Fields(quantization)
    method = fields.text("quant_method") or ""
    found: str | None = None
    if method in {"awq", "gptq"}:
        found = _BY_BITS.get((fields.whole("bits"), "int"))
    elif method == "modelopt" or (not method and fields.text("quant_algo")):
        found = _BY_ALGORITHM.get(fields.text("quant_algo") or "")
    elif method == "compressed-tensors":
        found = _compressed(fields)
    else:
        found = _BY_METHOD.get(method)
    if found is None:
        raise ConfigProblem(f"its quantization '{method or 'without a method'}' is not understood here")
    return found


def quantized_kv_dtype(quantization: Mapping[str, object]) -> str | None:
    """The type of KV cache that a checkpoint brings scales for, and which "auto" then means; None: none."""
    fields = Fields(quantization)
    if fields.text("kv_cache_quant_algo") == "FP8":
        return "fp8"
    scheme = Fields(fields.section("kv_cache_scheme") or {})
    return "fp8" if scheme.get("num_bits") == _KV_BITS and scheme.text("type") == "float" else None


def _compressed(fields: Fields) -> str | None:
    """All groups of layers must have one type."""
    groups = fields.section("config_groups") or {}
    found = set()
    for group in groups.values():
        weights = Fields(Fields(group if isinstance(group, Mapping) else {}).section("weights") or {})
        key = (weights.optional_whole("num_bits") or 0, weights.text("type") or "")
        four_bit_float = "nvfp4" if "nvfp4" in (fields.text("format") or "") else None
        found.add(four_bit_float if key == (4, "float") else _BY_BITS.get(key))
    return next(iter(found)) if len(found) == 1 else None
