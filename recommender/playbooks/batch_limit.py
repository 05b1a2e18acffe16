"""P04 no. 1: a higher batch limit."""

import math
from collections.abc import Callable

from recommender.engine_signals import NEVER_PREEMPT
from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import (
    Effects,
    error_guard,
    objective_guard,
    preemption_guard,
    published,
)
from recommender.playbooks.forecast import expected, forecast
from recommender.playbooks.moves import Move, move, of_sized
from recommender.playbooks.proofs import CAPACITY, SLOT_ENGINES, TOKENS_PER_REQUEST, batch_proof, tightest
from recommender.playbooks.scope import affected, canary_of, not_what_runs
from recommender.playbooks.slots import raise_slots
from recommender.sizing import NotApplicable, Sized, captured_batch_size, raise_max_running
from rules.catalog import Bottleneck

_LIMIT = "replica:llm_max_running_requests"
_PREEMPTED = "replica:llm_preemptions_per_request:ratio_rate5m"
_FULLNESS = "replica:llm_admission_fullness:ratio_avg2m"
_OF_SLOTS = (
    _FULLNESS,
    "replica:llm_requests_waiting:min2m",
    "replica:llm_kv_cache_usage:avg2m",
    _PREEMPTED,
)
_OF_BURSTS = (
    "replica:llm_queue_share_of_ttft:ratio_rate5m",
    "replica:llm_requests_running:max2m",
    "replica:llm_max_running_requests",
    "replica:llm_kv_cache_usage:max2m",
    "replica:llm_preemptions_per_request:ratio_rate5m",
)
_TTFT = "ttft_p95_seconds"
_ITL = "itl_p95_seconds"
_WORTH_PADDING = 1.5  # captured sizes up to 16 are powers of two: between them lies up to twice the batch
_LEAST_BUDGET = 2048  # tokens of a step: the least default of vLLM's API server (engine-knobs §1)


def raise_batch_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P04 no. 1 and no. 5: more slots, as far as KV memory, the ITL objective and the step cap allow."""
    if against := not_for_slots(evidence, finding, context) or itl_over_objective(evidence, finding):
        return NotApplicable(against)
    if context.engine in SLOT_ENGINES:
        return raise_slots(evidence, finding, context)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        canary = instances[0]
        if old is not None and (wrong := not_what_runs("max_running_requests", old, evidence, canary)):
            return NotApplicable(wrong)
        observed = evidence.value(_LIMIT, canary)
        if old is None and observed is None:
            return NotApplicable("the batch limit is neither configured nor seen: twice what it is cannot be said")
        now = int(old) if old is not None else round(observed or 0)
        moved = size_slots(now, evidence, affected(evidence, finding), instances, context)
        if old is not None or isinstance(moved, NotApplicable):
            return moved
        return Move(moved.value, f"from about {now} (observed), {moved.formula}", moved.inputs, moved.feasibility)

    reason = held_back(evidence, finding, context)
    return move("max_running_requests", evidence, finding, context, size=size, reason=reason)


def size_slots(
    old: int, evidence: Evidence, limited: tuple[str, ...], changed: tuple[str, ...], context: PlanContext
) -> Move | NotApplicable:
    """Sized for the limited replica with the least room; unknown on one of them is unknown."""
    capacity = least_capacity(evidence, limited, changed)
    sized = slots_of(old, capacity, evidence, (limited, changed), context)
    if isinstance(sized, NotApplicable):
        return sized
    return of_sized(sized, batch_proof(evidence, tightest(evidence, limited), (old, int(sized.value)), context))


def least_capacity(evidence: Evidence, limited: tuple[str, ...], changed: tuple[str, ...]) -> float | None:
    """KV tokens of the replica with the fewest: others are changed too, and may have less KV cache."""
    everyone = tuple(dict.fromkeys((*limited, *changed)))
    pools = [each for each in (evidence.value(CAPACITY, one) for one in everyone) if each is not None]
    return None if evidence.value(CAPACITY, tightest(evidence, limited)) is None else min(pools)


def slots_of(
    old: int,
    capacity: float | None,
    evidence: Evidence,
    replicas: tuple[tuple[str, ...], tuple[str, ...]],
    context: PlanContext,
) -> Sized | NotApplicable:
    """P04 no. 1 with so many KV tokens, of the replicas that are limited and those that are changed.

    Of token budgets the least of them all counts.
    """
    limited, changed = replicas
    least, everyone = tightest(evidence, limited), tuple(dict.fromkeys((*limited, *changed)))
    knob, tuning = context.knob("max_running_requests"), context.tuning
    return raise_max_running(
        old,
        kv_capacity_tokens=capacity,
        tokens_held_per_request=evidence.value(TOKENS_PER_REQUEST, least),
        legal=_legal(old, captured_batch_size if knob is None else knob.legal_at_or_below),
        itl=context.itl,
        itl_objective_seconds=evidence.objectives.get(_ITL),
        itl_p95_seconds=_slowest(evidence, limited),
        max_batched_tokens=_budget(old, evidence, everyone, context),
        fill=tuning.kv_fill_when_raising,
        headroom=tuning.itl_headroom_ratio,
        rule=tuning.step_rule,
    )


def _legal(old: int, captured: Callable[[float], int]) -> Callable[[float], int]:
    """A captured size; where none lies between, but half as many slots again fit, a size that is padded to the next."""

    def legal(bound: float) -> int:
        size = captured(bound)
        whole = math.floor(bound)
        return whole if size <= old and whole >= _WORTH_PADDING * old else size

    return legal


def _budget(old: int, evidence: Evidence, instances: tuple[str, ...], context: PlanContext) -> int | None:
    """vLLM does not start with more slots than tokens in a step; where nobody tells the budget it has its least.

    None where no step could reach it.
    """
    if context.engine not in {"vllm", None}:
        return None
    told = [
        context.configured("max_batched_tokens", one) or evidence.value("replica:llm_max_batched_tokens", one)
        for one in instances
    ]
    if not any(told) and old * context.tuning.step_wide_ratio <= _LEAST_BUDGET:
        return None
    return min(int(each or _LEAST_BUDGET) for each in told)


def _slowest(evidence: Evidence, instances: tuple[str, ...]) -> float | None:
    """The highest ITL p95; None when one is unknown. Below the first bucket's bound it may be all of that bound."""
    seen = [evidence.value("replica:llm_itl_seconds:p95_5m", instance) for instance in instances]
    known = [each for each in seen if each is not None]
    bound = evidence.value("service:llm_itl_seconds:p95_coarse") or 0.0
    return max(*known, bound) if known and len(known) == len(seen) else None


