"""Checks that several classes ask."""

from recommender.diagnosis.answer import Answer, any_of
from recommender.diagnosis.checks import Scope
from recommender.model import Evidence


def answering(evidence: Evidence) -> list[str]:
    """Replicas that are not known to be down, sorted. What never says whether it is up is a companion of an engine."""
    up = {instance: evidence.value("replica:llm_up", instance) for instance in sorted(evidence.replica_readings)}
    engines = [instance for instance, value in up.items() if value is not None] or list(up)
    return [instance for instance in engines if up[instance] != 0]


def queue_bound(scope: Scope) -> Answer:
    """Most of the time to the first token is spent in the queue."""
    return scope.at_least(
        "queue share of TTFT", "replica:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
    )


def kv_not_full(scope: Scope) -> Answer:
    """The KV cache has room, as a mean."""
    return scope.below("mean KV usage", "replica:llm_kv_cache_usage:avg2m", "kv_cache_usage_high_ratio")


def clocks_high(scope: Scope) -> Answer:
    """The slowest GPU's clock is near its highest."""
    return scope.at_least("SM clock", "gpu:gpu_sm_clock:ratio", "gpu_sm_clock_low_ratio")


def cpus_free(scope: Scope) -> Answer:
    """The host's CPUs have room."""
    return scope.below("host CPU", "node:host_cpu_busy:ratio", "host_cpu_busy_high_ratio")


def late(scope: Scope) -> Answer:
    """Users of this replica wait longer than was promised, for a first token or between tokens."""
    return any_of(
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
        scope.over_objective("TTFT p95", "replica:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
    )


def slowed(scope: Scope) -> Answer:
    """Clocks are low, or users wait longer than was promised."""
    return any_of(scope.below("SM clock", "gpu:gpu_sm_clock:ratio", "gpu_sm_clock_low_ratio"), late(scope))
