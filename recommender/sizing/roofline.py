"""What the hardware allows: time of a decode step and of a prompt from bytes and operations (tuning §2.2, §2.4).

Units: bytes, operations (2 for a multiply-add), seconds, tokens. Peaks are dense data-sheet figures of
`recommender.gpus` times the GPUs of a replica; `Efficiency` says what of them is reached. A prediction from here is a
floor to compare with, not a promise: steps measured on the service itself go first.
"""

import math
from dataclasses import dataclass

from recommender.sizing.load import StepModel


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of the peaks that are reached. Those of weights contain what launching kernels costs.

    Defaults: tuning §2.2 for models up to 10 billion parameters on Hopper with a 16-bit KV cache.
    """

    weights: float = 0.70  # of bandwidth, reading weights
    kv: float = 0.88  # of bandwidth, reading the KV cache
    flops: float = 0.50  # of arithmetic, in decode; tuning §2.2 has 0.5-0.6 as a guess
    prefill: float = 0.50  # of arithmetic, in prompts; tuning §2.4 has 0.4-0.6 as a guess

    def __post_init__(self) -> None:
        if not all(0 < share <= 1 for share in (self.weights, self.kv, self.flops, self.prefill)):
            raise ValueError(f"an efficiency is above 0 and at most 1: {self}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """ITL of one request against its context, Llama-3.1-8B with BF16 weights on vLLM: intercept + slope·tokens."""

    gpu: str  # a name of `recommender.gpus.GPUS`
    kv_dtype: str
    intercept_seconds: float
    slope_seconds_per_token: float
    source: str

    def weights_efficiency(self, weight_bytes: float, bytes_per_second: float) -> float:
        """Share of the bandwidth at which weights were read, launching kernels included."""
        return weight_bytes / bytes_per_second / self.intercept_seconds

    def kv_efficiency(self, kv_bytes_per_token: float, bytes_per_second: float) -> float:
        """Share of the bandwidth at which the KV cache was read."""
        return kv_bytes_per_token / bytes_per_second / self.slope_seconds_per_token


_FP8_KV = "tuning §2.2, from the published fits of vLLM's FP8 KV cache"
CALIBRATIONS: tuple[Calibration, ...] = (
    Calibration("h100_sxm", "bf16", 6.44e-3, 4.37e-8, _FP8_KV),
    Calibration("h100_sxm", "fp8", 6.58e-3, 2.37e-8, _FP8_KV),
    Calibration("b200", "bf16", 3.93e-3, 1.80e-8, _FP8_KV),
    Calibration("b200", "fp8", 3.96e-3, 9.72e-9, _FP8_KV),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one machine was measured at against its data sheet."""

    gpu: str
    bytes_per_second: float
    bf16_flops: float
    source: str


MEASURED: tuple[Measured, ...] = (Measured("h200", 4.3e12, 788e12, "tuning §2.2: copy and BF16 matmul on one H200"),)

_SMALL_MODEL = 10e9
_BLACKWELL = 10.0


def efficiency(compute_capability: float, kv_dtype: str | None = None, parameters: float | None = None) -> Efficiency:
    """What tuning §2.2 found or guesses for this generation, KV type and model size.

    Weights: 0.70 on Hopper and before, 0.50 on Blackwell, 0.80 for models above 10 billion parameters, for which
    launching kernels matters less (a guess there: 0.75-0.85). KV: 0.88 in 16 bits, 0.83 in FP8.
    """
    small = 0.50 if compute_capability >= _BLACKWELL else 0.70
    weights = 0.80 if parameters is not None and parameters > _SMALL_MODEL else small
    return Efficiency(weights=weights, kv=0.83 if kv_dtype is not None and "fp8" in kv_dtype else 0.88)