def not_for_slots(evidence: Evidence, finding: Finding, context: PlanContext) -> str:
    """Why what is slow is not known to wait for slots; empty where it is, and for P04's own class, which says so."""
    if finding.bottleneck is Bottleneck.QUEUE_BUILDUP:
        return _queue_of_something_else(evidence, affected(evidence, finding), context)
    if finding.bottleneck in {Bottleneck.HIGH_LATENCY, Bottleneck.SLO_BURN}:
        return _late_for_something_else(evidence, canary_of(evidence, finding))
    return ""


def told_of_slots(evidence: Evidence, instance: str, context: PlanContext) -> dict[str, float | None]:
    """What tells whether a queue is one for slots, by signal: how full the batch is, the queue, KV and preemptions.

    A batch limit that only the configuration tells makes the first known. Slots that have their whole context from the
    start preempt nothing, and fill no cache: of those the last two are not asked.
    """
    names = _OF_SLOTS[:2] if context.engine in SLOT_ENGINES else _OF_SLOTS
    told = {name: evidence.value(name, instance) for name in names}
    running = evidence.value("replica:llm_requests_running:avg2m", instance)
    limit = context.configured("max_running_requests", instance)
    if told[_FULLNESS] is None and running is not None and not isinstance(limit, str | None) and limit > 0:
        told[_FULLNESS] = running / limit
    if _PREEMPTED in told and context.engine in NEVER_PREEMPT:
        told[_PREEMPTED] = 0.0
    return told


def _queue_of_something_else(evidence: Evidence, instances: tuple[str, ...], context: PlanContext) -> str:
    """A queue is one for slots where batches are full everywhere, never without a queue, and nothing is preempted.

    KV may be fuller than where the batch limit is certainly the cause, and less full than where KV is: what slots then
    need is proven as always.
    """
    full, high = (evidence.thresholds.get(name) for name in ("admission_fullness_ratio", "kv_cache_usage_high_ratio"))
    for instance in instances:
        told = list(told_of_slots(evidence, instance, context).values())
        if full is None or high is None or None in told:
            return f"whether {instance} is held back by its slots is unknown"
        fullness, waiting, usage, preempted = [each or 0.0 for each in told] + [0.0] * (len(_OF_SLOTS) - len(told))
        if fullness < full or not waiting or usage >= high or preempted:
            return f"{instance} is not held back by its slots alone"
    return "" if instances else "no replica is known"


def _late_for_something_else(evidence: Evidence, instance: str) -> str:
    """First tokens are late for want of slots where they mostly queue, and the batch reaches its limit below full KV.

    In bursts: a batch that is always full is a class of its own.
    """
    late, promised = evidence.value("replica:llm_ttft_seconds:p95_5m", instance), evidence.objectives.get(_TTFT)
    if late is None or promised is None or late <= promised:
        return "TTFT p95 is not known to be over its objective: more slots would not help"
    share, most = (evidence.thresholds.get(n) for n in ("queue_share_of_ttft_high_ratio", "kv_cache_usage_high_ratio"))
    told = [evidence.value(name, instance) for name in _OF_BURSTS]
    queueing, running, limit, peak, preempted = told
    if share is None or most is None or None in told:
        return f"whether first tokens of {instance} wait for slots is unknown"
    if (queueing or 0) < share or (running or 0) < (limit or 0) or (peak or 0) >= most or preempted:
        return f"first tokens of {instance} are not known to wait for slots alone"
    return ""


