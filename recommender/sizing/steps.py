"""The next value of a knob: from what is observed to one step that is capped, legal and fits.

Formulas: tuning §2.1 (concurrency from memory), §2.5 (Little), P02, P04, P05, P06; a step is at most x2, or +0.03 of
device memory (tuning §3), and may be wider as `StepRule` says.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from recommender.sizing.latency import LinearItl
from recommender.sizing.result import NotApplicable, Sized

# Defaults of what `recommender.inventory.tuning` lets a site choose.
MAX_STEP_RATIO = 2.0  # tuning §3, change-size cap
WIDE_STEP_RATIO = 4.0  # of the batch limit, where memory is ample
WIDE_STEP_FREE_KV = 0.5  # what is ample: share of the KV capacity that stays free after the step
MAX_MEMORY_STEP = 0.03  # of device memory; tuning §3
MAX_MEMORY_FRACTION = 0.95  # P02 no. 4
MEMORY_RESERVE_BYTES = 3.0 * 2**30  # P02 no. 4: what graph capture and the driver may still take
KV_FILL_WHEN_RAISING = 0.85  # P04 no. 1
KV_FILL_WHEN_LOWERING = 0.95  # P02 no. 5
KV_FILL_OF_GATEWAY = 0.9  # P02 no. 1
ITL_HEADROOM = 1.2  # P04 no. 1: the model's mean against a p95 objective
SCALE_OUT_KV_USAGE = 0.70  # P02 no. 3
SCALE_OUT_UTILIZATION = 0.75  # P03 no. 2
BACKLOG_SECONDS = 300.0  # [G]: in which more replicas are to work off what waits now


@dataclass(frozen=True, slots=True)
class StepRule:
    """How far one change may go: `max_ratio` times the old value, up or down.

    A batch limit may go up `wide_ratio` times, while `wide_free_kv` of the KV capacity stays free after it.
    """

    max_ratio: float = MAX_STEP_RATIO
    wide_ratio: float = WIDE_STEP_RATIO
    wide_free_kv: float = WIDE_STEP_FREE_KV


_RULE = StepRule()


def tokens_per_request(kv_usage: float | None, kv_capacity_tokens: float | None, running: float | None) -> float | None:
    """KV tokens that one running request holds, on average: tau = usage·capacity / running (tuning §2.1)."""
    if kv_usage is None or kv_capacity_tokens is None or running is None or running <= 0:
        return None
    tau = kv_usage * kv_capacity_tokens / running
    return tau if tau > 0 else None


def raise_max_running(
    old: int,
    *,
    kv_capacity_tokens: float | None,
    tokens_held_per_request: float | None,
    legal: Callable[[float], int],
    itl: LinearItl | None = None,
    itl_objective_seconds: float | None = None,
    itl_p95_seconds: float | None = None,
    max_batched_tokens: int | None = None,
    fill: float = KV_FILL_WHEN_RAISING,
    headroom: float = ITL_HEADROOM,
    rule: StepRule = _RULE,
) -> Sized | NotApplicable:
    """A higher batch limit (P04 no. 1): min(0.85·capacity/tau, (ITL objective/1.2 - alpha)/beta, step), legal.

    `legal` gives the highest legal value at or below its argument. The step is 2·old; or up to 4·old, as far as half
    of the KV capacity stays free and ITL is known to stay within its objective: by the fitted model, or because it
    grows at most in proportion to the batch. Without a fitted model the ITL bound is unknown: it permits nothing, and
    the step cap limits the risk. vLLM wants max_batched_tokens >= the batch limit.
    """
    if kv_capacity_tokens is None or tokens_held_per_request is None or tokens_held_per_request <= 0:
        return NotApplicable("KV capacity or the KV tokens that a request holds are unknown: it might not fit")
    slots = kv_capacity_tokens / tokens_held_per_request
    bounds = {f"{fill:g}·kv_capacity_tokens/tokens_per_request": float(math.floor(fill * slots))}
    inputs = {
        "old": float(old),
        "kv_capacity_tokens": kv_capacity_tokens,
        "tokens_per_request": tokens_held_per_request,
    }
    certain: float | None = None  # the batch at which ITL is surely within its objective
    note = "; the ITL bound is unknown (no fitted model), so the step cap stands in for it"
    if itl is not None and itl_objective_seconds is not None:
        certain = itl.batch_for(itl_objective_seconds / headroom)
        bounds[f"(itl_objective/{headroom:g} - alpha)/beta"] = certain
        inputs |= {
            "itl_objective_seconds": itl_objective_seconds,
            "alpha_seconds": itl.alpha_seconds,
            "beta_seconds": itl.beta_seconds,
        }
        note = ""
    elif itl_objective_seconds is not None and itl_p95_seconds:
        certain = old * itl_objective_seconds / itl_p95_seconds
        inputs |= {"itl_objective_seconds": itl_objective_seconds, "itl_p95_seconds": itl_p95_seconds}
    if max_batched_tokens is not None:
        bounds["max_batched_tokens"] = float(max_batched_tokens)
        inputs["max_batched_tokens"] = float(max_batched_tokens)
    name, step = _step_up(old, slots, certain, rule)
    if note and step > rule.max_ratio * old:
        note = "; without a fitted model ITL is taken to grow in proportion to the batch, which is the most"
    bounds = {name: step, **bounds}
    binding = min(bounds, key=lambda name: bounds[name])
    new = legal(max(0.0, bounds[binding]))
    if new <= old:
        return NotApplicable(f"{binding} = {bounds[binding]:.4g} leaves no legal value above {old}")
    terms = ", ".join(f"{name} = {bound:.4g}" for name, bound in bounds.items())
    return Sized(new, f"min({terms}), down to a legal value = {new}{note}", inputs)


def _step_up(old: int, slots: float, certain: float | None, rule: StepRule) -> tuple[str, float]:
    """The step's bound and its name; `slots` are those that KV has room for now."""
    usual = rule.max_ratio * old
    if certain is None:
        return f"{rule.max_ratio:g}·old", usual
    room = math.floor((1 - rule.wide_free_kv) * slots)
    wide = min(rule.wide_ratio * old, float(room), certain)
    if wide <= usual:
        return f"{rule.max_ratio:g}·old", usual
    free = f"{100 * rule.wide_free_kv:g} % of KV free: {room}"
    return f"wide step min({rule.wide_ratio:g}·old, {free}, ITL within its objective: {certain:.4g})", wide


