"""One configuration of an engine, as far as memory goes, and how each engine takes its memory.

What a memory fraction is a share of differs by engine (engine-knobs §1-§8), so a number is never carried from one to
another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from recommender.sizing.footprint import ACTIVATION_BYTES, kv_bytes_per_token, model_weight_bytes
from recommender.sizing.model_facts import ModelFacts
from recommender.sizing.steps import MAX_MEMORY_FRACTION

_GIB = 2**30


class Share(StrEnum):
    """What an engine's memory fraction is a share of, and what is counted in it."""

    ALL = "all"  # of the device: weights, activations and KV cache
    STATIC = "static"  # of the device: weights and KV cache; activations come on top
    REMAINDER = "remainder"  # of what weights and activations leave: the KV cache alone
    NONE = "none"  # there is no fraction: all slots have their whole context from the start


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """How an engine takes its memory. `limit_ratio` and `margin_bytes`: what of the device it may have at most."""

    share: Share
    fraction_scale: float = 1.0  # what the engine makes of the fraction that it is given
    limit_ratio: float = 1.0
    margin_bytes: float = 0.0
    source: str = ""

    def limit(self, device_bytes: float) -> float:
        """Bytes of one GPU that a configuration may take."""
        return device_bytes * self.limit_ratio - self.margin_bytes


_SLOTS = EngineMemory(Share.NONE, margin_bytes=_GIB, source="engine-knobs §5: --fit-target leaves 1024 MiB")
ENGINE_MEMORY: Mapping[str, EngineMemory] = {
    "vllm": EngineMemory(Share.ALL, limit_ratio=MAX_MEMORY_FRACTION, source="engine-knobs §8; P02 no. 4"),
    "tgi": EngineMemory(
        Share.ALL, fraction_scale=0.90, limit_ratio=MAX_MEMORY_FRACTION, source="engine-knobs §3: 0.90 in the server"
    ),
    "sglang": EngineMemory(Share.STATIC, source="engine-knobs §2, §8"),
    "tensorrt_llm": EngineMemory(Share.REMAINDER, source="engine-knobs §4a, §8"),
    "triton": EngineMemory(Share.REMAINDER, source="engine-knobs §4b"),
    "llamacpp": _SLOTS,
    "ollama": _SLOTS,
}


@dataclass(frozen=True, slots=True)
class MemorySetup:
    """One configuration, as far as memory goes. None is unknown, or not set where the engine may go without it.

    Of an engine with slots `slots` requests have `context_tokens` together, all of it taken from the start.
    """

    engine: str
    device_bytes: float | None = None
    model: ModelFacts | None = None
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int = 1
    memory_fraction: float | None = None
    kv_cache_bytes: float | None = None  # of one GPU; goes before the fraction
    kv_cache_tokens: float | None = None  # of a replica; the lesser of it and the fraction counts
    slots: int | None = None
    context_tokens: float | None = None
    longest_request_tokens: float | None = None  # None: the model's own
    activation_bytes: float = ACTIVATION_BYTES

    @property
    def ranks(self) -> int | None:
        """GPUs that the weights are divided over."""
        return None if self.tensor_parallel is None else self.tensor_parallel * self.pipeline_parallel

    @property
    def weights(self) -> float | None:
        """Bytes of weights on one GPU."""
        if self.model is None or self.weight_dtype is None or self.ranks is None:
            return None
        return model_weight_bytes(self.model, self.weight_dtype, ranks=self.ranks)

    def kv_bytes(self, tokens: float, *, sequence: bool = False) -> float | None:
        """Bytes of one GPU for so many tokens: of one `sequence`, or of many that are longer than no window."""
        if self.model is None or self.kv_dtype is None or self.tensor_parallel is None:
            return None
        each = kv_bytes_per_token(
            self.model,
            self.kv_dtype,
            tensor_parallel=self.tensor_parallel,
            context_tokens=tokens if sequence else None,
        )
        return tokens * each / self.pipeline_parallel

    def missing(self) -> tuple[str, ...]:
        """Names of the facts that are unknown, as `ServiceFacts` and the knobs have them."""
        facts = {
            "gpu": self.device_bytes,
            "model": self.model,
            "weight_dtype": self.weight_dtype,
            "kv_dtype": self.kv_dtype,
            "tensor_parallel": self.tensor_parallel,
        }
        return tuple(name for name, value in facts.items() if value is None)
