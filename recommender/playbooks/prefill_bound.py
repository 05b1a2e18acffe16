"""P05: computing prompts takes the time."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks import precision
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.offload import OFFLOAD_PROMPTS
from recommender.playbooks.precision_effects import Purpose
from recommender.playbooks.scope import canary_of
from recommender.playbooks.seen import ask, little_reuse
from recommender.playbooks.token_budget import LOWER_BUDGET, RAISE_BUDGET
from recommender.sizing import NotApplicable


def _compute_less(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P05 no. 1: TTFT falls by the share of prompt tokens that is found instead of computed."""
    hits = evidence.value("replica:llm_prefix_cache_hit:ratio_rate5m", canary_of(evidence, finding))
    reuse = context.tuning.prefix_reuse_ratio
    if against := little_reuse(hits, context):
        return NotApplicable(against)
    seen = "" if hits is None else f" {figure(hits, 'ratio')} of prompt tokens hit now."
    best = "" if hits is None or reuse is None else f" At best TTFT falls to {(1 - reuse) / max(1 - hits, 0.01):.2f}."
    asks = (ask(context, "tuning.prefix_reuse_ratio", "to say how far TTFT can fall"),) if reuse is None else ()
    return Advice(
        "Route requests that share a prefix to the same replica and keep what changes (time, ids, retrieved text) at "
        f"the end of the prompt: TTFT falls with the share of prompt tokens that is found in the prefix cache.{seen}"
        f"{best}",
        asks,
    )


def _keep_apart(
    evidence: Evidence,
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,  # noqa: ARG001 - Size's signature
) -> Advice | NotApplicable:
    """P05 no. 4: short prompts do not wait behind long ones."""
    replicas = evidence.value("service:llm_replicas_up:count")
    if replicas is None or replicas < 2:  # noqa: PLR2004 - a pool of its own needs a replica of its own
        return NotApplicable("long prompts need a replica of their own: there are not known to be two")
    mean = figure(evidence.value("service:llm_request_prompt_tokens:mean_5m"), "tokens")
    return Advice(
        f"Send prompts above the 90th percentile of length (the mean is {mean}) to some of the {replicas:.0f} "
        "replicas, and to no others, so that short ones do not wait behind them."
    )


def _more_compute(
    evidence: Evidence,
    finding: Finding,
    context: PlanContext,
) -> Advice | NotApplicable:
    """P05 no. 6: replicas in proportion to the time that prompts take, N' = ceil(N·prefill share/0.6)."""
    replicas = evidence.value("service:llm_replicas_up:count")
    share = evidence.value("replica:llm_prefill_share_of_ttft:ratio_rate5m", canary_of(evidence, finding))
    target = context.tuning.scale_out_prefill
    if replicas is None or share is None:
        return NotApplicable("the number of replicas, or what share of TTFT computing takes, is unknown")
    wanted = -(-replicas * share // target)
    if wanted <= replicas:
        return NotApplicable(f"computing takes {figure(share, 'ratio')} of TTFT, within {figure(target, 'ratio')}")
    return Advice(
        f"{wanted:.0f} replicas instead of {replicas:.0f} would bring computing to {figure(target, 'ratio')} of TTFT: "
        f"ceil({replicas:g}·{share:.3f}/{target:g}). Tensor parallelism over NVLink shortens each prompt instead."
    )


def _two_pools(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P05 no. 7: prompts and answers on replicas of their own, where both take time and there are GPUs enough."""
    share, each = evidence.value("service:llm_prefill_time:ratio1h"), context.facts.gpus_per_replica
    replicas = evidence.value("service:llm_replicas_up:count")
    if share is None or each is None or replicas is None:
        return NotApplicable("the share of time that prompts take, or the number of GPUs, is unknown")
    low, high = _POOLS_PAY
    if not low <= share <= high:
        return NotApplicable(f"prompts take {figure(share, 'ratio')} of the time: one of two pools would be idle")
    if (gpus := replicas * each) < _FLEET:
        return NotApplicable(f"{gpus:g} GPUs are too few for two pools: below {_FLEET} one of them is always too small")
    return Advice(
        f"Compute prompts and answers on replicas of their own (prefill-decode disaggregation): prompts take "
        f"{figure(share, 'ratio')} of the time of {gpus:g} GPUs. It gave 2.1 times the requests within their "
        "objectives (13B on A100) and needs RDMA between the pools: KV of each prompt is sent once. List the pools as "
        "two services, for what limits them differs."
    )


_POOLS_PAY = (0.3, 0.7)  # P05 no. 7: share of prompts in the time that requests compute
_FLEET = 8  # GPUs; tuning §2.7 [G]

PLAYBOOKS = (
    Playbook("P05.1", "Compute less of each prompt", _compute_less),
    LOWER_BUDGET,
    RAISE_BUDGET,
    precision.weights("P05.5", Purpose.PREFILL),
    Playbook("P05.4", "Keep long prompts apart", _keep_apart),
    Playbook("P05.6", "Add compute", _more_compute),
    OFFLOAD_PROMPTS,
    Playbook("P05.7", "Compute prompts and answers apart", _two_pools),
)