def lower_max_running(
    old: int,
    *,
    kv_capacity_tokens: float | None,
    tokens_held_per_request: float | None,
    running: float | None,
    fill: float = KV_FILL_WHEN_LOWERING,
    rule: StepRule = _RULE,
) -> Sized | NotApplicable:
    """A lower batch limit that KV can hold (P02 no. 5): floor(0.95·capacity/tau), at least 1.

    The step is at most /2 of what actually runs: a limit far above the real batch limits nothing, and halving only
    that number would change nothing.
    """
    if kv_capacity_tokens is None or tokens_held_per_request is None or tokens_held_per_request <= 0:
        return NotApplicable("KV capacity or the KV tokens that a request holds are unknown: what fits cannot be said")
    if running is None or running <= 0:
        return NotApplicable("how many requests run is unknown, or none does: the size of the step cannot be limited")
    fits = math.floor(fill * kv_capacity_tokens / tokens_held_per_request)
    least = math.ceil(min(float(old), running) / rule.max_ratio)
    new = max(1, fits, least)
    if new >= old:
        return NotApplicable(f"{fill:g}·kv_capacity_tokens/tokens_per_request = {fits} is not below {old}")
    return Sized(
        new,
        f"max({fill:g}·kv_capacity_tokens/tokens_per_request = {fits}, {_part(rule)} of what runs = {least}, 1) = "
        f"{new}",
        {
            "old": float(old),
            "kv_capacity_tokens": kv_capacity_tokens,
            "tokens_per_request": tokens_held_per_request,
            "running": running,
        },
    )


