"""The next value of what a step, a request or a pool may hold: token budget, context, admission, offload.

Formulas: tuning P05 no. 2 and 3, P02 no. 6 and 10, P04 no. 2, P09 no. 5, P16; a step is at most x2 (tuning §3).
"""

import math
from collections.abc import Callable

from recommender.sizing.result import NotApplicable, Sized
from recommender.sizing.steps import MAX_STEP_RATIO


def lower_token_budget(
    old: int,
    *,
    itl_seconds: float | None,
    itl_objective_seconds: float | None,
    minimum: int,
    maximum: int,
    legal: Callable[[float], int],
    max_running_requests: int | None = None,
    computed_tokens: float | None = None,
    step: float = MAX_STEP_RATIO,
) -> Sized | NotApplicable:
    """A smaller token budget of a step (P05 no. 2): clamp(pow2_floor(old·objective/ITL), 512, 8192), at least old/2.

    `computed_tokens` is what a step with a whole prompt computes (None: unknown). A budget far above it bounds nothing,
    and halving that would change nothing: half of what steps compute, down to a power of two, is the least then.

    `itl_seconds` is the tail that is too long (p99, or p95 where no p99 is known). A budget below the batch limit is
    refused by vLLM, so it is not gone below.
    """
    if itl_seconds is None or itl_objective_seconds is None:
        return NotApplicable("ITL or its objective is unknown: how much smaller the budget has to be cannot be said")
    if itl_seconds <= itl_objective_seconds:
        return NotApplicable("ITL keeps its objective: a smaller budget would only delay first tokens")
    acts = old if computed_tokens is None else min(old, computed_tokens)
    wanted = pow2_floor(acts * itl_objective_seconds / itl_seconds)
    halved = math.ceil(old / step) if acts == old else pow2_floor(acts / step)
    least = max(halved, max_running_requests or 1)
    new = legal(max(min(max(wanted, minimum), maximum), least))
    if not 0 < new < old or new < least:
        return NotApplicable(f"a budget of {old} tokens is as small as it may be (at least {max(least, minimum)})")
    return Sized(
        new,
        f"max(clamp(pow2_floor({'old' if acts == old else 'what a step computes'}·itl_objective/itl = "
        f"{acts * itl_objective_seconds / itl_seconds:.4g}) = {wanted}, "
        f"{minimum}, {maximum}), {least}) = {new}",
        {"old": float(old), "itl_seconds": itl_seconds, "itl_objective_seconds": itl_objective_seconds},
    )


def raise_token_budget(
    old: int, *, maximum: int, legal: Callable[[float], int], step: float = MAX_STEP_RATIO
) -> Sized | NotApplicable:
    """A larger token budget of a step (P05 no. 3): pow2_floor(2·old), at most 8192."""
    new = legal(min(pow2_floor(step * old), maximum))
    if new <= old:
        return NotApplicable(f"a budget of {old} tokens is at its useful limit of {maximum} (tuning P05 no. 3)")
    return Sized(new, f"min(pow2_floor({step:g}·old), {maximum}) = {new}", {"old": float(old)})


def lower_context(
    old: int,
    *,
    longest_request_tokens: float | None,
    headroom: float,
    quantum: int,
    slots: int = 1,
    step: float = MAX_STEP_RATIO,
) -> Sized | NotApplicable:
    """A smaller context where the engine allocates it ahead (P02 no. 6): 1.25·longest request, up to 1024s.

    `slots` is 1 for a limit of each request, else how many requests share `old`. At least half of `old` remains.
    """
    if longest_request_tokens is None:
        return NotApplicable("how long the longest requests are is unknown: a shorter context might refuse them")
    needed = slots * math.ceil(headroom * longest_request_tokens / quantum) * quantum
    least = math.ceil(old / step / quantum) * quantum
    new = max(needed, least)
    if new >= old:
        return NotApplicable(f"{headroom:g} times the longest request needs {needed} tokens, and the context is {old}")
    return Sized(
        new,
        f"max({slots}·{headroom:g}·longest request, up to {quantum}s = {needed}, old/{step:g} = {least}) = {new}",
        {"old": float(old), "longest_request_tokens": longest_request_tokens, "slots": float(slots)},
    )


def step_towards(old: float, target: float, *, step: float = MAX_STEP_RATIO) -> Sized | NotApplicable:
    """`target`, or as far towards it as one step goes; two decimals. For settings without a unit (P02, P04 no. 2)."""
    if old <= 0:
        return NotApplicable(f"{old:g} is not a positive value to step from")
    new = round(max(target, old / step) if target < old else min(target, old * step), 2)
    if new == round(old, 2):
        return NotApplicable(f"it is {old:g} already")
    return Sized(new, f"towards {target:g}, by at most a factor of {step:g} = {new:g}", {"old": old, "target": target})


def offload_bytes(
    *,
    unique_tokens_per_second: float | None,
    reuse_window_seconds: float,
    kv_bytes_per_token: float | None,
    host_available_bytes: float | None,
    host_share: float,
    quantum: int = 2**30,
) -> Sized | NotApplicable:
    """Host memory for KV that is asked again (P02 no. 10, P09 no. 5): min(window·unique tokens/s·kv_B, 0.7·available).

    Down to whole GiB. `kv_bytes_per_token` is of all GPUs of a replica together.
    """
    if unique_tokens_per_second is None or kv_bytes_per_token is None:
        return NotApplicable("bytes of a KV token, or new prompt tokens per second, are unknown")
    if host_available_bytes is None:
        return NotApplicable("available host memory is unknown: a pinned pool could take what the host needs")
    wanted = reuse_window_seconds * unique_tokens_per_second * kv_bytes_per_token
    most = host_share * host_available_bytes
    new = math.floor(min(wanted, most) / quantum) * quantum
    if new <= 0:
        return NotApplicable(
            f"{wanted / 2**30:.2g} GiB would be used and {most / 2**30:.2g} GiB of host memory may be: less than one"
        )
    return Sized(
        new,
        f"min({reuse_window_seconds:g} s·{unique_tokens_per_second:.4g} tokens/s·kv_B = {wanted / 2**30:.3g} GiB, "
        f"{host_share:g}·available = {most / 2**30:.3g} GiB) = {new / 2**30:.0f} GiB",
        {
            "unique_tokens_per_second": unique_tokens_per_second,
            "kv_bytes_per_token": kv_bytes_per_token,
            "host_available_bytes": host_available_bytes,
        },
    )


def pow2_floor(value: float) -> int:
    """The largest power of two at or below `value`; 0 below one."""
    return 0 if value < 1 else 1 << (math.floor(value).bit_length() - 1)
