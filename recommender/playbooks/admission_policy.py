"""How cautiously an engine admits: SGLang's conservativeness, TensorRT-LLM's capacity policy (P02, P04 no. 2 and 3)."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import (
    Effects,
    error_guard,
    fewer_preemptions,
    itl_guard,
    objective_guard,
    preemption_guard,
    published,
    ratio_guard,
)
from recommender.playbooks.moves import Move, move, of_sized
from recommender.playbooks.proofs import NO_MORE
from recommender.playbooks.scope import canary_of
from recommender.sizing import NotApplicable
from recommender.sizing.budget import step_towards

_PREEMPTIONS = "replica:llm_preemptions_per_request:ratio_rate5m"
_USAGE = "replica:llm_kv_cache_usage:avg2m"


def _admit_more(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P04 no. 2: conservativeness towards 0.3 while KV has room, requests wait and none is thrown out."""
    canary = canary_of(evidence, finding)
    if against := _no_room(evidence, canary):
        return NotApplicable(against)
    usage = figure(evidence.value(_USAGE, canary), "ratio")
    return move(
        "admission_conservativeness",
        evidence,
        finding,
        context,
        size=lambda old, _: _towards(old, context.tuning.conservativeness_low, context),
        reason=f"Requests wait at {canary} while {usage} of its KV cache is in use and none is retracted: it reserves "
        "more for each answer than answers take.",
    )


def _no_room(evidence: Evidence, canary: str) -> str:
    """Why admitting more is not right here; empty when all that speaks for it is known."""
    usage, full = evidence.value(_USAGE, canary), evidence.thresholds.get("kv_cache_usage_high_ratio")
    waiting = evidence.value("replica:llm_requests_waiting:min2m", canary)
    preempted = evidence.value(_PREEMPTIONS, canary)
    if usage is None or full is None or waiting is None or preempted is None:
        return "KV usage, waiting requests or retractions are unknown: admitting more could thrash"
    if usage >= full:
        return f"{figure(usage, 'ratio')} of KV is in use: there is no room to admit more"
    if against := _slots_are_it(evidence, canary):
        return against
    if waiting <= 0:
        return "requests do not always wait: admission holds nothing back"
    if preempted > 0:
        return f"{figure(preempted)} requests are retracted for each that finishes: admitting more would retract more"
    return ""


def _slots_are_it(evidence: Evidence, canary: str) -> str:
    """Why it is not caution that keeps requests waiting; empty where slots are known to be free."""
    fullness = evidence.value("replica:llm_admission_fullness:ratio_avg2m", canary)
    full = evidence.thresholds.get("admission_fullness_ratio")
    if fullness is None or full is None:
        return "how much of the batch limit is in use is unknown: that limit may be what keeps requests waiting"
    if fullness >= full:
        return f"{figure(fullness, 'ratio')} of the batch limit is in use: that keeps requests waiting, not caution"
    return ""


def _admit_less(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P02, SGLang's first step: conservativeness to 1.3 where requests are retracted often."""
    canary = canary_of(evidence, finding)
    seen, high = evidence.value(_PREEMPTIONS, canary), evidence.thresholds.get("preemptions_per_request_high_ratio")
    if seen is None or high is None or seen < high:
        return NotApplicable("requests are not known to be retracted often")
    return move(
        "admission_conservativeness",
        evidence,
        finding,
        context,
        size=lambda old, _: _towards(old, context.tuning.conservativeness_high, context),
        reason=f"{canary} retracts {figure(seen)} requests for each that finishes: it admits more than KV holds.",
    )


def _towards(old: KnobValue | None, target: float, context: PlanContext) -> Move | NotApplicable:
    now = 1.0 if old is None else float(old)  # SGLang's own default sizes advice; a change needs the value that runs
    if old is not None and ((target < 1) is (now <= target)):
        return NotApplicable(f"it is {now:g} already")
    return of_sized(step_towards(now, target, step=context.tuning.step_max_ratio), NO_MORE)


def _looser(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P04 no. 3: TensorRT-LLM admits what fits now instead of what surely finishes."""
    canary = canary_of(evidence, finding)
    usage, room = evidence.value(_USAGE, canary), evidence.thresholds.get("kv_cache_usage_room_ratio")
    if usage is None or room is None or usage >= room:
        return NotApplicable("that KV has room is not known: requests would be paused")
    if not evidence.value("replica:llm_requests_waiting:min2m", canary):
        return NotApplicable("requests are not known to wait all the time: the policy holds nothing back")
    if against := _slots_are_it(evidence, canary):
        return NotApplicable(against)

    def size(old: KnobValue | None, _: tuple[str, ...]) -> Move | NotApplicable:
        if old is not None and old != "guaranteed_no_evict":
            return NotApplicable(f"the policy is {old} already")
        return Move("max_utilization", "guaranteed_no_evict to max_utilization", feasibility=NO_MORE)

    reason = (
        f"Requests wait at {canary} while {figure(usage, 'ratio')} of its KV cache is in use. For throughput tiers: "
        "requests may be paused, and then their gaps between tokens are long."
    )
    return move("capacity_policy", evidence, finding, context, size=size, reason=reason)


def _more_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    share = evidence.value("replica:llm_queue_share_of_ttft:ratio_rate5m", canary)
    ttft = published(
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.5 if share is None else round(max(0.05, 1 - share), 3)),
        "at best the queueing ends; at worst the least that counts as proof (P04 no. 2, no. 3)",
        context,
    )
    tokens = published(
        VerificationMetric.GENERATION_TOKENS_RATE, Direction.HIGHER, (1.0, 1.3), "P04: 10 to 30 % at best", context
    )
    guards = (
        error_guard(context),
        preemption_guard(context),
        objective_guard(VerificationMetric.ITL_P95_SECONDS, evidence, context.tuning.itl_trade_ratio),
    )
    return Effects(expected=(ttft, tokens), must_improve=ttft, guards=guards)


def _less_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    goal = fewer_preemptions(context)
    guards = (
        error_guard(context),
        ratio_guard(VerificationMetric.TTFT_P95_SECONDS, context.tuning.ttft_trade_ratio),
        itl_guard(context),
    )
    return Effects(expected=(goal,), must_improve=goal, guards=guards)


_ROLLBACK = (
    "When requests are retracted or paused, errors rise by half a percentage point, a latency passes its guard or the "
    "promised metric does not improve, the old value is written back and the replicas that have it are restarted."
)

_SGLANG, _TENSORRT_LLM = frozenset({"sglang"}), frozenset({"tensorrt_llm", "triton"})

LOWER_CONSERVATIVENESS = Playbook("P04.2", "Admit less cautiously", _admit_more, _more_effects, _ROLLBACK, _SGLANG)
LOOSER_POLICY = Playbook("P04.3", "Admit what fits now", _looser, _more_effects, _ROLLBACK, _TENSORRT_LLM)
RAISE_CONSERVATIVENESS = Playbook("P02.11", "Admit more cautiously", _admit_less, _less_effects, _ROLLBACK, _SGLANG)
