"""P05 no. 2 and 3: how many tokens a step may compute: fewer for even gaps between tokens, more for early first ones.

Both trade one latency for the other, so each asks that the one it makes worse has slack, and says what it does to it.
"""

from collections.abc import Callable
from dataclasses import replace

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.chunks import out_of_reach, too_small
from recommender.playbooks.effects import (
    Effects,
    error_guard,
    objective_guard,
    preemption_guard,
    ratio_guard,
)
from recommender.playbooks.forecast import breaks, expected, forecast
from recommender.playbooks.moves import Move, move, of_sized
from recommender.playbooks.proofs import NO_MORE, step_proof
from recommender.playbooks.scope import affected, canary_of, not_what_runs
from recommender.sizing import NotApplicable, Sized
from recommender.sizing.budget import lower_token_budget, pow2_floor, raise_token_budget

_ITL_P95 = "replica:llm_itl_seconds:p95_5m"
_ITL_P99 = "replica:llm_itl_seconds:p99_5m"
_TTFT_P95 = "replica:llm_ttft_seconds:p95_5m"
_STEP_TOKENS = "replica:llm_step_tokens:mean_5m"
_WAITING = "replica:llm_requests_waiting:min2m"
_FULLNESS = "replica:llm_admission_fullness:ratio_avg2m"
_KV = "replica:llm_kv_cache_usage:avg2m"
_BUDGET = "replica:llm_max_batched_tokens"
_MOST_SLOTS = 1024  # engine-knobs §1: the API server's default on large devices; on others it is 256
_TTFT = ("TTFT p95", _TTFT_P95, "ttft_p95_seconds")  # name, signal, objective
_ITL = ("ITL p95", _ITL_P95, "itl_p95_seconds")


