"""Symptoms and their causes: the decision tree of B07 (tuning §1), in words and as what could explain them."""

from recommender.diagnosis.checks import Scope
from recommender.figures import figure
from recommender.model import Evidence
from rules.catalog import Bottleneck

TITLES: dict[Bottleneck, str] = {
    Bottleneck.TARGET_DOWN: "an engine does not answer",
    Bottleneck.ENGINE_FROZEN: "an engine holds requests and gives no tokens",
    Bottleneck.GPU_FAULT: "a GPU is broken",
    Bottleneck.GPU_LINK_DEGRADED: "a link of a GPU is bad",
    Bottleneck.INTERCONNECT_SATURATION: "a link of a GPU is full",
    Bottleneck.GPU_REPAIR_PENDING: "memory of a GPU waits for a reset to be repaired",
    Bottleneck.GPU_POWER_BRAKE: "the power supply slows a GPU down",
    Bottleneck.GPU_POWER_LIMIT: "a lowered power limit slows a GPU down",
    Bottleneck.GPU_THERMAL_THROTTLE: "heat slows a GPU down",
    Bottleneck.HOST_MEMORY_PRESSURE: "host memory is short",
    Bottleneck.HOST_CPU_SATURATION: "host CPUs hold the engine back",
    Bottleneck.DISK_SATURATION: "a disk of the host holds work up",
    Bottleneck.FILESYSTEM_FULL: "a file system of the host is almost full",
    Bottleneck.NETWORK_SATURATION: "a network link of the host is full or bad",
    Bottleneck.ENGINE_THREAD_SATURATION: "one thread holds the engine back",
    Bottleneck.GPU_MEMORY_PRESSURE: "device memory is nearly full and grows",
    Bottleneck.KV_CACHE_PRESSURE: "the KV cache limits the batch",
    Bottleneck.ADMISSION_LIMITED: "the batch limit keeps requests waiting",
    Bottleneck.PREFILL_BOUND: "computing prompts takes the time",
    Bottleneck.REQUEST_ERRORS: "requests fail",
    Bottleneck.REPLICA_STRAGGLER: "a replica is slower than its siblings",
    Bottleneck.REPLICA_IMBALANCE: "the load is not spread evenly",
    Bottleneck.DECODE_BANDWIDTH_BOUND: "decode waits for the bandwidth of device memory",
    Bottleneck.GPU_IDLE: "a GPU is held for nothing",
    Bottleneck.QUEUE_BUILDUP: "requests queue up",
    Bottleneck.HIGH_LATENCY: "latency is over its objective",
    Bottleneck.SLO_BURN: "the error budget burns too fast",
    Bottleneck.LOW_THROUGHPUT: "tokens come slower than this engine has shown it can",
    Bottleneck.CACHE_INEFFICIENCY: "long prompts are computed again",
    Bottleneck.PREDICTED_SATURATION: "the service will be full soon",
    Bottleneck.OVER_PROVISIONED: "the service has more replicas than it needs",
    Bottleneck.COST_PER_TOKEN: "tokens cost more than they did",
}

# Harm to come, none yet: these explain no symptom.
RISKS = frozenset({Bottleneck.GPU_REPAIR_PENDING})

_PROMISES = (
    ("service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
    ("service:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    ("service:llm_request_errors:ratio_rate5m", "error_ratio"),
    ("service:llm_request_duration_seconds:p95_5m", "request_duration_p95_seconds"),
)


def broken_promises(evidence: Evidence) -> frozenset[str]:
    """Names of the objectives that the service is over at this moment, as far as that is known."""
    scope = Scope(evidence)
    return frozenset(name for signal, name in _PROMISES if scope.over_objective("", signal, name).agrees)


def queues_for_first_token(evidence: Evidence) -> bool | None:
    """Whether queueing is most of the time to the first token; None when that is not known."""
    share = "service:llm_queue_share_of_ttft:ratio_rate5m"
    return Scope(evidence).at_least("", share, "queue_share_of_ttft_high_ratio").agrees


def explain(evidence: Evidence) -> str:
    """Where the time goes, in a sentence or two; empty when nothing is over its objective and nothing waits."""
    scope = Scope(evidence)
    texts = (_queue(scope), _first_token(scope), _between_tokens(scope), _budget(scope))
    return " ".join(text for text in texts if text)


def _queue(scope: Scope) -> str:
    waiting = scope.reading("service:llm_requests_waiting:sum")
    if waiting.value is None or waiting.value <= 0:
        return ""
    running = scope.reading("service:llm_requests_running:sum")
    return f"{figure(waiting.value)} requests wait while {figure(running.value)} run."


def _first_token(scope: Scope) -> str:
    over = scope.over_objective("TTFT p95", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds")
    if not over.agrees:
        return ""
    queue = scope.at_least("", "service:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio")
    share = figure(queue.readings[0].value, "ratio")
    if queue.agrees is None:
        return f"{over.text}; how much of it is queueing is unknown."
    if queue.agrees:
        return f"{over.text}; {share} of it is queueing, so slots or KV memory make requests wait."
    return f"{over.text}; only {share} of it is queueing, so prefill of long prompts or the host's CPUs take the rest."


def _between_tokens(scope: Scope) -> str:
    over = scope.over_objective("ITL p95", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds")
    if not over.agrees:
        return ""
    return f"{over.text}: decode steps are slow, which more slots would make worse."


def _budget(scope: Scope) -> str:
    if not any(held.bottleneck is Bottleneck.SLO_BURN for held in scope.evidence.confirmed):
        return ""
    left = scope.reading("service:slo_error_budget_remaining:min")
    if left.value is None:
        return "How much of the error budget is left is unknown."
    if left.value <= 0:
        return "The error budget of 30 days is spent."
    return f"{figure(left.value, 'ratio')} of the error budget of 30 days are left."
