"""A batch of k requests in its steady state: how fast it goes, how long prompts take, what KV it holds."""

import math
from dataclasses import dataclass

from recommender.sizing.load import EngineShape, StepModel, Workload

_ROUNDS = 200
_CLOSE = 1e-9
_EVEN = 0.2


@dataclass(frozen=True, slots=True)
class Batch:
    """`slots` requests that never lack a successor. Times in steps where not in seconds.

    `running` is below `slots` while a slot waits for the prompt budget.
    """

    slots: float
    running: float
    completions_per_step: float
    step_seconds: float
    prefill_steps: float
    prefill_wait_steps: float
    prompt_tokens_per_step: float
    budget_used: float  # share of the tokens that steps have for prompts

    @property
    def requests_per_second(self) -> float:
        """Completed requests per second."""
        return self.completions_per_step / self.step_seconds


@dataclass(frozen=True, slots=True)
class Recompute:
    """What preemption adds to a request: times, prompt tokens each time, and how many wait for room again."""

    times: float = 0.0
    tokens: float = 0.0
    waiting: float = 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest batch and what bounds it; `again` is what preemption costs while KV is full."""

    requests: float
    by: str
    again: Recompute


def largest_batch(shape: EngineShape, load: Workload) -> Limit:
    """The batch that slots or KV end.

    Raises ValueError where one request alone does not fit the KV cache, or its prompt an unchunked step.
    """
    each, shared = held_tokens(load, shape), shared_tokens(load, shape)
    if load.prompt_tokens + load.output_tokens > shape.kv_capacity_tokens:
        raise ValueError(
            f"a request of {load.prompt_tokens:g} + {load.output_tokens:g} tokens does not fit a KV cache of "
            f"{shape.kv_capacity_tokens:g}"
        )
    if not shape.chunked_prefill and load.computed_prompt_tokens > shape.max_batched_tokens:
        raise ValueError(
            f"a prompt of {load.computed_prompt_tokens:g} tokens does not fit a step of {shape.max_batched_tokens} "
            "and is not split: chunked prefill is off"
        )
    own = load.prompt_tokens - shared
    if shape.reserves_answers:
        each = load.prompt_tokens + load.output_tokens + (shape.block_size_tokens - 1) / 2
        own += load.output_tokens
    # What is free is too little for the next request: on average half of what it needs.
    room = shape.kv_capacity_tokens - own / 2
    low, high = 1.0, float(shape.max_running_requests)
    if kv_tokens(high, each, shared, load.prefix_groups) <= room:
        return Limit(high, "max_running_requests", Recompute())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kv_tokens(middle, each, shared, load.prefix_groups) <= room else (low, middle)
    return Limit(low, "kv_cache", Recompute() if shape.reserves_answers else _preemption(load, own))


def _preemption(load: Workload, own: float) -> Recompute:
    """What the newest requests suffer while KV is full.

    Between two completions the batch grows by one answer, and each preemption frees a prompt and the little that has
    been generated (a quarter of an answer, by the simulator). They wait for as many completions as they are preempted
    times, by the simulator.
    """
    times = load.output_tokens / (own + load.output_tokens / 4)
    return Recompute(times, own + load.output_tokens / 4, times**2)


def batch_of(
    slots: float, shape: EngineShape, step: StepModel, load: Workload, again: Recompute | None = None
) -> Batch:
    """The batch that `slots` requests make: decode needs steps, prompts share what it leaves of the token budget.

    The prompt budget is a server with one queue (Schweitzer's mean value analysis: who comes sees the queue of a
    system with one request less); work ahead delays a prompt by whole steps.
    """
    again = again or Recompute()
    tokens = load.computed_prompt_tokens + again.times * again.tokens
    passes = 1 + again.times
    decode = max(0.0, load.output_tokens - 1)
    others = max(0.0, (slots - 1) / slots)
    per_step = slots / (decode + passes)
    queue = 0.0
    steps = wait = used = 0.0
    for _ in range(_ROUNDS):
        budget = max(1.0, shape.max_batched_tokens - per_step * decode)
        service = _service(tokens / passes, budget, shape)
        used = min(1.0, per_step * passes * service)
        ahead = service * max(0.0, others * (queue - used / 2)) * _evenness(slots, used, load)
        alone = _chunks(tokens / passes, load.prompt_cv, budget, shape)
        # Behind other prompts it begins within a step, and so is spread over one more than it fills.
        steps = alone + used * others * max(0.0, 1 + service - alone) if shape.chunked_prefill else alone
        wait = max(0.0, alone + _whole_steps(service, ahead, used) - steps)
        new = min(slots / (decode + passes * (steps + wait)), 1 / (passes * service))
        wait = max(wait, (slots / new - decode) / passes - steps)
        queue = new * passes * (service + ahead)
        if abs(new - per_step) <= _CLOSE * per_step:
            per_step = new
            break
        per_step = (per_step + new) / 2
    running = min(slots, per_step * (decode + passes * steps))
    prompt = per_step * tokens
    held = running * held_tokens(load, shape, steps)
    return Batch(slots, running, per_step, step.seconds(running, prompt, held), steps, passes * wait, prompt, used)


def _evenness(slots: float, used: float, load: Workload) -> float:
    """What waits for the prompt budget, of what would after Poisson arrivals: (CV_a² + CV_s²)/(1 + CV_s²).

    The same slots come back in a closed loop, so prompts come more evenly; many slots hide that until the budget is
    nearly used up (Whitt's superposition of renewal processes, QNA 1983). How much more evenly, `_EVEN`, is fitted to
    the simulator. 1 in an open loop.
    """
    if load.clients is None:
        return 1.0
    weight = _EVEN / (1 + 4 * (1 - used) ** 2 * max(0.0, slots - 1))
    arrivals = weight * min(1.0, load.output_cv**2) + (1 - weight)
    return (arrivals + load.prompt_cv**2) / (1 + load.prompt_cv**2)


def _service(tokens: float, budget: float, shape: EngineShape) -> float:
    """Steps' worth of prompt budget that one prompt takes."""
    if shape.chunked_prefill:
        return tokens / budget
    return 1 / max(1.0, math.floor(budget / tokens))


def _chunks(tokens: float, cv: float, budget: float, shape: EngineShape) -> float:
    """Mean number of steps that compute a prompt alone: whole steps, over lengths spread evenly with this cv."""
    if not shape.chunked_prefill:
        return 1.0
    spread = min(1.0, math.sqrt(3) * cv)
    if tokens * (1 + spread) <= budget:
        return 1.0
    points = 16
    return (
        math.fsum(
            max(1, math.ceil(tokens * (1 + spread * (2 * (index + 0.5) / points - 1)) / budget - _CLOSE))
            for index in range(points)
        )
        / points
    )


def _whole_steps(service: float, ahead: float, used: float) -> float:
    """Mean delay in whole steps by the work ahead, which is there with probability `used` and then exponential."""
    if ahead <= 0 or used <= 0:
        return 0.0
    mean = ahead / used
    return used * math.exp(-(math.ceil(service - _CLOSE) - service) / mean) / -math.expm1(-1 / mean)


def held_tokens(load: Workload, shape: EngineShape, prefill_steps: float = 1.0) -> float:
    """KV tokens in the blocks that a running request holds, mean over its life of prefill_steps + output - 1 steps.

    A step holds the blocks of all tokens that it computes. E[output²] gives long answers their longer stay.
    """
    decode = load.output_tokens - 1
    square = load.output_tokens**2 * (1 + load.output_cv**2)
    cached = load.prompt_tokens - load.computed_prompt_tokens
    prefill = prefill_steps * cached + load.computed_prompt_tokens * (prefill_steps + 1) / 2
    generated = (square - load.output_tokens) / 2
    mean = (prefill + decode * load.prompt_tokens + generated) / (prefill_steps + decode)
    return mean + (shape.block_size_tokens - 1) / 2


def shared_tokens(load: Workload, shape: EngineShape) -> float:
    """Prompt tokens whose blocks requests of one group hold together; 0 where groups are unknown."""
    if load.prefix_groups is None:
        return 0.0
    shared = load.prompt_tokens - load.computed_prompt_tokens
    return math.floor(shared / shape.block_size_tokens + _CLOSE) * shape.block_size_tokens


def kv_tokens(running: float, each: float, shared: float, groups: int | None) -> float:
    """KV tokens of `running` requests; a beginning is held once by all requests of its group."""
    if groups is None or shared <= 0:
        return running * each
    present = groups * -math.expm1(running * math.log1p(-1 / groups)) if groups > 1 else min(1.0, running)
    return running * (each - shared) + present * shared
