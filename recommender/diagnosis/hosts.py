"""What tells the bottlenecks of hosts from their look-alikes (tuning §1, B15-B18).

A host is shared: what is busy there need not hold this service back, so each of these asks for harm to its replica.
"""

from collections.abc import Callable, Mapping

from recommender.diagnosis.answer import Discriminator, all_of, any_of, defining, expected, harm, hint
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.shared import cpus_free, kv_not_full, late
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]

_KEEPS_ITS_PROMISE = "a busy host whose engine keeps its promise"


def _host_memory_pressure(scope: Scope) -> tuple[Discriminator, ...]:
    some = scope.at_least(
        "time stalled on memory", "node:host_memory_pressure_some:ratio_rate2m", "host_memory_pressure_some_high_ratio"
    )
    full = scope.at_least(
        "time fully stalled on memory",
        "node:host_memory_pressure_full:ratio_rate2m",
        "host_memory_pressure_full_high_ratio",
    )
    killed = scope.positive("processes killed for memory in 30m:", "node:host_oom_kills:increase30m")
    little = scope.below("available host memory", "node:host_memory_available:ratio", "host_memory_available_low_ratio")
    return (
        defining(any_of(little, some, full, killed), "a page cache that counts as free"),
        harm(any_of(some, full, killed), "memory that is held on purpose, for KV or weights"),
    )


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
        defining(busy, "a host that has CPUs to spare"),
        defining(starved, _KEEPS_ITS_PROMISE),
        expected(kv_not_full(scope), "KV-cache pressure"),
        hint(
            scope.below("time that SMs work", "gpu:gpu_sm_active:ratio", "gpu_utilization_starved_ratio"),
            "GPUs that work all the time",
        ),
    )


def _engine_thread_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    hot = scope.at_least(
        "busiest thread of an engine", "node:host_engine_busiest_thread:ratio_rate2m", "engine_thread_busy_high_ratio"
    )
    # Engines spin while they wait: a hot thread whose GPUs work is fine.
    held_back = any_of(
        scope.below("busiest GPU", "gpu:gpu_utilization:ratio", "gpu_utilization_starved_ratio"),
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    )
    return (
        defining(hot, "threads that have time to spare"),
        defining(held_back, "an engine that spins while it waits for its GPUs"),
        expected(cpus_free(scope), "a host whose CPUs are all busy"),
        hint(
            scope.zero("time that its CPU quota was used up:", "node:host_engine_cpu_throttled:ratio"),
            "the CPU quota of its control group",
        ),
    )


def _disk_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    slow = any_of(
        scope.at_least(
            "time all work waited for I/O", "node:host_io_pressure_full:ratio_rate2m", "io_pressure_full_high_ratio"
        ),
        scope.at_least("time of a disk request", "node:host_disk_await_seconds", "disk_await_high_seconds"),
    )
    return (
        expected(
            scope.at_least("busiest disk", "node:host_disk_busy:ratio", "disk_busy_high_ratio"), "a disk that has time"
        ),
        defining(slow, "a disk that serves many requests at once"),
        hint(scope.positive("batch", "replica:llm_requests_running:avg2m"), "weights that are loaded"),
        harm(late(scope), "an engine that hardly needs its disk"),
    )


def _filesystem_full(scope: Scope) -> tuple[Discriminator, ...]:
    available = scope.below(
        "available space", "node:host_filesystem_available:ratio", "filesystem_filling_available_ratio"
    )
    return (defining(available, "space that was made"),)


def _network_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    bad = any_of(
        scope.at_least("busiest link", "node:host_network_utilization:ratio", "network_utilization_high_ratio"),
        scope.at_least("packets with errors", "node:host_network_errors:ratio", "network_errors_high_ratio"),
    )
    return (
        defining(bad, "a link that has room"),
        harm(late(scope), "a transfer that nobody waits for: streams of tokens are tiny"),
    )


HOSTS: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.HOST_MEMORY_PRESSURE: _host_memory_pressure,
    Bottleneck.HOST_CPU_SATURATION: _host_cpu_saturation,
    Bottleneck.ENGINE_THREAD_SATURATION: _engine_thread_saturation,
    Bottleneck.DISK_SATURATION: _disk_saturation,
    Bottleneck.FILESYSTEM_FULL: _filesystem_full,
    Bottleneck.NETWORK_SATURATION: _network_saturation,
}