def _lower(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P05 no. 2: gaps between tokens are too long while first tokens have time."""
    canary, tuning = canary_of(evidence, finding), context.tuning
    slowest = max(affected(evidence, finding), key=lambda one: evidence.value(_ITL_P95, one) or 0.0, default="")
    itl, objective = evidence.value(_ITL_P95, slowest), evidence.objectives.get("itl_p95_seconds")
    if itl is None or objective is None or itl <= objective:
        return NotApplicable("ITL p95 is not known to be over its objective: a smaller budget would delay first tokens")
    tight = _tight(evidence, canary, _TTFT, tuning.ttft_slack_ratio)
    if tight and not _waits_for_slots(evidence, canary):
        return NotApplicable(f"{tight}: a smaller token budget would break it")
    tail = max(evidence.value(_ITL_P99, slowest) or itl, itl)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = _now(old, evidence, instances[0])
        if isinstance(now, NotApplicable):
            return now
        sized = lower_token_budget(
            now,
            itl_seconds=tail,
            itl_objective_seconds=objective,
            minimum=tuning.token_budget_min,
            maximum=tuning.token_budget_max,
            legal=_legal(context),
            max_running_requests=_slots(instances, context),
            computed_tokens=_computed(evidence, canary, context),
            step=tuning.step_max_ratio,
        )
        kept = _kept(VerificationMetric.TTFT_P95_SECONDS, now, sized, evidence, context)
        if isinstance(kept, NotApplicable):
            return kept
        new = float(kept.value)
        against = too_small(new, instances, context) or out_of_reach(new, slowest, evidence, context)
        return NotApplicable(against) if against else kept

    reason = (
        f"ITL p95 of {slowest} is {figure(itl, 'seconds')} (objective {figure(objective, 'seconds')}) because prompts "
        "share its steps: smaller pieces of them make steps short. First tokens come later by it, and "
        f"{'mostly wait for slots, which short steps free sooner' if tight else 'have time'}: "
        f"TTFT p95 is {figure(evidence.value(_TTFT_P95, canary), 'seconds')}."
    )
    return move("max_batched_tokens", evidence, finding, context, size=size, reason=reason)


def _raise(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P05 no. 3: first tokens are late while gaps between tokens have time."""
    canary, tuning = canary_of(evidence, finding), context.tuning
    ttft, objective = evidence.value(_TTFT_P95, canary), evidence.objectives.get("ttft_p95_seconds")
    if ttft is None or objective is None or ttft <= objective:
        return NotApplicable("TTFT p95 is not known to be over its objective: a bigger budget would lengthen steps")
    full = _budget_is_full(evidence, canary, context)
    if not full and (waiting := _queue_bound(evidence, canary)):
        return NotApplicable(waiting)
    if against := _tight(evidence, canary, _ITL, tuning.itl_slack_ratio):
        return NotApplicable(f"{against}: a bigger token budget makes steps longer and would break it")

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = _now(old, evidence, instances[0])
        if isinstance(now, NotApplicable):
            return now
        sized = raise_token_budget(
            now, maximum=tuning.token_budget_max, legal=_legal(context), step=tuning.step_max_ratio
        )
        kept = _kept(VerificationMetric.ITL_P95_SECONDS, now, sized, evidence, context)
        if isinstance(kept, NotApplicable):
            return kept
        return replace(kept, feasibility=step_proof(evidence, instances[0], (now, int(kept.value)), context))

    reason = (
        f"TTFT p95 of {canary} is {figure(ttft, 'seconds')} (objective {figure(objective, 'seconds')}) and "
        f"{full or 'computing prompts takes it'}: more tokens a step finish them sooner. Gaps between tokens grow by "
        f"it, and have time: ITL p95 is {figure(evidence.value(_ITL_P95, canary), 'seconds')}."
    )
    return move("max_batched_tokens", evidence, finding, context, size=size, reason=reason)


def _kept(
    traded: VerificationMetric,
    old: int,
    sized: Sized | NotApplicable,
    evidence: Evidence,
    context: PlanContext,
) -> Move | NotApplicable:
    """The sized budget, unless the fitted model says that the latency that is traded would break its objective."""
    if isinstance(sized, NotApplicable):
        return sized
    broken = breaks("max_batched_tokens", (old, sized.value), traded, evidence, context)
    return NotApplicable(broken) if broken else of_sized(sized, NO_MORE)


def _computed(evidence: Evidence, canary: str, context: PlanContext) -> float | None:
    """Tokens of a step that takes a whole long prompt in, and a token of each request that runs.

    None for short prompts: a step takes in as many of those as it has tokens for.
    """
    prompt = evidence.value("replica:llm_request_prompt_tokens:mean_5m", canary)
    running = evidence.value("replica:llm_requests_running:avg2m", canary)
    if prompt is None or running is None or prompt < 2 * context.tuning.token_budget_min:
        return None
    return prompt + running


def _slots(instances: tuple[str, ...], context: PlanContext) -> int | None:
    """vLLM does not start with fewer tokens a step than slots; where nobody says how many, it may have its most."""
    if context.engine not in {"vllm", None}:
        return None
    told = [context.configured("max_running_requests", instance) for instance in instances]
    return max(int(_MOST_SLOTS if each is None else each) for each in told)


def _now(old: KnobValue | None, evidence: Evidence, canary: str) -> int | NotApplicable:
    if old is not None and (wrong := not_what_runs("max_batched_tokens", old, evidence, canary)):
        return NotApplicable(wrong)
    seen = evidence.value(_BUDGET, canary) if old is None else float(old)
    if seen is None or seen < 1:
        return NotApplicable("the token budget of a step is unknown")
    return int(seen)


def _tight(evidence: Evidence, canary: str, latency: tuple[str, str, str], slack: float) -> str:
    """Why a latency leaves no room to be traded; empty when it is known to have some."""
    name, signal, promised = latency
    seen, objective = evidence.value(signal, canary), evidence.objectives.get(promised)
    if seen is None or objective is None:
        return f"{name} of {canary} or its objective is unknown"
    if seen > slack * objective:
        return f"{name} of {canary} is {figure(seen, 'seconds')}, over {slack:g} of its {figure(objective, 'seconds')}"
    return ""


def _waits_for_slots(evidence: Evidence, canary: str) -> bool:
    """Whether first tokens are known to be late for want of slots, not for the time that prompts take."""
    share = evidence.value("replica:llm_queue_share_of_ttft:ratio_rate5m", canary)
    high = evidence.thresholds.get("queue_share_of_ttft_high_ratio")
    running = evidence.value("replica:llm_requests_running:max2m", canary)
    limit = evidence.value("replica:llm_max_running_requests", canary)
    if share is None or high is None or running is None or limit is None:
        return False
    return share >= high and running >= limit


def _queue_bound(evidence: Evidence, canary: str) -> str:
    """Why prompts are not known to be what takes the time before the first token."""
    share = evidence.value("replica:llm_queue_share_of_ttft:ratio_rate5m", canary)
    high = evidence.thresholds.get("queue_share_of_ttft_high_ratio")
    if share is None or high is None:
        return "how much of TTFT is queueing is unknown: more tokens a step would not help a queue for slots or KV"
    if share >= high:
        return f"{figure(share, 'ratio')} of TTFT is queueing: more tokens a step do not help a queue for slots or KV"
    return ""


def _budget_is_full(evidence: Evidence, canary: str, context: PlanContext) -> str:
    """That requests wait for tokens of a step, since slots and KV are free; empty when that is not known.

    A prompt that finds no tokens left in a step waits as one does that finds no slot: the queue's share of TTFT is high
    either way.
    """
    budget = context.configured("max_batched_tokens", canary) or evidence.value(_BUDGET, canary)
    computed, waiting = evidence.value(_STEP_TOKENS, canary), evidence.value(_WAITING, canary)
    fullness, full = evidence.value(_FULLNESS, canary), evidence.thresholds.get("admission_fullness_ratio")
    usage, room = evidence.value(_KV, canary), evidence.thresholds.get("kv_cache_usage_room_ratio")
    if not budget or computed is None or not waiting or fullness is None or full is None or usage is None:
        return ""
    least = context.tuning.step_full_ratio * float(budget)
    if room is None or fullness >= full or usage >= room or computed < least:
        return ""
    return (
        f"its steps are full ({figure(computed)} of {figure(float(budget))} tokens on average) while "
        f"{figure(1 - fullness, 'ratio')} of its slots and {figure(1 - usage, 'ratio')} of its KV cache are free"
    )


def _legal(context: PlanContext) -> Callable[[float], int]:
    knob = context.knob("max_batched_tokens")
    return pow2_floor if knob is None else knob.legal_at_or_below


def _lower_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    told = forecast(change.knob, (float(change.old), float(change.new)), evidence, canary, context)
    itl = expected(
        told,
        VerificationMetric.ITL_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.5),
        "P05 no. 2: p99 30 to 70 % lower [guess]",
        context=context,
    )
    ttft = expected(
        told,
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (float(change.old) / float(change.new), 1.0),
        "the declared trade: a prompt takes up to as many more steps; it has slack, and may rise to its objective",
        context=context,
    )
    late = bool(_tight(evidence, canary, _TTFT, 1.0))  # an objective that is broken already guards nothing
    ratio = context.tuning.ttft_trade_ratio
    guards = (
        error_guard(context),
        ratio_guard(VerificationMetric.TTFT_P95_SECONDS, ratio)
        if late
        else objective_guard(VerificationMetric.TTFT_P95_SECONDS, evidence, ratio),
        preemption_guard(context),
    )
    return Effects(expected=(itl, ttft), must_improve=itl, guards=guards)


