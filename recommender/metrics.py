"""The closed set of metrics by which a change is expected to help and must not hurt.

A plan names these stems in its `Expectation`s and `Guard`s; `rollout.measure` knows how to read each of them for one
arm (canary or control). A stem that is not in this set cannot be verified, so no plan may use one.
"""

from collections.abc import Mapping
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
    # For engines that tell no latency. Both by Little's law: what is there over what passes a second.
    SECONDS_PER_TOKEN = "seconds_per_token"  # noqa: S105 - running over tokens a second: a token of a running request
    QUEUE_SECONDS_PER_TOKEN = "queue_seconds_per_token"  # noqa: S105 - waiting over tokens a second
    PAUSED_RATIO = "paused_ratio"  # requests paused for want of KV, over those in the batch
    MODEL_ON_DEVICE_RATIO = "model_on_device_ratio"  # of the loaded models' bytes
    # Of black-box probes: the median of the window, and the share that failed.
    PROBE_TTFT_SECONDS = "probe_ttft_seconds"
    PROBE_ITL_SECONDS = "probe_itl_seconds"
    PROBE_FAILURE_RATIO = "probe_failure_ratio"


class Work(StrEnum):
    """What shows that an arm did enough to be judged: the finest of these that its engine tells."""

    FIRST_TOKENS = "first_tokens"
    REQUESTS = "requests"
    GENERATED_TOKENS = "generated_tokens"
    PROBES = "probes"  # minutes that were probed


_M = VerificationMetric
_TOKENS = "replica:llm_generation_tokens:rate1m"

READ_FROM: Mapping[VerificationMetric, tuple[str, ...]] = {
    _M.TTFT_P95_SECONDS: ("replica:llm_ttft_seconds_bucket:rate1m",),
    _M.ITL_P95_SECONDS: ("replica:llm_itl_seconds_bucket:rate1m",),
    _M.ERROR_RATIO: ("replica:llm_request_errors:rate1m", "replica:llm_requests:rate1m"),
    _M.GENERATION_TOKENS_RATE: (_TOKENS,),
    _M.PREEMPTIONS_PER_REQUEST: ("replica:llm_preemptions:rate1m", "replica:llm_requests:rate1m"),
    _M.PREFIX_CACHE_HIT_RATIO: (
        "replica:llm_prefix_cache_hit_tokens:rate1m",
        "replica:llm_prefix_cache_query_tokens:rate1m",
    ),
    _M.REQUESTS_WAITING: ("replica:llm_requests_waiting",),
    _M.DEVICE_MEMORY_USED_RATIO: ("gpu:gpu_memory_used:ratio",),
    _M.HOST_MEMORY_AVAILABLE_RATIO: ("node:host_memory_available:ratio",),
    _M.SECONDS_PER_TOKEN: ("replica:llm_requests_running", _TOKENS),
    _M.QUEUE_SECONDS_PER_TOKEN: ("replica:llm_requests_waiting", _TOKENS),
    _M.PAUSED_RATIO: ("replica:llm_requests_paused", "replica:llm_requests_running"),
    _M.MODEL_ON_DEVICE_RATIO: ("replica:llm_model_device_memory_bytes", "replica:llm_model_memory_bytes"),
    _M.PROBE_TTFT_SECONDS: ("replica:llm_probe_ttft_seconds",),
    _M.PROBE_ITL_SECONDS: ("replica:llm_probe_itl_seconds",),
    _M.PROBE_FAILURE_RATIO: ("replica:llm_probe_success",),
}
"""The recorded signals that each metric is read from: all are needed."""

WORK_FROM: Mapping[Work, str] = {
    Work.FIRST_TOKENS: "replica:llm_ttft_seconds_count:rate1m",
    Work.REQUESTS: "replica:llm_requests:rate1m",
    Work.GENERATED_TOKENS: _TOKENS,
    Work.PROBES: "replica:llm_probe_success",
}
"""The signal that counts each kind of work, the finest first."""
