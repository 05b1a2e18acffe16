"""The closed set of metrics by which a change is expected to help and must not hurt.

A plan names these stems in its `Expectation`s and `Guard`s; `verdict` knows how to evaluate each of them for one arm
(canary or control). A stem that is not in this set cannot be verified, so no plan may use one.
"""

from enum import StrEnum


class VerificationMetric(StrEnum):
    """One measurable quantity of one arm; the suffix is its unit."""

    TTFT_P95_SECONDS = "ttft_p95_seconds"
    ITL_P95_SECONDS = "itl_p95_seconds"
    ERROR_RATIO = "error_ratio"  # errors and aborts over finished requests
    GENERATION_TOKENS_RATE = "generation_tokens_per_second"
    PREEMPTIONS_PER_REQUEST = "preemptions_per_request"
    PREFIX_CACHE_HIT_RATIO = "prefix_cache_hit_ratio"
    REQUESTS_WAITING = "requests_waiting"
    DEVICE_MEMORY_USED_RATIO = "device_memory_used_ratio"  # of the fullest GPU of each node
    HOST_MEMORY_AVAILABLE_RATIO = "host_memory_available_ratio"  # of the nodes
