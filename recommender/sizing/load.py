"""What `predict` is given and what it gives: an engine's shape and step, a load, and the steady state of the two."""

import math
from dataclasses import dataclass

from recommender.sizing.percentiles import FirstToken


@dataclass(frozen=True, slots=True)
class StepModel:
    """Seconds that one step of the engine takes: alpha + beta·requests + gamma·prompt tokens + eta·KV tokens held.

    tuning §2.3 (alpha, beta and the context term, here eta), §2.4 (gamma, "t_pf_token"). `eta_seconds` 0: unknown, or
    contained in beta.
    """

    alpha_seconds: float
    beta_seconds: float
    gamma_seconds: float = 0.0
    eta_seconds: float = 0.0

    def __post_init__(self) -> None:
        terms = (self.alpha_seconds, self.beta_seconds, self.gamma_seconds, self.eta_seconds)
        if not all(math.isfinite(term) and term >= 0 for term in terms) or self.alpha_seconds + self.beta_seconds <= 0:
            raise ValueError(f"a step takes time, and none of its terms is negative; not {self}")

    def seconds(self, requests: float, prompt_tokens: float = 0.0, kv_tokens: float = 0.0) -> float:
        """Duration of a step with this much in it."""
        return (
            self.alpha_seconds
            + self.beta_seconds * requests
            + self.gamma_seconds * prompt_tokens
            + self.eta_seconds * kv_tokens
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """What one replica is asked for: mean lengths in tokens and either an arrival rate or a number of clients.

    `clients` ask again as soon as they are answered (closed loop). `prefix_hit_ratio`: share of prompt tokens that are
    not computed because the cache has them. `*_cv`: standard deviation over mean of a length. `prefix_groups`: how
    many different beginnings the prompts have; None: so many that requests hardly share KV blocks at one time.
    """

    prompt_tokens: float
    output_tokens: float
    arrivals_per_second: float | None = None
    clients: float | None = None
    prefix_hit_ratio: float = 0.0
    prompt_cv: float = 0.0
    output_cv: float = 0.0
    prefix_groups: int | None = None

    def __post_init__(self) -> None:
        if (self.arrivals_per_second is None) == (self.clients is None):
            raise ValueError("a load is either an arrival rate or a number of clients")
        if not (self.prompt_tokens >= 1 and self.output_tokens >= 1 and 0 <= self.prefix_hit_ratio <= 1):
            raise ValueError(f"a request has at least one prompt and one output token and a hit ratio of 0-1: {self}")
        load = self.clients if self.arrivals_per_second is None else self.arrivals_per_second
        if load is None or not (math.isfinite(load) and load > 0):
            raise ValueError(f"a load is above zero: {self}")
        if not (0 <= self.prompt_cv < math.inf and 0 <= self.output_cv < math.inf):
            raise ValueError(f"lengths vary by a finite share: {self}")
        if self.prefix_groups is not None and self.prefix_groups < 1:
            raise ValueError(f"there is at least one beginning: {self}")

    @property
    def computed_prompt_tokens(self) -> float:
        """Prompt tokens of a request that a step has to compute: at least one, to sample the next token from."""
        return max(1.0, self.prompt_tokens * (1 - self.prefix_hit_ratio))


@dataclass(frozen=True, slots=True)
class EngineShape:
    """The limits of one replica's scheduler. `kv_capacity_tokens` is what requests can hold, in tokens.

    `chunked_prefill` False: a prompt is computed in one step or waits. `reserves_answers`: a request is let in only
    when all of its answer fits (TensorRT-LLM's guaranteed_no_evict), so nothing is ever preempted.
    """

    max_running_requests: int
    max_batched_tokens: int
    kv_capacity_tokens: float
    block_size_tokens: int = 16
    chunked_prefill: bool = True
    reserves_answers: bool = False

    def __post_init__(self) -> None:
        if min(self.max_running_requests, self.max_batched_tokens, self.block_size_tokens) < 1:
            raise ValueError(f"an engine runs at least one request of one token: {self}")
        if not (math.isfinite(self.kv_capacity_tokens) and self.kv_capacity_tokens > 0):
            raise ValueError(f"an engine has a KV cache: {self}")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Steady state of one replica. Means over time unless named otherwise.

    `waiting` and both TTFT are None where the queue grows without bound. `kv_tokens` counts whole blocks, as engines
    do. `itl_mean_seconds` is over tokens. `limited_by`: "arrivals", "clients", "max_running_requests",
    "max_batched_tokens" or "kv_cache". `first_token` is what TTFT is made of (None where it grows), `pause_seconds`
    what preemption adds to the mean ITL, `itl_p95_between` the 95th percentile with fewer and with more prompts in a
    step: from them `ranges` says how certain latencies are.
    """

    running: float
    waiting: float | None
    kv_usage_ratio: float
    kv_tokens: float
    tokens_per_second: float
    requests_per_second: float
    ttft_p50_seconds: float | None
    ttft_p95_seconds: float | None
    itl_mean_seconds: float
    itl_p95_seconds: float
    preemptions_per_request: float
    limited_by: str
    first_token: FirstToken | None = None
    pause_seconds: float = 0.0
    itl_p95_between: tuple[float, float] = (0.0, 0.0)
