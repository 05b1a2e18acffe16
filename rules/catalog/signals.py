"""Signals: engine-neutral recorded series that detection, dashboards and the recommender read.

Two layers. *Source* signals are recorded by `rules/sources/<source>.yml`, generated from the exporter's
catalogue, one file a source, all giving the same series with the same labels. *Derived* signals are recorded
by `rules/signals.yml` from source signals only, so a new engine or exporter adds a source file and nothing else.

Naming: `level:metric:operation`, the level being the labels that remain.
"""

from rules.catalog.capacity_signals import CAPACITY_SIGNALS
from rules.catalog.fleet_signals import FLEET_SIGNALS
from rules.catalog.gpu_signals import GPU_SIGNALS
from rules.catalog.host_signals import HOST_SIGNALS
from rules.catalog.score_signals import SCORE_SIGNALS
from rules.catalog.signal import Signal
from rules.catalog.slos import SLO_SIGNALS

REPLICA_LABELS = ("service", "instance", "model", "engine", "node")
SERVICE_LABELS = ("service", "model")

# Source layer, replica level. Gauges keep the family's meaning: signal name -> exporter family.
SOURCE_GAUGES: dict[str, str] = {
    # An engine that is down tells no model, and one series must say 1 and then 0: so this one signal has no `model`.
    # Its labels are service, instance, engine, node.
    "replica:llm_up": "llm_up",
    "replica:llm_requests_running": "llm_requests_running",
    "replica:llm_requests_waiting": "llm_requests_waiting",
    "replica:llm_requests_paused": "llm_requests_paused",
    "replica:llm_kv_cache_usage:ratio": "llm_kv_cache_usage_ratio",
    "replica:llm_kv_cache_capacity_tokens": "llm_kv_cache_capacity_tokens",
    "replica:llm_kv_cache_memory_fraction": "llm_kv_cache_memory_fraction",
    "replica:llm_engine_awake": "llm_engine_awake",
    # What the engine itself says of its batch limit; vLLM does not export it. `replica:llm_max_running_requests`
    # in signals.yml resolves engine, inventory and plateau.
    "replica:llm_max_running_requests:engine": "llm_max_running_requests",
    "replica:llm_max_batched_tokens": "llm_max_batched_tokens",
    "replica:llm_max_model_length_tokens": "llm_max_model_length_tokens",
    "replica:llm_tensor_parallel_size": "llm_tensor_parallel_size",
    "replica:llm_model_memory_bytes": "llm_model_memory_bytes",
    "replica:llm_model_device_memory_bytes": "llm_model_device_memory_bytes",
    "replica:llm_external_cache_used_bytes": "llm_external_cache_used_bytes",
    "replica:llm_external_cache_capacity_bytes": "llm_external_cache_capacity_bytes",
    "replica:llm_external_cache_used_tokens": "llm_external_cache_used_tokens",
    "replica:llm_external_cache_capacity_tokens": "llm_external_cache_capacity_tokens",
    "replica:llm_external_cache_healthy": "llm_external_cache_healthy",
}

# What an engine and its configuration are, in labels; the value is always 1. Signal name -> exporter family, of which
# all labels but `model` are kept: a page tells them of the engine, not of a model.
SOURCE_INFOS: dict[str, str] = {
    "replica:llm_engine:info": "llm_engine_info",
    "replica:llm_config:info": "llm_config_info",
}

# Counters become per-second rates, summed over every label but the replica's: `<stem>:rate1m`, `<stem>:rate5m`.
# stem -> exporter family.
SOURCE_COUNTERS: dict[str, str] = {
    "replica:llm_requests": "llm_requests_total",
    "replica:llm_request_errors": "llm_request_errors_total",
    "replica:llm_request_aborts": "llm_request_aborts_total",
    "replica:llm_requests_rejected": "llm_requests_rejected_total",
    "replica:llm_engine_steps": "llm_engine_steps_total",
    "replica:llm_prompt_tokens": "llm_prompt_tokens_total",
    "replica:llm_generation_tokens": "llm_generation_tokens_total",
    "replica:llm_preemptions": "llm_preemptions_total",
    "replica:llm_kv_cache_evicted_tokens": "llm_kv_cache_evicted_tokens_total",
    "replica:llm_prefix_cache_query_tokens": "llm_prefix_cache_query_tokens_total",
    "replica:llm_prefix_cache_hit_tokens": "llm_prefix_cache_hit_tokens_total",
    "replica:llm_external_cache_query_tokens": "llm_external_cache_query_tokens_total",
    "replica:llm_external_cache_hit_tokens": "llm_external_cache_hit_tokens_total",
    "replica:llm_external_cache_evictions": "llm_external_cache_evictions_total",
    "replica:llm_spec_draft_tokens": "llm_spec_draft_tokens_total",
    "replica:llm_spec_accepted_tokens": "llm_spec_accepted_tokens_total",
}

