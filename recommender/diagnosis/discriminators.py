"""What tells each bottleneck from its look-alikes (tuning §1 and the matrix of §1.1).

One function a class, from a scope to its discriminators. Labels are words that read well before a figure.
"""

from collections.abc import Callable, Mapping

from recommender.diagnosis.capacity import CAPACITY
from recommender.diagnosis.checks import Discriminator, Scope, all_of, any_of
from recommender.diagnosis.fleet import FLEET
from recommender.diagnosis.hardware import HARDWARE
from recommender.model import Check, Confirmation, Reading
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]


def condition(confirmation: Confirmation) -> Check:
    """The condition itself, as Prometheus has it at the instant of the evidence."""
    reading = Reading(name=confirmation.bottleneck, query=confirmation.query, value=confirmation.value)
    return Check(text=f"the condition {confirmation.bottleneck} holds in Prometheus", agrees=True, readings=(reading,))


def _target_down(scope: Scope) -> tuple[Discriminator, ...]:
    signal = "service:llm_replicas_up:count" if scope.instance is None else "replica:llm_up"
    return (Discriminator(scope.zero("engines that answer:", signal), defining=True),)


def _engine_frozen(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        Discriminator(scope.positive("batch", "replica:llm_requests_running"), defining=True),
        Discriminator(
            scope.zero("tokens per second over 30 s:", "replica:llm_generation_tokens:rate30s"), defining=True
        ),
    )


def _host_memory_pressure(scope: Scope) -> tuple[Discriminator, ...]:
    some, full = "node:host_memory_pressure_some:ratio_rate2m", "node:host_memory_pressure_full:ratio_rate2m"
    short = any_of(
        scope.below("available host memory", "node:host_memory_available:ratio", "host_memory_available_low_ratio"),
        scope.at_least("time stalled on memory", some, "host_memory_pressure_some_high_ratio"),
        scope.at_least("time fully stalled on memory", full, "host_memory_pressure_full_high_ratio"),
        scope.positive("processes killed for memory in 30m:", "node:host_oom_kills:increase30m"),
    )
    return (Discriminator(short, defining=True),)


