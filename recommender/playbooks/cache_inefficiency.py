"""P09: prompts share prefixes that are computed again."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Ask, Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks import companions
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, itl_guard, published
from recommender.playbooks.moves import Move, move
from recommender.playbooks.offload import OFFLOAD_PREFIXES
from recommender.playbooks.proofs import NO_MORE
from recommender.playbooks.scope import ChangeScope, change_scope
from recommender.playbooks.seen import ask, little_reuse
from recommender.sizing import NotApplicable

_HITS = "service:llm_prefix_cache_hit:ratio_rate5m"


def route_by_prefix(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P09 no. 1: requests that share a prefix go to the replica that holds it."""
    replicas = evidence.value("service:llm_replicas_up:count")
    if replicas is None or replicas <= 1:
        return NotApplicable("with one replica every prefix is already where its requests go")
    if against := little_reuse(evidence.value(_HITS), context):
        return NotApplicable(against)
    return Advice(
        f"Route by prefix (consistent hashing on the prompt's head): {figure(evidence.value(_HITS), 'ratio')} of "
        f"prompt tokens hit now; spread over {replicas:.0f} replicas, a prefix meets the one that holds it about once "
        f"in {replicas:.0f} times.",
        _reuse_ask(context),
    )


def _reuse_ask(context: PlanContext) -> tuple[Ask, ...]:
    if context.tuning.prefix_reuse_ratio is not None:
        return ()
    return (ask(context, "tuning.prefix_reuse_ratio", "to know that prefixes are asked again (B09: r*)"),)


def _shared_heads(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P09 no. 2: in the client."""
    if against := little_reuse(evidence.value(_HITS), context):
        return NotApplicable(against)
    return Advice(
        "In the client: put what changes (timestamps, ids, retrieved text) at the end of the prompt, keep the order of "
        "tools stable, and do not truncate from the head."
    )


def _shared_store(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P09 no. 6: what one replica computed, the others read."""
    replicas = evidence.value("service:llm_replicas_up:count")
    if replicas is None or replicas <= 1:
        return NotApplicable("there are not known to be two replicas that could share a store")
    if against := little_reuse(evidence.value(_HITS), context):
        return NotApplicable(against)
    return Advice(
        "Where prefixes are asked again, a shared KV store (LMCache, Mooncake) lets each of the "
        f"{replicas:.0f} replicas use what another computed."
    )


def enable_prefix_caching(
    evidence: Evidence, finding: Finding, context: PlanContext
) -> Change | Advice | NotApplicable:
    """P09 no. 3: switch the prefix cache on where a configuration switches it off."""
    scope = change_scope("prefix_caching", evidence, finding, context)
    if not isinstance(scope, ChangeScope):
        return NotApplicable("no configuration switches the prefix cache off, and engines switch it on by themselves")
    prompt = figure(evidence.value("service:llm_request_prompt_tokens:mean_5m"), "tokens")
    return move(
        "prefix_caching",
        evidence,
        finding,
        context,
        size=lambda old, _: _switch_on(old),
        reason=(
            f"the prefix cache is off while prompts average {prompt}: with it, shared prompt heads are computed once."
        ),
    )


def _switch_on(old: KnobValue | None) -> Move | NotApplicable:
    if old is not False:
        return NotApplicable("the prefix cache is on")
    return Move(value=True, formula="off to on", feasibility=NO_MORE)  # it keeps what is in the KV cache anyway


def _known_first(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P09 no. 3, SGLang: the requests whose prefix is longest in the cache go first."""

    def size(old: KnobValue | None, _: tuple[str, ...]) -> Move | NotApplicable:
        if old == "prefix":
            return NotApplicable("requests are ordered by their prefix already")
        return Move("prefix", "longest prefix match first", feasibility=NO_MORE)

    waiting = evidence.value("service:llm_requests_waiting:sum")
    if not waiting:
        return NotApplicable("requests are not known to wait: their order does not matter")
    reason = f"{figure(evidence.value(_HITS), 'ratio')} of prompt tokens hit while {figure(waiting)} requests wait."
    return move("scheduling_policy", evidence, finding, context, size=size, reason=reason)


def effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """TTFT falls as far as prompts share prefixes; without any it costs under 1 %."""
    ttft = published(
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.25),
        "tuning §2.7: under 1 % cost without hits; a quarter of the TTFT where 96 % of prompts is shared",
        context,
    )
    return Effects(expected=(ttft,), must_improve=ttft, guards=(error_guard(context), itl_guard(context)))


_ROLLBACK = (
    "When errors rise by half a percentage point, ITL p95 passes its guard or TTFT p95 does not improve, the old "
    "setting is written back and the replicas that have the new one are restarted."
)

PLAYBOOKS = (
    Playbook(id="P09.1", title="Route requests by prefix", size=route_by_prefix),
    Playbook("P09.2", "Make prompts share their heads", _shared_heads),
    Playbook("P09.3", "Switch the prefix cache on", enable_prefix_caching, effects, _ROLLBACK),
    Playbook("P09.4", "Serve known prefixes first", _known_first, effects, _ROLLBACK, frozenset({"sglang"})),
    OFFLOAD_PREFIXES,
    Playbook("P09.6", "Share one KV store", _shared_store),
    companions.SWITCH,
    companions.CLEAR,
    companions.SIZE,
    companions.KVOPTKIT,
)