# Histograms become `<stem>_sum:rate5m` and `<stem>_count:rate1m|rate5m` of each replica. Buckets are twenty series a
# histogram, so only those that something reads are recorded: see REPLICA_BUCKETS and SERVICE_BUCKETS below.
HISTOGRAMS: dict[str, str] = {
    "replica:llm_ttft_seconds": "llm_time_to_first_token_seconds",
    "replica:llm_itl_seconds": "llm_inter_token_latency_seconds",
    "replica:llm_tpot_seconds": "llm_time_per_output_token_seconds",
    "replica:llm_request_duration_seconds": "llm_request_duration_seconds",
    "replica:llm_request_queue_seconds": "llm_request_queue_seconds",
    "replica:llm_request_prefill_seconds": "llm_request_prefill_seconds",
    "replica:llm_request_decode_seconds": "llm_request_decode_seconds",
    "replica:llm_request_prompt_tokens": "llm_request_prompt_tokens",
    "replica:llm_request_generation_tokens": "llm_request_generation_tokens",
    "replica:llm_external_cache_retrieve_seconds": "llm_external_cache_retrieve_seconds",
}

# Over which windows the rates are recorded: those that something reads. 30s shows within a minute that an engine
# stopped working (two scrapes at the shipped interval; 1m would show it only after 75 s).
_DEFAULT_WINDOWS = ("5m",)
_WINDOWS: dict[str, tuple[str, ...]] = {
    "replica:llm_requests": ("1m", "5m"),
    "replica:llm_request_errors": ("1m", "5m"),
    "replica:llm_engine_steps": ("30s",),
    "replica:llm_prompt_tokens": ("30s", "1m", "5m"),
    "replica:llm_generation_tokens": ("30s", "1m", "5m"),
    "replica:llm_preemptions": ("1m", "5m"),
    "replica:llm_prefix_cache_query_tokens": ("1m", "5m"),
    "replica:llm_prefix_cache_hit_tokens": ("1m", "5m"),
    "replica:llm_ttft_seconds_count": ("1m", "5m"),
    "replica:llm_itl_seconds_count": ("1m", "5m"),
}

# `<stem>_bucket:rate1m` of each replica (with `le`). A quantile over a longer window is
# histogram_quantile(q, sum by (le, …) (avg_over_time(<stem>_bucket:rate1m[w]))).
REPLICA_BUCKETS = ("replica:llm_ttft_seconds", "replica:llm_itl_seconds")
# `service:…_bucket:rate5m` and `service:…_bucket:series` (how many series have the bound), by engine and `le`, read
# from the sources themselves: a service has as many as one replica. Those of replicas that are scraped directly have a
# label `scraped` besides, so that a service may have both; who reads them sums over it.
SERVICE_BUCKETS = (*REPLICA_BUCKETS, "replica:llm_request_duration_seconds")


def source_windows(stem: str, part: str = "") -> tuple[str, ...]:
    """The windows over which a source rate of a replica is recorded. `part`: `_bucket`, `_sum` or `_count`."""
    if part == "_bucket":
        return ("1m",) if stem in REPLICA_BUCKETS else ()
    return _WINDOWS.get(stem + part, _DEFAULT_WINDOWS)


def service_stem(stem: str) -> str:
    """The stem of a service's histogram: `replica:llm_ttft_seconds` -> `service:llm_ttft_seconds`."""
    return f"service:{stem.partition(':')[2]}"


# How often source rules run. What alerts with a short `for` read, at each evaluation; a mean or a quantile over five
# minutes, half as often; what an engine was started with, and what is only looked at, once a minute.
AT_ONCE, HALF_AS_OFTEN, EACH_MINUTE = "", "30s", "1m"
_FACTS = frozenset(
    {
        "replica:llm_kv_cache_capacity_tokens",
        "replica:llm_kv_cache_memory_fraction",
        "replica:llm_max_running_requests:engine",
        "replica:llm_max_batched_tokens",
        "replica:llm_max_model_length_tokens",
        "replica:llm_tensor_parallel_size",
        "replica:llm_model_memory_bytes",
        "replica:llm_model_device_memory_bytes",
        "replica:llm_external_cache_capacity_bytes",
        "replica:llm_external_cache_capacity_tokens",
    }
)
_LOOKED_AT = frozenset(
    {
        "replica:llm_tpot_seconds",
        "replica:llm_request_decode_seconds",
        "replica:llm_kv_cache_evicted_tokens",
        "replica:llm_spec_draft_tokens",
        "replica:llm_spec_accepted_tokens",
    }
)


