"""What sizing needs to know of one model: its shape, as its own configuration gives it."""

from dataclasses import dataclass
from enum import StrEnum


class Attention(StrEnum):
    """What a layer keeps of a token."""

    GQA = "gqa"  # keys and values of each KV head; plain multi-head attention has as many KV heads as heads
    MLA = "mla"  # one latent vector and one rotary key, the same for all heads


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model. Counts of layers add up: `layers` are all, `sliding_layers` and `linear_layers` are among them.

    `source` says where the figures are from, for people. Types are neutral words ("bf16", "fp8", "int4").
    """

    name: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    attention: Attention
    latent_dim: int | None  # MLA alone
    rope_dim: int | None  # MLA alone
    sliding_window: int | None  # tokens that a sliding layer keeps
    sliding_layers: int
    linear_layers: int  # a state of constant size for each sequence, nothing for a token
    parameters: float
    active_parameters: float  # that one token passes; of a dense model all
    vocab_size: int
    max_length: int | None  # tokens of one sequence
    weight_dtype: str | None  # of the checkpoint; None where its name leaves that open, as a tag of Ollama does
    source: str
    kept_parameters: float = 0.0  # that quantization leaves in 16 bits: token table and output head, for the most part
    activation_dtype: str = "bf16"  # what "auto" makes the KV cache
    experts: int = 0  # of one layer; 0: dense
    experts_per_token: int = 0

    def __post_init__(self) -> None:
        counts = (self.layers, self.hidden_size, self.heads, self.kv_heads, self.head_dim, self.vocab_size)
        if min(counts) < 1 or self.heads % self.kv_heads:
            raise ValueError(f"{self.name}: counts must be positive and KV heads must divide {self.heads} heads")
        if self.sliding_layers + self.linear_layers > self.layers or min(self.sliding_layers, self.linear_layers) < 0:
            raise ValueError(f"{self.name}: sliding and linear layers are more than its {self.layers} layers")
        if self.sliding_layers and not self.sliding_window:
            raise ValueError(f"{self.name}: sliding layers need a window")
        if self.attention is Attention.MLA and not (self.latent_dim and self.rope_dim is not None):
            raise ValueError(f"{self.name}: latent attention needs latent_dim and rope_dim")
        if not 0 < self.active_parameters <= self.parameters:
            raise ValueError(f"{self.name}: active parameters must be positive and no more than all")

    @property
    def full_layers(self) -> int:
        """Layers that keep every token."""
        return self.layers - self.sliding_layers - self.linear_layers