def lower_max_running_for_itl(
    old: int,
    *,
    running: float | None,
    itl: LinearItl | None,
    itl_objective_seconds: float | None,
    headroom: float = ITL_HEADROOM,
    rule: StepRule = _RULE,
) -> Sized | NotApplicable:
    """A lower batch limit at which ITL keeps its objective (P06 no. 2): floor((objective/1.2 - alpha)/beta).

    The step is at most /2 of what runs. A batch that is small enough already is not why ITL is long.
    """
    if itl is None or itl_objective_seconds is None:
        return NotApplicable("ITL as a function of the batch, or its objective, is unknown: the limit cannot be sized")
    if running is None:
        return NotApplicable("how many requests run is unknown: the size of the step cannot be limited")
    fits = itl.batch_for(itl_objective_seconds / headroom)
    if fits >= running:
        return NotApplicable(
            f"by the fitted model {min(fits, 1e6):.4g} requests keep the ITL objective and {running:.4g} run: the "
            "batch is not why ITL is long"
        )
    if fits < 1:
        return NotApplicable(f"one request alone takes {itl.alpha_seconds:.3g} s a token: no batch keeps the objective")
    least = math.ceil(min(float(old), running) / rule.max_ratio)
    new = max(1, math.floor(fits), least)
    if new >= old:
        return NotApplicable(f"(itl_objective/{headroom:g} - alpha)/beta = {fits:.4g} is not below {old}")
    return Sized(
        new,
        f"max((itl_objective/{headroom:g} - alpha)/beta = {fits:.4g}, {_part(rule)} of what runs = {least}, 1) = {new}",
        {
            "old": float(old),
            "running": running,
            "itl_objective_seconds": itl_objective_seconds,
            "alpha_seconds": itl.alpha_seconds,
            "beta_seconds": itl.beta_seconds,
        },
    )


def _part(rule: StepRule) -> str:
    return "half" if rule.max_ratio == MAX_STEP_RATIO else f"1/{rule.max_ratio:g}"


def raise_memory_fraction(
    old: float,
    *,
    free_bytes: float | None,
    used_ratio: float | None,
    reserve_bytes: float = MEMORY_RESERVE_BYTES,
    most: float = MAX_MEMORY_FRACTION,
    step: float = MAX_MEMORY_STEP,
) -> Sized | NotApplicable:
    """A larger share of device memory for the engine (P02 no. 4): min(0.95, f + (free - 3 GiB)/M, f + 0.03).

    M, the device's memory, is free/(1 - used ratio). The same step holds for engines whose share is of what is left
    after the weights: their f counts less memory, so it fits the more.
    """
    if free_bytes is None or used_ratio is None or not 0 <= used_ratio < 1:
        return NotApplicable("free device memory is unknown: raising the share could end the engine at start")
    reserve = f"{reserve_bytes / 2**30:g} GiB"
    if free_bytes <= reserve_bytes:
        return NotApplicable(f"{free_bytes / 2**30:.1f} GiB of device memory are free, within the {reserve} reserve")
    total = free_bytes / (1 - used_ratio)
    room = old + (free_bytes - reserve_bytes) / total
    exact = min(most, room, old + step)
    new = math.floor(exact * 1000 + 1e-6) / 1000
    if new - old < 0.005:  # noqa: PLR2004 - less would not be worth a restart
        return NotApplicable(
            f"{free_bytes / 2**30:.1f} GiB of device memory are free: above the {reserve} reserve and the limit of "
            f"{most:g} there is no room to raise {old:g}"
        )
    return Sized(
        new,
        f"min({most:g}, f + (free - {reserve})/M = {room:.3f}, f + {step:g} = {old + step:.3f}) = {new:g}",
        {"old": old, "free_bytes": free_bytes, "device_bytes": total},
    )


