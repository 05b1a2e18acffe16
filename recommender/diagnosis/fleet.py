"""What tells the bottlenecks of whole services and of replicas among others from their look-alikes (tuning §1)."""

from collections.abc import Callable, Mapping

from recommender.diagnosis.checks import Discriminator, Scope, any_of
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]


def _request_errors(scope: Scope) -> tuple[Discriminator, ...]:
    # Aborts alone are a symptom: whatever makes clients wait is the cause.
    failing = any_of(
        scope.over_objective("requests that fail:", "service:llm_request_failures:ratio_rate5m", "error_ratio"),
        scope.over_objective("requests rejected:", "service:llm_requests_rejected:ratio_rate5m", "error_ratio"),
    )
    return (Discriminator(failing, defining=True),)


def _prefill_bound(scope: Scope) -> tuple[Discriminator, ...]:
    share = "replica:llm_prefill_share_of_ttft:ratio_rate5m"
    prefill = any_of(
        scope.at_least("prefill share of TTFT", share, "prefill_share_of_ttft_high_ratio"),
        scope.below(
            "queue share of TTFT", "replica:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
        ),
    )
    late = any_of(
        scope.over_objective("TTFT p95", "replica:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
        scope.over_objective("mean TTFT", "replica:llm_ttft_seconds:mean_5m", "ttft_p95_seconds"),
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    )
    return (
        Discriminator(prefill, defining=True),
        Discriminator(late, defining=True),
        Discriminator(scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m"), defining=True),
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
    return (
        Discriminator(slower, defining=True),
        Discriminator(
            scope.at_least("its ITL over the median", "replica:llm_itl_seconds:ratio_of_median", "straggler_gap_ratio")
        ),
        Discriminator(scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m")),
    )


def _replica_imbalance(scope: Scope) -> tuple[Discriminator, ...]:
    uneven = any_of(
        scope.at_least("busiest over mean load:", "service:llm_load:skew_ratio", "load_skew_high_ratio"),
        scope.at_least("spread over mean load:", "service:llm_load:spread_ratio", "load_spread_few_replicas_ratio"),
    )
    return (
        Discriminator(uneven, defining=True),
        Discriminator(scope.positive("requests waiting:", "service:llm_requests_waiting:sum"), defining=True),
    )


def _decode_bandwidth_bound(scope: Scope) -> tuple[Discriminator, ...]:
    late = any_of(
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
        scope.over_objective("mean ITL", "replica:llm_itl_seconds:mean_5m", "itl_p95_seconds"),
    )
    moving = scope.at_least(
        "time that device memory moves data", "gpu:gpu_dram_active:ratio", "gpu_dram_active_high_ratio"
    )
    return (Discriminator(late, defining=True), Discriminator(moving, defining=True))


def _gpu_idle(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        Discriminator(scope.zero("largest batch in six hours:", "replica:llm_requests_running:max6h"), defining=True),
        Discriminator(
            scope.at_least("device memory in use", "gpu:gpu_memory_used:ratio", "gpu_memory_held_ratio"), defining=True
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
