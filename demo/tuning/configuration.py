"""How the engines of a simulated service are set, in the recommender's own names of knobs."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from demo.faults.inference import Setup
from recommender.model import Change, KnobValue

DEVICE_BYTES = 80 * 2**30
WEIGHT_BYTES = 56 * 2**30
KV_BYTES_PER_TOKEN = 409_600
"""Of the model of `model/config.json` in 16 bits, 30e9 parameters: a hundredth of the device holds 2,100 tokens."""
MODEL_CONFIG = Path(__file__).parent / "model" / "config.json"
_BLOCK_TOKENS = 16
_KNOBS = {"gpu-memory-utilization": "kv_cache_memory_fraction"}
"""What the engine calls a knob that is set beside another: neutral name by key of its configuration."""


class WrongKnobError(ValueError):
    """A change to something that the simulated engine does not have, or to a value that it would refuse."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One engine's settings; every replica of the service has the same. Tokens, requests, and a share of the device."""

    max_running_requests: int = 64
    max_batched_tokens: int = 2048
    kv_cache_memory_fraction: float = 0.85
    prefix_caching: bool = True

    @property
    def kv_blocks(self) -> int:
        """What is left of the engine's share of the device after the weights."""
        room = self.kv_cache_memory_fraction * DEVICE_BYTES - WEIGHT_BYTES
        return max(0, int(room // (KV_BYTES_PER_TOKEN * _BLOCK_TOKENS)))

    def with_knob(self, knob: str, value: KnobValue) -> "Configuration":
        """One knob set anew. Raises WrongKnobError."""
        known = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        if knob not in known or isinstance(value, str) or isinstance(value, bool) is not (known[knob] is bool):
            raise WrongKnobError(f"{knob}: {value!r}")
        changed = replace(self, **{knob: known[knob](value)})
        if changed.max_batched_tokens < changed.max_running_requests:
            raise WrongKnobError(f"{knob}: {value!r}: a step of fewer tokens than requests; vLLM would not start")
        return changed

    def changed(self, change: Change) -> "Configuration":
        """A change carried out, with what it sets beside its knob. Raises WrongKnobError."""
        beside = {_KNOBS.get(key, key): value for key, value in change.sets.items()}
        changed = self
        for knob, value in {**beside, change.knob: change.new}.items():
            changed = changed.with_knob(knob, value)
        return changed

    def setup(self, step: "StepTime") -> Setup:
        """The engine of the simulator."""
        return Setup(
            slots=self.max_running_requests,
            blocks=self.kv_blocks,
            step_tokens=self.max_batched_tokens,
            alpha_ms=step.alpha_ms,
            beta_ms=step.beta_ms,
            gamma_ms=step.gamma_ms,
            prefix_caching=self.prefix_caching,
            memory_fraction=self.kv_cache_memory_fraction,
        )

    def __str__(self) -> str:
        caching = "" if self.prefix_caching else ", no prefix cache"
        return (
            f"{self.max_running_requests} slots, {self.max_batched_tokens} tokens a step, "
            f"{self.kv_cache_memory_fraction:g} of the device{caching}"
        )


@dataclass(frozen=True, slots=True)
class StepTime:
    """A step takes `alpha + beta * requests + gamma * prompt tokens` milliseconds."""

    alpha_ms: float = 26.0
    beta_ms: float = 0.4
    gamma_ms: float = 0.02