def _host_cpu_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    busy = any_of(
        scope.at_least("host CPU", "node:host_cpu_busy:ratio", "host_cpu_busy_high_ratio"),
        scope.at_least("time waiting for a CPU", "node:host_cpu_pressure:ratio_rate2m", "host_cpu_pressure_high_ratio"),
    )
    # A busy host whose engine keeps its latency promise and whose GPUs work is no bottleneck of this service.
    starved = any_of(
        scope.below("busiest GPU", "gpu:gpu_utilization:ratio", "gpu_utilization_starved_ratio"),
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
        all_of(
            scope.over_objective("TTFT p95", "replica:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
            scope.below(
                "queue share of TTFT", "replica:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
            ),
        ),
    )
    return (
        Discriminator(busy, defining=True),
        Discriminator(starved, defining=True),
        Discriminator(_kv_not_full(scope)),
    )


def _gpu_memory_pressure(scope: Scope) -> tuple[Discriminator, ...]:
    full = any_of(
        scope.at_least("device memory in use", "gpu:gpu_memory_used:ratio", "gpu_memory_used_high_ratio"),
        scope.below("free device memory", "gpu:gpu_memory_free_bytes", "gpu_memory_free_low_bytes"),
    )
    return (Discriminator(full, defining=True),)


def _kv_cache_pressure(scope: Scope) -> tuple[Discriminator, ...]:
    thrash = all_of(
        scope.at_least("peak KV usage", "replica:llm_kv_cache_usage:max2m", "kv_cache_usage_peak_ratio"),
        scope.at_least(
            "preemptions per finished request",
            "replica:llm_preemptions_per_request:ratio_rate5m",
            "preemptions_per_request_high_ratio",
        ),
    )
    full = scope.at_least("mean KV usage", "replica:llm_kv_cache_usage:avg2m", "kv_cache_usage_high_ratio")
    harm = any_of(
        scope.positive("shortest queue over 2m", "replica:llm_requests_waiting:min2m"),
        scope.positive("preemptions per second", "replica:llm_preemptions:rate1m"),
    )
    return (
        Discriminator(any_of(full, thrash), defining=True),
        Discriminator(harm, defining=True),
        Discriminator(
            scope.below("batch limit in use", "replica:llm_admission_fullness:ratio_avg2m", "admission_fullness_ratio")
        ),
        Discriminator(_queue_bound(scope)),
    )


def _admission_limited(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        Discriminator(
            scope.at_least(
                "batch limit in use", "replica:llm_admission_fullness:ratio_avg2m", "admission_fullness_ratio"
            ),
            defining=True,
        ),
        Discriminator(scope.positive("shortest queue over 2m", "replica:llm_requests_waiting:min2m"), defining=True),
        Discriminator(
            scope.below("mean KV usage", "replica:llm_kv_cache_usage:avg2m", "kv_cache_usage_room_ratio"), defining=True
        ),
        Discriminator(scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m"), defining=True),
        Discriminator(_queue_bound(scope)),
        Discriminator(scope.within_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds")),
    )


def _queue_buildup(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        Discriminator(scope.positive("requests waiting:", "service:llm_requests_waiting:sum"), defining=True),
        Discriminator(
            scope.at_least(
                "queue share of TTFT", "service:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
            )
        ),
    )


def _high_latency(scope: Scope) -> tuple[Discriminator, ...]:
    over = any_of(
        scope.over_objective("TTFT p95", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
        scope.over_objective("ITL p95", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    )
    enough = scope.at_least("first tokens in 5m:", "service:llm_ttft_seconds_events:count5m", "min_ttft_events")
    return (Discriminator(over, defining=True), Discriminator(enough, defining=True))


def _slo_burn(scope: Scope) -> tuple[Discriminator, ...]:
    # The windows are Prometheus's; this says which promise is broken at this moment. None may be: a burn outlasts it.
    promises = [
        ("TTFT p95", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
        ("ITL p95", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
        ("failing requests", "service:llm_request_errors:ratio_rate5m", "error_ratio"),
    ]
    if scope.evidence.objectives.get("request_duration_p95_seconds") is not None:  # most services promise none
        promises.append(
            ("end-to-end p95", "service:llm_request_duration_seconds:p95_5m", "request_duration_p95_seconds")
        )
    return (Discriminator(any_of(*(scope.over_objective(*promise) for promise in promises))),)


def _low_throughput(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        Discriminator(scope.positive("shortest queue over 2m", "replica:llm_requests_waiting:min2m"), defining=True),
        Discriminator(scope.positive("own best token rate", "replica:llm_generation_tokens_capability:max1d")),
    )


def _cache_inefficiency(scope: Scope) -> tuple[Discriminator, ...]:
    # An external cache that says it does not work needs no other proof.
    broken = scope.zero("external KV caches that work:", "replica:llm_external_cache_healthy")
    missed = scope.below("prefix-cache hits", "service:llm_prefix_cache_hit:ratio_rate5m", "prefix_cache_hit_low_ratio")
    long = scope.at_least("mean prompt", "service:llm_request_prompt_tokens:mean_5m", "prefix_cache_long_prompt_tokens")
    # Hits fall when a full cache evicts prefixes: that is KV pressure.
    room = scope.below("highest KV usage", "service:llm_kv_cache_usage:max", "kv_cache_usage_high_ratio")
    if broken.agrees:
        return (Discriminator(broken, defining=True),)
    return tuple(Discriminator(check, defining=True) for check in (missed, long, room))


def _queue_bound(scope: Scope) -> Check:
    return scope.at_least(
        "queue share of TTFT", "replica:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
    )


def _kv_not_full(scope: Scope) -> Check:
    return scope.below("mean KV usage", "replica:llm_kv_cache_usage:avg2m", "kv_cache_usage_high_ratio")


DISCRIMINATORS: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.TARGET_DOWN: _target_down,
    Bottleneck.ENGINE_FROZEN: _engine_frozen,
    Bottleneck.HOST_MEMORY_PRESSURE: _host_memory_pressure,
    Bottleneck.HOST_CPU_SATURATION: _host_cpu_saturation,
    Bottleneck.GPU_MEMORY_PRESSURE: _gpu_memory_pressure,
    Bottleneck.KV_CACHE_PRESSURE: _kv_cache_pressure,
    Bottleneck.ADMISSION_LIMITED: _admission_limited,
    Bottleneck.QUEUE_BUILDUP: _queue_buildup,
    Bottleneck.HIGH_LATENCY: _high_latency,
    Bottleneck.SLO_BURN: _slo_burn,
    Bottleneck.LOW_THROUGHPUT: _low_throughput,
    Bottleneck.CACHE_INEFFICIENCY: _cache_inefficiency,
    **FLEET,
    **CAPACITY,
    **HARDWARE,
}