# Read by what runs half as often, or by eyes alone.
_UNHURRIED = frozenset(
    {
        ("replica:llm_requests", "1m"),
        ("replica:llm_request_errors", "1m"),
        ("replica:llm_prefix_cache_query_tokens", "1m"),
        ("replica:llm_prefix_cache_hit_tokens", "1m"),
    }
)


def source_pace(stem: str, window: str = "") -> str:
    """The interval of the group that records a source signal of a replica; empty for Prometheus's own."""
    if stem in _FACTS or stem in _LOOKED_AT:
        return EACH_MINUTE
    return HALF_AS_OFTEN if window == "5m" or stem in HISTOGRAMS or (stem, window) in _UNHURRIED else AT_ONCE


def service_bucket_pace(stem: str) -> str:
    """The interval of the group that records a service's buckets; no alert reads those of whole requests."""
    return HALF_AS_OFTEN if stem in REPLICA_BUCKETS else EACH_MINUTE


_DERIVED = (
    # -- replica: windows long enough to see through the KV gauge's sawtooth, short enough to warn within minutes
    Signal("replica:llm_requests_running:avg2m", "requests", "Mean batch size."),
    Signal("replica:llm_requests_running:max2m", "requests", "Largest batch."),
    Signal("replica:llm_requests_waiting:avg2m", "requests", "Mean queue length."),
    Signal(
        "replica:llm_requests_waiting:min2m",
        "requests",
        "Shortest queue; above 0 means that requests always waited.",
    ),
    Signal("replica:llm_kv_cache_usage:avg2m", "ratio", "Mean KV usage."),
    Signal("replica:llm_kv_cache_usage:max2m", "ratio", "Highest KV usage."),
    Signal(
        "replica:llm_max_running_requests",
        "requests",
        "Batch limit: what the engine says, else the inventory's or the engine's configuration file's, else the "
        "plateau of running while requests wait and KV is far from full.",
    ),
    Signal(
        "replica:llm_max_running_requests:plateau",
        "requests",
        "The plateau alone; absent while there is none.",
    ),
    Signal(
        "replica:llm_step_tokens:mean_5m",
        "tokens",
        "Tokens computed per engine step: token rates times the mean gap between two tokens.",
    ),
    Signal("replica:llm_admission_fullness:ratio_avg2m", "ratio", "Mean batch size over the batch limit."),
    Signal("replica:llm_tokens_per_running_request:avg5m", "tokens", "KV tokens held per running request (tau)."),
    Signal("replica:llm_ttft_seconds:p95_1m", "seconds", "TTFT p95 over 1m."),
    Signal("replica:llm_ttft_seconds:p95_5m", "seconds", "TTFT p95; the mean where p95 is in the first bucket."),
    Signal("replica:llm_ttft_seconds:mean_5m", "seconds", "TTFT mean."),
    Signal("replica:llm_itl_seconds:p95_1m", "seconds", "Inter-token latency p95 over 1m."),
    Signal("replica:llm_itl_seconds:p50_5m", "seconds", "Inter-token latency p50."),
    Signal(
        "replica:llm_itl_seconds:p95_5m",
        "seconds",
        "Inter-token latency p95; the mean where p95 is in the first bucket.",
    ),
    Signal("replica:llm_itl_seconds:p99_5m", "seconds", "Inter-token latency p99."),
    Signal(
        "replica:llm_itl_seconds:mean_5m",
        "seconds",
        "Inter-token latency mean; right below the first bucket too.",
    ),
    Signal("replica:llm_request_prompt_tokens:mean_5m", "tokens", "Mean prompt length."),
    Signal("replica:llm_request_generation_tokens:mean_5m", "tokens", "Mean output length."),
    Signal("replica:llm_queue_share_of_ttft:ratio_rate5m", "ratio", "Queue time over TTFT."),
    Signal("replica:llm_prefill_share_of_ttft:ratio_rate5m", "ratio", "Prefill time over TTFT."),
    Signal("replica:llm_preemptions_per_request:ratio_rate5m", "ratio", "Preemptions per finished request."),
    Signal("replica:llm_prefix_cache_hit:ratio_rate5m", "ratio", "Prefix-cache hit tokens over query tokens."),
    Signal("replica:llm_request_errors:ratio_rate5m", "ratio", "Errors and aborts over finished requests."),
    Signal("replica:llm_generation_tokens_backlog:rate5m", "tokens", "Token rate while requests always waited."),
    Signal("replica:llm_generation_tokens_capability:max1d", "tokens", "Best token rate under backlog in a day."),
    # Present while a cause's condition holds at this instant (no `for`), labelled `bottleneck`; the value is the
    # main figure. Alerts read it; the recommender re-confirms with it.
    Signal("replica:bottleneck:evidence", "", "Condition of a bottleneck on a replica; label `bottleneck`."),
    # -- service
    Signal("service:llm_replicas:count", "replicas", "Replicas that Prometheus knows."),
    Signal("service:llm_replicas_up:count", "replicas", "Replicas that answer."),
    Signal("service:llm_requests_running:sum", "requests", "Requests in batches."),
    Signal("service:llm_requests_waiting:sum", "requests", "Requests queued."),
    Signal("service:llm_kv_cache_usage:avg", "ratio", "Mean KV usage of the replicas."),
    Signal("service:llm_kv_cache_usage:max", "ratio", "Highest KV usage of the replicas."),
    Signal("service:llm_max_running_requests:sum", "requests", "Batch limits added up."),
    Signal("service:llm_requests:rate1m", "requests", "Finished requests per second."),
    Signal("service:llm_requests:rate5m", "requests", "Finished requests per second."),
    Signal("service:llm_prompt_tokens:rate1m", "tokens", "Prompt tokens per second."),
    Signal("service:llm_prompt_tokens:rate5m", "tokens", "Prompt tokens per second."),
    Signal("service:llm_generation_tokens:rate1m", "tokens", "Generated tokens per second."),
    Signal("service:llm_generation_tokens:rate5m", "tokens", "Generated tokens per second."),
    Signal("service:llm_preemptions:rate5m", "preemptions", "Preemptions per second."),
    Signal("service:llm_request_errors:ratio_rate5m", "ratio", "Errors and aborts over finished requests."),
    Signal("service:llm_ttft_seconds:p95_1m", "seconds", "TTFT p95 over 1m."),
    Signal("service:llm_ttft_seconds:p50_5m", "seconds", "TTFT p50."),
    Signal("service:llm_ttft_seconds:p95_5m", "seconds", "TTFT p95; the mean where p95 is in the first bucket."),
    Signal("service:llm_ttft_seconds:mean_5m", "seconds", "TTFT mean."),
    Signal(
        "service:llm_ttft_seconds:p95_pinned",
        "seconds",
        "The last bucket bound, while p95 is beyond it, so that p95 is a lower bound; else absent.",
    ),
    Signal(
        "service:llm_ttft_seconds:p95_coarse",
        "seconds",
        "The first bucket bound, while p95 is below it and the mean stands for it; else absent.",
    ),
    Signal("service:llm_itl_seconds:p95_1m", "seconds", "Inter-token latency p95 over 1m."),
    Signal("service:llm_itl_seconds:p50_5m", "seconds", "Inter-token latency p50."),
    Signal(
        "service:llm_itl_seconds:p95_5m",
        "seconds",
        "Inter-token latency p95; the mean where p95 is in the first bucket.",
    ),
    Signal("service:llm_itl_seconds:mean_5m", "seconds", "Inter-token latency mean."),
    Signal(
        "service:llm_itl_seconds:p95_pinned",
        "seconds",
        "The last bucket bound, while p95 is beyond it, so that p95 is a lower bound; else absent.",
    ),
    Signal(
        "service:llm_itl_seconds:p95_coarse",
        "seconds",
        "The first bucket bound, while p95 is below it and the mean stands for it; else absent.",
    ),
    Signal("service:llm_request_duration_seconds:p95_5m", "seconds", "End-to-end latency p95."),
    Signal(
        "service:llm_request_duration_seconds:p95_pinned",
        "seconds",
        "The last bucket bound, while p95 is beyond it, so that p95 is a lower bound; else absent.",
    ),
    Signal("service:llm_request_prompt_tokens:mean_5m", "tokens", "Mean prompt length."),
    Signal("service:llm_queue_share_of_ttft:ratio_rate5m", "ratio", "Queue time over TTFT."),
    Signal(
        "service:llm_queue_delay_seconds:mean_5m",
        "seconds",
        "Waiting over finished requests per second (Little).",
    ),
    Signal("service:llm_prefix_cache_hit:ratio_rate5m", "ratio", "Prefix-cache hit tokens over query tokens."),
    Signal("service:llm_ttft_seconds_events:count5m", "requests", "TTFT observations in 5m: the sample gate."),
    Signal("service:bottleneck:evidence", "", "Condition of a bottleneck of a service; label `bottleneck`."),
)

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        *_DERIVED,
        *FLEET_SIGNALS,
        *HOST_SIGNALS,
        *GPU_SIGNALS,
        *SLO_SIGNALS,
        *SCORE_SIGNALS,
        *CAPACITY_SIGNALS,
    )
}