@dataclass(frozen=True, slots=True)
class Roofline:
    """One replica and its model.

    `weight_bytes`: read in each step; of a mixture of experts all, once some dozen requests run. `attention_width`:
    layers·heads·head_dim, which the square part of a prompt needs; 0 leaves it out. `host_seconds`,
    `communication_seconds`: added to each step.
    """

    bytes_per_second: float
    flops_per_second: float
    weight_bytes: float
    active_parameters: float
    kv_bytes_per_token: float
    attention_width: float = 0.0
    efficiency: Efficiency = Efficiency()
    host_seconds: float = 0.0
    communication_seconds: float = 0.0

    def __post_init__(self) -> None:
        positive = (self.bytes_per_second, self.flops_per_second, self.weight_bytes, self.active_parameters)
        rest = (self.kv_bytes_per_token, self.attention_width, self.host_seconds, self.communication_seconds)
        if not all(math.isfinite(value) and value > 0 for value in positive) or min(rest) < 0:
            raise ValueError(f"hardware and model have positive figures: {self}")

    def decode_seconds(self, batch: float, context_tokens: float) -> float:
        """One step of `batch` requests that hold `context_tokens` each, no prompt beside them (tuning §2.2).

        max(W/(BW·e_w) + batch·ctx·kv/(BW·e_kv), 2·P·batch/(F·e_f)) + host + communication.
        """
        memory = self._weights_seconds + batch * context_tokens * self._kv_seconds
        return max(memory, batch * self._decode_seconds) + self.host_seconds + self.communication_seconds

    def tokens_per_second(self, batch: float, context_tokens: float) -> float:
        """Output tokens per second at this batch."""
        return batch / self.decode_seconds(batch, context_tokens)

    def prefill_seconds(self, tokens: float, cached_tokens: float = 0.0) -> float:
        """Computing a prompt of `tokens` of which `cached_tokens` are there: 2·P·N + 2·L·d·N² (tuning §2.4)."""
        new = max(0.0, tokens - cached_tokens)
        squares = tokens**2 - min(tokens, cached_tokens) ** 2
        operations = 2 * self.active_parameters * new + 2 * self.attention_width * squares
        return operations / (self.flops_per_second * self.efficiency.prefill)

    def prefill_token_seconds(self, tokens: float = 0.0) -> float:
        """Seconds per prompt token, mean over a prompt of this length."""
        operations = 2 * self.active_parameters + 2 * self.attention_width * tokens
        return operations / (self.flops_per_second * self.efficiency.prefill)

    def largest_chunk(self, itl_objective_seconds: float, batch: float, context_tokens: float) -> float:
        """Prompt tokens that a step can take beside decode before ITL passes its objective (tuning §2.4); 0: none."""
        left = itl_objective_seconds - self.decode_seconds(batch, context_tokens)
        return max(0.0, left / self.prefill_token_seconds())

    def step_models(self, prompt_tokens: float = 0.0) -> tuple[StepModel, StepModel]:
        """The step as linear models of which the slower one holds: bound by reading weights, and by arithmetic.

        Products of decode and of prompts go through the same weights at once, so one hides behind the other; KV reads
        come on top. `prompt_tokens`: mean length, for the square part. Give both to `predict.slowest`.
        """
        beside = self.host_seconds + self.communication_seconds
        by_bytes = StepModel(self._weights_seconds + beside, 0.0, 0.0, self._kv_seconds)
        by_arithmetic = StepModel(
            beside, self._decode_seconds, self.prefill_token_seconds(prompt_tokens), self._kv_seconds
        )
        return by_bytes, by_arithmetic

    @property
    def _weights_seconds(self) -> float:
        return self.weight_bytes / (self.bytes_per_second * self.efficiency.weights)

    @property
    def _kv_seconds(self) -> float:
        return self.kv_bytes_per_token / (self.bytes_per_second * self.efficiency.kv)

    @property
    def _decode_seconds(self) -> float:
        return 2 * self.active_parameters / (self.flops_per_second * self.efficiency.flops)


def ridge_batch(flops_per_second: float, bytes_per_second: float, bytes_per_weight: float = 2.0) -> float:
    """The batch from which decode is bound by arithmetic rather than by reading weights: F/BW·b/2 (tuning §2.2)."""
    return flops_per_second / bytes_per_second * bytes_per_weight / 2


def kappa(observed_seconds: float, roofline_seconds: float) -> float:
    """Observed ITL over what the roofline allows (tuning §2.2): to 1.5 healthy, above 2 host-bound or throttled [G]."""
    if not roofline_seconds > 0:
        raise ValueError("a step takes time")
    return observed_seconds / roofline_seconds
