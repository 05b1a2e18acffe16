"""P25: requests fail. Nothing here changes a knob: an error must be understood first."""

import math

from recommender.figures import figure, sentence, share_of
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.handles import engine_of, handle, queue_limit
from recommender.playbooks.seen import value
from recommender.sizing import NotApplicable

_FAILURES = "service:llm_request_failures:ratio_rate5m"
_REJECTED = "service:llm_requests_rejected:ratio_rate5m"


def _sort(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    """P25: what fails, and on which replica most."""
    by_replica = {
        i: share
        for i in sorted(evidence.replica_readings)
        if (share := evidence.value("replica:llm_request_errors:ratio_rate5m", i)) is not None
    }
    told = sentence(
        f"{share_of(evidence.value(_FAILURES))} of requests end in an error, "
        f"{share_of(evidence.value('service:llm_request_aborts:ratio_rate5m'))} are aborted by their clients "
        f"and {share_of(evidence.value(_REJECTED))} are turned away."
    )
    where = ""
    if len(by_replica) > 1:
        first = max(sorted(by_replica), key=lambda i: by_replica[i])
        rest = [share for i, share in by_replica.items() if i != first]
        alone = by_replica[first] > 0 and by_replica[first] > context.tuning.error_replica_ratio * max(rest)
        where = (
            f" Most fail on {first} ({figure(by_replica[first], 'ratio')}): drain it and read its log (out of device "
            "memory, a lost GPU, a crashed worker)."
            if alone
            else " All replicas fail alike: look at what they share, the model, the gateway, or a request that the "
            "engine cannot serve."
        )
    return Advice(
        f"{told}{where} By code: 429 and 503 are a limit of the engine or gateway, 4xx with a length are prompts "
        "beyond the context, 5xx are the engine's own; aborts that rise with TTFT are clients that gave up."
    )


def _context_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P25: how far the context may be raised where prompts are too long for it."""
    if not evidence.value(_FAILURES):
        return NotApplicable("no request ends in an error, so none is too long")
    turned = handle("max_model_length_tokens", context)
    limit = value(evidence, finding, "replica:llm_max_model_length_tokens", min)
    capacity = value(evidence, finding, "replica:llm_kv_cache_capacity_tokens", min)
    model = context.facts.model
    trained = None if model is None else model.max_length
    bounds = [each for each in (trained, capacity) if each is not None]
    if turned is None:
        return NotApplicable(f"{engine_of(context)} has no setting for the length of requests")
    if limit is None or not bounds:
        return Advice(
            f"Where errors are of prompts that are too long: what {turned} is, or what the model and the KV cache "
            "hold, is unknown; answer such callers with the limit, or raise it as far as both allow.",
            context.asks("model") if model is None else (),
        )
    most = min(bounds)
    if limit >= most:
        return NotApplicable(
            f"requests may be {limit:.0f} tokens long, all that the model and the KV cache take ({most:.0f}): longer "
            "ones are an error of the caller"
        )
    return Advice(
        f"Where errors are of prompts that are too long: {turned} is {limit:.0f}; the model takes {figure(trained)} "
        f"and the KV cache {figure(capacity)} tokens, so up to {most:.0f} one request fits, at the price of others "
        "that run beside it."
    )


def _queue_limit(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P25, P03 no. 3: Q = TTFT objective · finished requests a second of a replica; more only makes answers late."""
    if not evidence.value(_REJECTED):
        return NotApplicable("no request is turned away")
    objective, rate = evidence.objectives.get("ttft_p95_seconds"), evidence.value("service:llm_requests:rate5m")
    replicas = evidence.value("service:llm_replicas_up:count")
    turned, beside = queue_limit(context)
    if objective is None or rate is None or not replicas:
        return Advice(
            "Requests that are turned away show that the service is full: find out why they wait (KV cache, batch "
            "limit, prefill) or add replicas. How long a queue can be answered in time is unknown."
        )
    longest = max(1, math.floor(objective * rate / replicas))
    return Advice(
        "Requests that are turned away show that the service is full: find out why they wait (KV cache, batch limit, "
        f"prefill) or add replicas. A replica answers {objective:g}·{rate / replicas:.3g} = {longest} waiting requests "
        f"within the TTFT objective, so {turned} above {longest}{beside} turns a quick refusal into a late answer; "
        "below it, requests are turned away that could be served."
    )


PLAYBOOKS = (
    advising(
        "P25.1",
        "Take back the last change",
        "If a roll-out of the engine, its model, its configuration or the gateway began within the last two hours, "
        "roll it back first and look for the reason afterwards.",
    ),
    Playbook("P25.2", "Sort the errors by kind and by replica", _sort),
    Playbook("P25.4", "Let prompts be as long as they fit", _context_limit),
    Playbook("P25.3", "Do not raise a queue limit beyond what is answered in time", _queue_limit),
)
