"""Latency quantiles from the parts of a steady state: the queue, the step in progress, the prompt, its neighbours.

Approximations where means are exact enough to size by: waits in the queue are exponential given that there is one,
prompts in a step are Poisson, lengths are spread evenly with their cv.
"""

import math
from dataclasses import dataclass, replace

# What a quantile of the model may turn out to be of what happens.
_BETWEEN = {0.50: (0.38, 0.62), 0.95: (0.91, 0.97)}
_EVEN_WAIT = 0.6  # of the mean wait for the token budget, where prompts come more evenly
_SPREAD = 2.0  # how much more, or less, a queue that is always there may be spread than it is taken to be


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
    step_seconds: float = 0.0  # one step without prompt tokens


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


def ttft_between(parts: FirstToken, quantile: float) -> tuple[float, float]:
    """Where the quantile (0.5 or 0.95) may lie, seconds: by its neighbours, and by what is approximated here.

    A queue that is always there may be half or twice as spread; waits for the token budget may be even, or
    exponential; who comes to an engine that is seldom busy may find a whole step in progress.
    """
    under, over = _BETWEEN[quantile]
    narrow = _SPREAD if under < 0.5 else 1 / _SPREAD  # noqa: PLR2004 - below the median what is spread is earlier
    low = replace(
        parts, queue_cv=_times(parts.queue_cv, narrow), contention_seconds=_EVEN_WAIT * parts.contention_seconds
    )
    found = parts.in_progress_seconds
    if parts.queue_cv is None:
        found = max(found, parts.step_seconds + parts.token_seconds * parts.prompt_tokens)
    high = replace(
        parts,
        queue_cv=_times(parts.queue_cv, _SPREAD),
        contention_seconds=max(1.0, -math.log(1 - over) / 2) * parts.contention_seconds,
        in_progress_seconds=found,
    )
    return min(ttft(low, under), ttft(parts, quantile)), max(ttft(high, over), ttft(parts, quantile))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _queue(parts: FirstToken, quantile: float) -> float:
    beyond = 1 - quantile
    if parts.queue_probability <= beyond:
        return 0.0
    if parts.queue_cv is None:
        return parts.queue_seconds * -math.log(beyond / parts.queue_probability)
    return max(0.0, parts.queue_seconds * (1 + parts.queue_cv * _normal_quantile(quantile)))


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
