"""Latency quantiles from the parts of a steady state: the queue, the step in progress, the prompt, its neighbours.

Approximations where means are exact enough to size by: waits in the queue are exponential given that there is one,
prompts in a step are Poisson, lengths are spread evenly with their cv.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What lies before a request's first token, seconds and tokens.

    `queue_probability` and `queue_seconds`: the chance to wait for a slot or KV, and how long those who do wait.
    `queue_cv`: spread of that wait around its mean; None for a queue that comes and goes: then it is exponential.
    `in_progress_seconds`: the step that an arrival
    has to let end. `contention_seconds`: mean wait for other prompts' share of the token budget.
    """

    queue_probability: float
    queue_seconds: float
    queue_cv: float | None
    in_progress_seconds: float
    contention_seconds: float
    steps_seconds: float  # the steps of the prompt without prompt tokens
    prompt_tokens: float  # that are computed
    prompt_cv: float
    prompts_per_step: float
    token_seconds: float


def ttft(parts: FirstToken, quantile: float) -> float:
    """The quantile of time to first token, seconds."""
    queue = _queue(parts, quantile)
    # Who waits long in the queue is not the one with the longest prompt: quantiles do not add up. And who does not
    # wait is a lower quantile of all than of those who do not.
    waits = parts.queue_probability > 1 - quantile
    rest = 0.5 if waits else min(0.99, quantile / (1 - parts.queue_probability))
    neighbours = poisson_quantile(parts.prompts_per_step, rest)
    tokens = spread_quantile(parts.prompt_tokens, parts.prompt_cv, rest) + neighbours * parts.prompt_tokens
    return (
        queue
        + rest * parts.in_progress_seconds
        + 2 * rest * parts.contention_seconds
        + parts.steps_seconds
        + parts.token_seconds * tokens
    )


def _queue(parts: FirstToken, quantile: float) -> float:
    beyond = 1 - quantile
    if parts.queue_probability <= beyond:
        return 0.0
    if parts.queue_cv is None:
        return parts.queue_seconds * -math.log(beyond / parts.queue_probability)
    return parts.queue_seconds * (1 + parts.queue_cv * _normal_quantile(quantile))


def step_tokens_quantile(
    prompt_tokens: float, prompt_cv: float, prompts_per_step: float, budget: float, quantile: float
) -> float:
    """Prompt tokens in a step at this quantile: none, one prompt by its length, or several."""
    prompts = poisson_quantile(prompts_per_step, quantile)
    if prompts == 0:
        return 0.0
    if prompts > 1:
        return min(budget, prompts * prompt_tokens)
    with_prompt = -math.expm1(-prompts_per_step)
    within = max(0.0, 1 - (1 - quantile) / with_prompt)
    return min(budget, spread_quantile(prompt_tokens, prompt_cv, within))


def spread_quantile(mean: float, cv: float, quantile: float) -> float:
    """Quantile of a length that is spread evenly around its mean, never below zero."""
    return max(0.0, mean * (1 + math.sqrt(3) * cv * (2 * quantile - 1)))


def poisson_quantile(mean: float, quantile: float) -> int:
    """The smallest count that a Poisson variable does not exceed with this probability."""
    if mean > 100:  # noqa: PLR2004 - normal from there on, and exp(-mean) stays away from zero
        return math.ceil(mean + math.sqrt(mean) * _normal_quantile(quantile))
    count, term = 0, math.exp(-mean)
    total = term
    while total < quantile - 1e-12 and count < 1000:  # noqa: PLR2004 - far above a mean of 100
        count += 1
        term *= mean / count
        total += term
    return count


def _normal_quantile(quantile: float) -> float:
    """Logistic approximation of the standard normal quantile, within 0.1 between 0.01 and 0.99."""
    return math.log(quantile / (1 - quantile)) / 1.702