def itl_over_objective(evidence: Evidence, finding: Finding) -> str:
    """Why more slots would hurt: tokens come too slowly as it is; empty where that is not known."""
    objective = evidence.objectives.get(_ITL)
    for instance in affected(evidence, finding):
        itl = evidence.value("replica:llm_itl_seconds:p95_5m", instance)
        if itl is not None and objective is not None and itl > objective:
            return (
                f"ITL p95 of {instance} is {figure(itl, 'seconds')}, already over its objective of "
                f"{figure(objective, 'seconds')}: more slots would slow every request down"
            )
    return ""


def held_back(evidence: Evidence, finding: Finding, context: PlanContext) -> str:
    """What was seen of the canary's batch, its queue and its KV cache, as a sentence."""
    canary = canary_of(evidence, finding)
    running = figure(evidence.value("replica:llm_requests_running:avg2m", canary))
    configured, seen = context.configured("max_running_requests", canary), evidence.value(_LIMIT, canary)
    limit = figure(float(configured) if seen is None and not isinstance(configured, str | None) else seen)
    waiting = figure(evidence.value("replica:llm_requests_waiting:avg2m", canary))
    kv = figure(evidence.value("replica:llm_kv_cache_usage:avg2m", canary), "ratio")
    return (
        f"{canary} runs {running} of {limit} requests while {waiting} wait and {kv} of its KV cache is in use: more "
        "slots let more of them run at once."
    )


def effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    """TTFT falls by at most the time spent queueing; tokens/s rise at most with the slots; ITL is the trade."""
    old, new = int(change.old), int(change.new)
    told = forecast(change.knob, (old, new), evidence, canary, context)
    ttft = (told and told.expectation(VerificationMetric.TTFT_P95_SECONDS)) or _first_token(evidence, canary, context)
    slowest, bound = _itl_bound(evidence, canary, context)
    throughput = (told and told.expectation(VerificationMetric.GENERATION_TOKENS_RATE)) or Expectation(
        metric=VerificationMetric.GENERATION_TOKENS_RATE,
        direction=Direction.HIGHER,
        low=1.0,
        mid=round(1 + context.tuning.prior_share * min(0.2, new / old - 1), 3),
        high=new / old,
        source=(
            "B/(alpha + beta·B): between no gain (all step time grows with the batch) and one in proportion to the "
            "slots; P04 gives 10 to 30 %, 64 to 512 slots gave 27 % on TensorRT-LLM (tuning §2.7), half of the middle "
            "is likely"
        ),
    )
    itl = expected(
        told,
        VerificationMetric.ITL_P95_SECONDS,
        Direction.LOWER,
        (min(slowest, new / old), 1.0),
        f"a step grows at most with its batch (tuning §2.3), and a change by which it passes {bound} is taken back",
        context=context,
    )
    guards = (
        error_guard(context),
        objective_guard(VerificationMetric.ITL_P95_SECONDS, evidence, context.tuning.itl_trade_ratio),
        preemption_guard(context),
    )
    return Effects(expected=(ttft, throughput, itl), must_improve=ttft, guards=guards)


def _itl_bound(evidence: Evidence, canary: str, context: PlanContext) -> tuple[float, str]:
    """How much ITL p95 may rise before its guard takes the change back, as a ratio, and what the guard is."""
    objective, itl = evidence.objectives.get(_ITL), evidence.value("replica:llm_itl_seconds:p95_5m", canary)
    if objective is None or not itl:
        return context.tuning.itl_trade_ratio, "its guard"
    return max(1.0, objective / itl), "its objective"


def _first_token(evidence: Evidence, canary: str, context: PlanContext) -> Expectation:
    share = evidence.value("replica:llm_queue_share_of_ttft:ratio_rate5m", canary)
    share = None if share is None else min(share, 1.0)  # a queue of five minutes may be longer than their first tokens
    best = round(max(0.05, 1 - share), 3) if share is not None else 0.5
    return published(
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, best),
        (
            f"at best the queueing, {figure(share, 'ratio')} of TTFT now, ends; at worst the least that counts as proof"
            if share is not None
            else "the queue's share of TTFT is unknown: half at best [guess]"
        ),
        context,
    )


RAISE_BATCH_LIMIT = Playbook(
    id="P04.1",
    title="Raise the batch limit",
    size=raise_batch_limit,
    effects=effects,
    rollback=(
        "When ITL p95 passes its guard, requests are preempted, errors rise by half a percentage point or TTFT "
        "p95 does not improve, the old batch limit is written back and the replicas that have it are restarted."
    ),
)
