"""How many replicas a load needs (tuning §2.5): by Little's law, by tokens, by objectives, and for two pools."""

import math
from collections.abc import Callable
from dataclasses import replace

from recommender.sizing.load import EngineShape, StepModel, Workload
from recommender.sizing.predict import predict
from recommender.sizing.result import NotApplicable, Sized

UTILIZATION = 0.70  # tuning §2.5: what replicas are planned to be used at
_MOST = 10_000


def replicas_by_little(
    arrivals_per_second: float | None,
    seconds_per_request: float | None,
    slots: float | None,
    *,
    utilization: float = UTILIZATION,
) -> Sized | NotApplicable:
    """ceil(lambda·(t_prefill + OSL·ITL)/(rho·C)): arrivals at the peak, a request's time in the batch, its slots."""
    if arrivals_per_second is None or seconds_per_request is None or slots is None:
        return NotApplicable("the arrival rate, a request's time in the engine or the batch limit is unknown")
    if min(seconds_per_request, slots, utilization) <= 0 or arrivals_per_second < 0:
        return NotApplicable("rates are not negative; times, slots and utilization are above zero")
    value = max(1, math.ceil(arrivals_per_second * seconds_per_request / (utilization * slots) - 1e-9))
    return Sized(
        value,
        f"ceil({arrivals_per_second:g}·{seconds_per_request:.4g}/({utilization:g}·{slots:g})) = {value}",
        {"arrivals_per_second": arrivals_per_second, "seconds_per_request": seconds_per_request, "slots": slots},
    )


def replicas_by_tokens(tokens_per_second: float | None, each: float | None) -> Sized | NotApplicable:
    """ceil(lambda·OSL/thr): tokens that are asked for, over those that one replica makes at its planned batch."""
    if tokens_per_second is None or each is None or each <= 0 or tokens_per_second < 0:
        return NotApplicable("the tokens that are asked for or those that a replica makes are unknown")
    value = max(1, math.ceil(tokens_per_second / each - 1e-9))
    return Sized(
        value,
        f"ceil({tokens_per_second:g}/{each:g}) = {value}",
        {"tokens_per_second": tokens_per_second, "tokens_per_second_of_a_replica": each},
    )


def replicas_for_objectives(
    shape: EngineShape,
    step: StepModel,
    load: Workload,
    *,
    ttft_p95_seconds: float | None = None,
    itl_p95_seconds: float | None = None,
    utilization: float = UTILIZATION,
) -> Sized | NotApplicable:
    """The fewest replicas that share the arrivals evenly, each below `utilization` of its limit and in its objectives.

    `load.arrivals_per_second` is that of all replicas. The limit is the rate from which a queue grows.
    """
    arrivals = load.arrivals_per_second
    if arrivals is None:
        return NotApplicable("clients that wait for their answers never overload a service; give an arrival rate")
    most = predict(shape, step, replace(load, arrivals_per_second=None, clients=1e6)).requests_per_second
    first = max(1, math.ceil(arrivals / (utilization * most) - 1e-9))

    def meets(replicas: int) -> bool:
        found = predict(shape, step, replace(load, arrivals_per_second=arrivals / replicas))
        fast = ttft_p95_seconds is None or (
            found.ttft_p95_seconds is not None and found.ttft_p95_seconds <= ttft_p95_seconds
        )
        return fast and (itl_p95_seconds is None or found.itl_p95_seconds <= itl_p95_seconds)

    found = first if meets(first) else _first_that(meets, first)
    if found is None:
        return NotApplicable("not even a replica with hardly any load meets the objectives: it takes another change")
    return Sized(
        found,
        f"the fewest replicas of at most {utilization:g}·{most:.3g} requests/s each that meet the objectives",
        {"arrivals_per_second": arrivals, "requests_per_second_of_a_replica": most},
    )


def _first_that(meets: Callable[[int], bool], low: int) -> int | None:
    """The least number above `low` for which it holds: doubling, then halving the gap. It stays true once it is."""
    high = 2 * low
    while not meets(high):
        low, high = high, 2 * high
        if low > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high


def prefill_pool(
    arrivals_per_second: float,
    prompt_tokens: float,
    tokens_per_second_per_gpu: float,
    gpus_per_replica: int = 1,
    *,
    correction: float = 1.0,
) -> Sized:
    """Replicas that only compute prompts: ceil(lambda·ISL·min(1, corr)/thr_p/gpus); corr is actual over expected."""
    value = max(
        1,
        math.ceil(
            arrivals_per_second * prompt_tokens * min(1.0, correction) / tokens_per_second_per_gpu / gpus_per_replica
            - 1e-9
        ),
    )
    return Sized(
        value,
        f"ceil({arrivals_per_second:g}·{prompt_tokens:g}·min(1, {correction:g})/{tokens_per_second_per_gpu:g}/"
        f"{gpus_per_replica}) = {value}",
        {"arrivals_per_second": arrivals_per_second, "prompt_tokens": prompt_tokens},
    )


def decode_pool(
    arrivals_per_second: float, output_tokens: float, tokens_per_second_per_gpu: float, gpus_per_replica: int = 1
) -> Sized:
    """Replicas that only decode: ceil(lambda·OSL/thr_d/gpus), thr_d at the ITL objective and ISL + OSL/2 of context."""
    value = max(1, math.ceil(arrivals_per_second * output_tokens / tokens_per_second_per_gpu / gpus_per_replica - 1e-9))
    return Sized(
        value,
        f"ceil({arrivals_per_second:g}·{output_tokens:g}/{tokens_per_second_per_gpu:g}/{gpus_per_replica}) = {value}",
        {"arrivals_per_second": arrivals_per_second, "output_tokens": output_tokens},
    )