def _raise_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    told = forecast(change.knob, (float(change.old), float(change.new)), evidence, canary, context)
    ttft = expected(
        told,
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.6),
        "P05 no. 3: 10 to 40 % lower under load [guess]; can be under 1 % (tuning §2.7)",
        context=context,
    )
    itl = expected(
        told,
        VerificationMetric.ITL_P95_SECONDS,
        Direction.LOWER,
        (float(change.new) / float(change.old), 1.0),
        "the declared trade: steps with prompts take up to as much longer; it has slack, and may rise to its objective",
        context=context,
    )
    guards = (
        error_guard(context),
        objective_guard(VerificationMetric.ITL_P95_SECONDS, evidence, context.tuning.itl_trade_ratio),
        preemption_guard(context),
    )
    return Effects(expected=(ttft, itl), must_improve=ttft, guards=guards)


_ROLLBACK = (
    "When the latency that is traded passes its objective, requests are preempted, errors rise by half a percentage "
    "point or the promised latency does not improve, the old budget is written back and the replicas are restarted."
)

LOWER_BUDGET = Playbook("P05.2", "Compute fewer tokens a step", _lower, _lower_effects, _ROLLBACK)
RAISE_BUDGET = Playbook("P05.3", "Compute more tokens a step", _raise, _raise_effects, _ROLLBACK)
