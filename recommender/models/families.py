"""Architectures whose configuration is understood: what their classes have by default, and how they are built.

An architecture that is not here is not guessed at. Defaults and layouts: the `configuration_*` and `modeling_*` files
of the transformers library, by `model_type`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Window(StrEnum):
    """Which layers keep a window alone, where the configuration lists no `layer_types`."""

    NEVER = "never"
    ALL = "all"  # every one, when a window is set
    EVERY_OTHER = "every_other"  # the first, the third, ...
    ALL_BUT_NTH = "all_but_nth"  # every `sliding_window_pattern`-th keeps all
    FROM_LAYER = "from_layer"  # those from `max_window_layers` on, when `use_sliding_window`


@dataclass(frozen=True, slots=True)
class Family:
    """How one `model_type` is built. `experts`, `expert_size`: the keys of a mixture of experts, None when dense."""

    window: Window = Window.NEVER
    qkv_bias: bool = False  # besides what `attention_bias` asks for
    qk_norm: bool = False  # a vector of head_dim for queries and one for keys
    norms: int = 2  # vectors of hidden_size in each layer
    latent: bool = False
    experts: str | None = None
    expert_size: str = "intermediate_size"
    shared_size: str | None = None  # key of the width of an expert that every token passes
    expert_bias: bool = False  # biases and attention sinks of gpt-oss
    router_bias: bool = False
    defaults: Mapping[str, object] = field(default_factory=dict)


_TIED: Mapping[str, object] = {"tie_word_embeddings": True}
_GEMMA3: Mapping[str, object] = {
    **_TIED,
    "vocab_size": 262_208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
    "max_position_embeddings": 131_072,
}
_DEEPSEEK = Family(
    latent=True,
    experts="n_routed_experts",
    expert_size="moe_intermediate_size",
    router_bias=True,
    defaults={"moe_layer_freq": 1},
)

FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "mistral": Family(Window.ALL, defaults={"sliding_window": 4096}),
    "mixtral": Family(Window.ALL, experts="num_local_experts"),
    "qwen2": Family(Window.FROM_LAYER, qkv_bias=True),
    "qwen2_moe": Family(
        Window.FROM_LAYER,
        qkv_bias=True,
        experts="num_experts",
        expert_size="moe_intermediate_size",
        shared_size="shared_expert_intermediate_size",
    ),
    "qwen3": Family(Window.FROM_LAYER, qk_norm=True),
    "qwen3_moe": Family(Window.FROM_LAYER, qk_norm=True, experts="num_experts", expert_size="moe_intermediate_size"),
    "phi3": Family(Window.ALL),
    "gemma": Family(defaults=_TIED),
    "gemma2": Family(Window.EVERY_OTHER, norms=4, defaults={**_TIED, "sliding_window": 4096}),
    "gemma3_text": Family(Window.ALL_BUT_NTH, qk_norm=True, norms=4, defaults=_GEMMA3),
    "gpt_oss": Family(
        Window.EVERY_OTHER,
        experts="num_local_experts",
        expert_bias=True,
        defaults={"attention_bias": True, "torch_dtype": "bfloat16", "sliding_window": 128},
    ),
    "deepseek_v2": Family(
        latent=True,
        experts="n_routed_experts",
        expert_size="moe_intermediate_size",
        defaults={"moe_layer_freq": 1},
    ),
    "deepseek_v3": _DEEPSEEK,
    "kimi_k2": _DEEPSEEK,
}
