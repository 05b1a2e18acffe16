"""P09: prompts share prefixes that are computed again."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Finding
from recommender.playbooks import companions
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.effects import Effects, error_guard, ratio_guard
from recommender.playbooks.scope import OldValueUnknown, change_scope
from recommender.sizing import NotApplicable, Sized

_HITS = "service:llm_prefix_cache_hit:ratio_rate5m"


def route_by_prefix(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P09 no. 1: requests that share a prefix go to the replica that holds it."""
    replicas = evidence.value("service:llm_replicas_up:count")
    if replicas is None or replicas <= 1:
        return NotApplicable("with one replica every prefix is already where its requests go")
    return Advice(
        f"Route by prefix (consistent hashing on the prompt's head): {figure(evidence.value(_HITS), 'ratio')} of "
        f"prompt tokens hit now; spread over {replicas:.0f} replicas, a prefix meets the one that holds it about once "
        f"in {replicas:.0f} times."
    )


def enable_prefix_caching(
    evidence: Evidence, finding: Finding, context: PlanContext
) -> Change | Advice | NotApplicable:
    """P09 no. 3: switch the prefix cache on where a configuration switches it off."""
    scope = change_scope("prefix_caching", evidence, finding, context)
    if isinstance(scope, NotApplicable):
        return scope
    if isinstance(scope, OldValueUnknown):
        return NotApplicable("no configuration switches the prefix cache off, and engines switch it on by themselves")
    if scope.old is not False:
        return NotApplicable("the prefix cache is on")
    return scope.change(
        Sized(value=True, formula="off to on"),
        reason=(
            f"the prefix cache is off while prompts average "
            f"{figure(evidence.value('service:llm_request_prompt_tokens:mean_5m'), 'tokens')}: with it, shared prompt "
            "heads are computed once."
        ),
    )


def effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """TTFT falls as far as prompts share prefixes; without any it costs under 1 %."""
    ttft = Expectation(
        metric=VerificationMetric.TTFT_P95_SECONDS,
        direction=Direction.LOWER,
        low=1 - context.verification.min_improvement,
        high=0.25,
        source="tuning §2.7: under 1 % cost without hits; a quarter of the TTFT where 96 % of prompts is shared",
    )
    guards = (
        error_guard(context),
        ratio_guard(VerificationMetric.ITL_P95_SECONDS, context.verification.itl_p95_max_ratio),
    )
    return Effects(expected=(ttft,), must_improve=ttft, guards=guards)


PLAYBOOKS = (
    Playbook(id="P09.1", title="Route requests by prefix", size=route_by_prefix),
    advising(
        "P09.2",
        "Make prompts share their heads",
        "In the client: put what changes (timestamps, ids, retrieved text) at the end of the prompt, keep the order of "
        "tools stable, and do not truncate from the head.",
    ),
    Playbook(
        id="P09.3",
        title="Switch the prefix cache on",
        size=enable_prefix_caching,
        effects=effects,
        rollback=(
            "When errors rise by half a percentage point, ITL p95 passes its guard or TTFT p95 does not improve, the "
            "prefix cache is switched off again and the replicas that have it on are restarted."
        ),
    ),
    advising(
        "P09.6",
        "Share one KV store",
        "With several replicas and prefixes that are asked again, a shared KV store (LMCache, Mooncake) lets each "
        "replica use what another computed.",
    ),
    companions.switch("P09.5"),
    companions.clear("P09.9"),
    companions.size("P09.10"),
    companions.kvoptkit("P09.11"),
)