def replicas_for_kv(
    replicas: float | None, kv_usage: float | None, *, target: float = SCALE_OUT_KV_USAGE
) -> Sized | NotApplicable:
    """Replicas that bring mean KV usage to 0.70 (P02 no. 3): ceil(N·usage/0.70)."""
    if replicas is None or kv_usage is None:
        return NotApplicable("the number of replicas or their KV usage is unknown")
    exact = replicas * kv_usage / target
    if not math.isfinite(exact):
        return NotApplicable("so many replicas, or so much KV, cannot be counted")
    new = math.ceil(exact)
    if new <= replicas:
        return NotApplicable(f"{replicas:g} replicas already keep mean KV usage below {target:.2f}")
    formula = f"ceil({replicas:g}·{kv_usage:.3f}/{target:.2f}) = {new}"
    return Sized(new, formula, {"replicas": replicas, "kv_usage": kv_usage})


def replicas_for_load(
    running: float | None,
    waiting: float | None,
    slots_per_replica: float | None,
    replicas: float | None,
    *,
    finished_per_second: float | None = None,
    backlog_seconds: float = BACKLOG_SECONDS,
    utilization: float = SCALE_OUT_UTILIZATION,
) -> Sized | NotApplicable:
    """Replicas that hold the requests in the system at 75 % of their slots (P03 no. 2, Little's law L = lambda·W).

    ceil((running + waiting·share) / (0.75·C)). A queue is no demand: how long it is says how long the load has been
    too much. What works it off within `backlog_seconds` is `waiting/backlog_seconds` requests a second, which take
    `running/finished` seconds in a slot each, by Little's law. Where nothing is known to finish, all that wait count.
    """
    if running is None or waiting is None or slots_per_replica is None or replicas is None or slots_per_replica <= 0:
        return NotApplicable("running, waiting, the batch limit or the number of replicas is unknown")
    share, shown = 1.0, ""
    if finished_per_second:
        seconds = running / finished_per_second
        share = min(1.0, seconds / backlog_seconds)
        shown = f"·min(1, {seconds:.3g} s in a slot/{backlog_seconds:g} s)"
    exact = (running + waiting * share) / (utilization * slots_per_replica)
    if not math.isfinite(exact):
        return NotApplicable("so many requests, or so few slots, cannot be counted")
    new = math.ceil(exact)
    if new <= replicas:
        return NotApplicable(f"{replicas:g} replicas already have slots for the requests in the system")
    return Sized(
        new,
        f"ceil(({running:g} + {waiting:g}{shown})/({utilization:g}·{slots_per_replica:g})) = {new}",
        {"running": running, "waiting": waiting, "slots_per_replica": slots_per_replica, "replicas": replicas},
    )


def concurrency_cap(
    kv_capacity_tokens: float | None, longest_request_tokens: float | None, *, fill: float = KV_FILL_OF_GATEWAY
) -> Sized | NotApplicable:
    """Requests that a gateway may send to one replica at a time (P02 no. 1): floor(0.9·capacity/longest request)."""
    if kv_capacity_tokens is None or longest_request_tokens is None or longest_request_tokens <= 0:
        return NotApplicable("KV capacity or the length of requests is unknown")
    cap = max(1, math.floor(fill * kv_capacity_tokens / longest_request_tokens))
    return Sized(
        cap,
        f"floor({fill:g}·{kv_capacity_tokens:g}/{longest_request_tokens:.4g}) = {cap}",
        {"kv_capacity_tokens": kv_capacity_tokens, "request_tokens": longest_request_tokens},
    )


def captured_batch_size(value: float) -> int:
    """The largest default CUDA-graph batch size of vLLM at or below `value`; 0 when there is none.

    1, 2, 4, then multiples of 8 up to 256, then of 16 (vllm/config/compilation.py).
    """
    whole = math.floor(value)
    if whole < 8:  # noqa: PLR2004 - the sizes themselves
        return max((size for size in (1, 2, 4) if size <= whole), default=0)
    step = 8 if whole < 256 else 16  # noqa: PLR2004 - the sizes themselves
    return whole // step * step
