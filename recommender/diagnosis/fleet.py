"""What tells the bottlenecks of whole services and of replicas among others from their look-alikes (tuning §1)."""

from collections.abc import Callable, Mapping

from recommender.diagnosis.answer import Discriminator, any_of, defining, expected, hint
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.shared import clocks_high, cpus_free, kv_not_full
from recommender.model import Evidence
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]


def _request_errors(scope: Scope) -> tuple[Discriminator, ...]:
    if clients_give_up(scope.evidence):
        return _request_aborts(scope)
    failing = any_of(
        scope.over_objective("requests that fail:", "service:llm_request_failures:ratio_rate5m", "error_ratio"),
        scope.over_objective("requests rejected:", "service:llm_requests_rejected:ratio_rate5m", "error_ratio"),
    )
    return (defining(failing, "clients that give up, which breaks nothing"),)


def clients_give_up(evidence: Evidence) -> bool:
    """Whether aborts are all that holds of request errors: whatever makes clients wait is the cause."""
    kinds = {kind for one in evidence.confirmed if one.bottleneck is Bottleneck.REQUEST_ERRORS for kind in one.kinds}
    return kinds == {"abort"}


def _request_aborts(scope: Scope) -> tuple[Discriminator, ...]:
    aborted = scope.at_least(
        "requests aborted:", "service:llm_request_aborts:ratio_rate5m", "request_aborts_high_ratio"
    )
    return (
        defining(aborted, "an abort now and then"),
        expected(
            scope.over_objective("TTFT p95", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
            "agents and users that stop answers which are quick",
        ),
    )


def _prefill_bound(scope: Scope) -> tuple[Discriminator, ...]:
    share = "replica:llm_prefill_share_of_ttft:ratio_rate5m"
    prefill = any_of(
        scope.at_least("prefill share of TTFT", share, "prefill_share_of_ttft_high_ratio"),
        scope.below(
            "queue share of TTFT", "replica:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
        ),
    )
    users = any_of(
        scope.over_objective("TTFT p95", "replica:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
        scope.over_objective("mean TTFT", "replica:llm_ttft_seconds:mean_5m", "ttft_p95_seconds"),
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    )
    return (
        defining(prefill, "queueing: slots or KV memory"),
        defining(users, "long prompts that nobody waits for"),
        defining(
            scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m"),
            "KV-cache pressure: prompts are computed again",
        ),
        hint(kv_not_full(scope), "KV-cache pressure"),
        hint(cpus_free(scope), "host CPUs that tokenise too slowly"),
        hint(clocks_high(scope), "a GPU whose clocks are held down"),
    )


def _replica_straggler(scope: Scope) -> tuple[Discriminator, ...]:
    slower = any_of(
        scope.at_least("z-score of its ITL", "replica:llm_itl_seconds:robust_z", "straggler_z_score"),
        scope.at_least(
            "its ITL over the fastest replica's",
            "replica:llm_itl_seconds:ratio_of_fastest",
            "straggler_few_replicas_ratio",
        ),
    )
    batch = "replica:llm_requests_running:avg2m", "service:llm_requests_running:median_of_replicas"
    tokens = "replica:llm_generation_tokens:rate5m", "service:llm_generation_tokens:median_of_replicas"
    alike = any_of(
        scope.ratio_at_most("its batch over the replicas' median", batch, "straggler_load_ratio"),
        scope.ratio_at_most("its tokens over the replicas' median", tokens, "straggler_load_ratio"),
    )
    return (
        defining(slower, "a replica like the others"),
        expected(
            scope.at_least("its ITL over the median", "replica:llm_itl_seconds:ratio_of_median", "straggler_gap_ratio"),
            "a gap that is too small to matter",
        ),
        expected(scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m"), "KV-cache pressure"),
        hint(alike, "a replica that carries more than the others"),
    )


def _replica_imbalance(scope: Scope) -> tuple[Discriminator, ...]:
    uneven = any_of(
        scope.at_least("busiest over mean load:", "service:llm_load:skew_ratio", "load_skew_high_ratio"),
        scope.at_least("spread over mean load:", "service:llm_load:spread_ratio", "load_spread_few_replicas_ratio"),
    )
    return (
        defining(uneven, "load that is even"),
        defining(
            scope.positive("requests waiting:", "service:llm_requests_waiting:sum"),
            "a skew that is meant, by sessions or prefixes, and makes nobody wait",
        ),
    )


def _decode_bandwidth_bound(scope: Scope) -> tuple[Discriminator, ...]:
    users = any_of(
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
        scope.over_objective("mean ITL", "replica:llm_itl_seconds:mean_5m", "itl_p95_seconds"),
    )
    moving = scope.at_least(
        "time that device memory moves data", "gpu:gpu_dram_active:ratio", "gpu_dram_active_high_ratio"
    )
    tail = "replica:llm_itl_seconds:p99_5m", "replica:llm_itl_seconds:p50_5m"
    return (
        defining(users, "how decode works, as long as the objective is kept"),
        defining(moving, "steps that wait for something else: CPUs, a link, or clocks that are held down"),
        hint(
            scope.below("time with active tensor pipes", "gpu:gpu_tensor_active:ratio", "gpu_tensor_active_low_ratio"),
            "arithmetic that limits: prompts, or a large batch",
        ),
        hint(
            scope.ratio_below("ITL p99 over p50", tail, "itl_tail_high_ratio"),
            "prompts that stall answers now and then",
        ),
        hint(scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m"), "KV-cache pressure"),
        hint(clocks_high(scope), "a GPU whose clocks are held down"),
    )


def _gpu_idle(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        defining(
            scope.zero("largest batch in six hours:", "replica:llm_requests_running:max6h"), "a trough within the day"
        ),
        defining(
            scope.at_least("device memory in use", "gpu:gpu_memory_used:ratio", "gpu_memory_held_ratio"),
            "a GPU that is free",
        ),
        hint(
            scope.below("busiest GPU", "gpu:gpu_utilization:ratio", "gpu_idle_utilization_ratio"),
            "something else that runs on a GPU of the node",
        ),
    )


FLEET: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.DECODE_BANDWIDTH_BOUND: _decode_bandwidth_bound,
    Bottleneck.GPU_IDLE: _gpu_idle,
    Bottleneck.PREFILL_BOUND: _prefill_bound,
    Bottleneck.REPLICA_IMBALANCE: _replica_imbalance,
    Bottleneck.REPLICA_STRAGGLER: _replica_straggler,
    Bottleneck.REQUEST_ERRORS: _request_errors,
}
