"""Inference families: the canonical `llm_*` vocabulary that every engine is mapped to.

What an engine does not give is absent, never zero. Mapping: `exporters/engines/*.yml`.
"""

from enum import StrEnum

from exporters.catalog.family import Family, Kind


class Engine(StrEnum):
    """Inference servers and their companions that have a catalogue file. `engine` label values are this closed set.

    In order of precedence: of a page that shows series of several, as a vLLM with LMCache or a worker of Dynamo does,
    `auto` takes the first. So engines come first, then what stands before them, then their companions.
    """

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    TRITON = "triton"  # Triton with its TensorRT-LLM backend
    TENSORRT_LLM = "tensorrt_llm"  # trtllm-serve
    LLAMACPP = "llamacpp"
    OLLAMA = "ollama"
    DYNAMO = "dynamo"  # the frontend; its workers are engines of their own
    LMCACHE = "lmcache"
    KVOPTKIT = "kvoptkit"


# They serve nobody: they stand beside an engine and tell of a cache, so they are no replicas.
COMPANIONS = frozenset({Engine.LMCACHE, Engine.KVOPTKIT})


class ProbeFailure(StrEnum):
    """Why a probe gave no data: the closed set of `llm_scrape_failure_info{reason}` values."""

    CONNECTION = "connection"  # refused, reset, DNS
    TIMEOUT = "timeout"
    HTTP_STATUS = "http_status"
    REDIRECT = "redirect"
    CONTENT = "content"  # not a text exposition, or not the JSON of an engine that has none
    TOO_LARGE = "too_large"  # bytes or lines
    TOO_MANY_SERIES = "too_many_series"
    EXPORTER_BUSY = "exporter_busy"  # the page came, and was not read in time: more engines than one exporter can read
    REFUSED_ADDRESS = "refused_address"  # what the target's name resolves to is not allowed
    UNKNOWN_ENGINE = "unknown_engine"  # auto-detection found no catalogued engine
    WRONG_ENGINE = "wrong_engine"  # the page has nothing of the engine that was named


_L = ("engine", "model")


def _gauge(name: str, text: str) -> Family:
    return Family(name, Kind.GAUGE, text, _L)


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, text, (*_L, *labels))


def _histogram(name: str, text: str) -> Family:
    return Family(name, Kind.HISTOGRAM, text, _L)


_ALL = (
    Family(
        "llm_engine_info",
        Kind.INFO,
        "Engine facts; always 1. What the engine does not tell is empty.",
        (*_L, "version"),
    ),
    Family(
        "llm_config_info",
        Kind.INFO,
        "Engine configuration that is not a number; always 1.",
        (*_L, "kv_cache_dtype", "prefix_caching", "quantization"),
    ),
    _gauge("llm_requests_running", "Requests in the current batch."),
    _gauge("llm_requests_waiting", "Requests queued in the engine."),
    _gauge("llm_requests_paused", "Requests that were running and wait to go on, for want of KV blocks."),
    _gauge("llm_kv_cache_usage_ratio", "KV blocks in use by live requests over all KV blocks, 0 to 1."),
    _gauge("llm_engine_awake", "1 while the engine is awake, 0 while it sleeps."),
    _counter("llm_requests_total", "Finished requests by finish reason.", "finish_reason"),
    _counter("llm_request_errors_total", "Requests that ended in an error or an abort."),
    _counter("llm_request_aborts_total", "Requests that were given up before their end, most of them by their client."),
    _counter("llm_requests_rejected_total", "Requests refused at admission by a queue limit.", "reason"),
    _histogram("llm_time_to_first_token_seconds", "Time from arrival to the first token."),
    _histogram("llm_inter_token_latency_seconds", "Gap between two tokens of one request."),
    _histogram("llm_time_per_output_token_seconds", "Mean seconds per output token of a request."),
    _histogram("llm_request_duration_seconds", "End-to-end request latency."),
    _histogram("llm_request_queue_seconds", "Time that a request waited for admission."),
    _histogram("llm_request_prefill_seconds", "Time that a request spent in prefill."),
    _histogram("llm_request_decode_seconds", "Time that a request spent in decode."),
    _histogram("llm_request_prompt_tokens", "Prompt length of finished requests, tokens."),
    _histogram("llm_request_generation_tokens", "Output length of finished requests, tokens."),
    _histogram("llm_step_tokens", "Tokens that the engine computed in one step."),
    _counter(
        "llm_engine_steps_total",
        "Forward passes of the engine. They go on during a long answer, when an engine that counts tokens at its end "
        "shows none.",
    ),
    _counter("llm_prompt_tokens_total", "Prompt tokens, cached ones included."),
    _counter("llm_generation_tokens_total", "Tokens generated."),
    _counter("llm_prefix_cache_query_tokens_total", "Tokens looked up in the prefix cache."),
    _counter("llm_prefix_cache_hit_tokens_total", "Tokens found in the prefix cache."),
    _counter("llm_external_cache_query_tokens_total", "Tokens looked up in an external KV cache."),
    _counter("llm_external_cache_hit_tokens_total", "Tokens found in an external KV cache."),
    _counter("llm_kv_cache_evicted_tokens_total", "Cached tokens dropped from the KV cache to make room."),
    _counter("llm_external_cache_evictions_total", "Entries dropped from an external KV cache to make room."),
    _gauge("llm_external_cache_used_bytes", "Bytes that an external KV cache holds, all workers and tiers."),
    _gauge("llm_external_cache_capacity_bytes", "Host memory that each worker of an external KV cache may fill."),
    _gauge("llm_external_cache_used_tokens", "Tokens that an external KV cache holds."),
    _gauge("llm_external_cache_capacity_tokens", "Tokens that an external KV cache can hold."),
    _gauge("llm_external_cache_healthy", "1 while an external KV cache says that it works, 0 when it does not."),
    _histogram("llm_external_cache_retrieve_seconds", "Time to load KV blocks from an external cache."),
    _histogram("llm_external_cache_store_seconds", "Time to write KV blocks to an external cache."),
    _counter("llm_preemptions_total", "Running requests preempted for want of KV blocks."),
    _counter("llm_spec_draft_tokens_total", "Tokens proposed by speculative decoding."),
    _counter("llm_spec_accepted_tokens_total", "Proposed tokens that were accepted."),
    _gauge("llm_kv_cache_capacity_tokens", "Tokens that the KV cache can hold."),
    _gauge("llm_kv_cache_memory_fraction", "Share of device memory that the engine may use, 0 to 1."),
    _gauge("llm_max_running_requests", "Limit of requests in one batch, where the engine tells it."),
    _gauge("llm_max_batched_tokens", "Limit of tokens in one step, where the engine tells it."),
    _gauge("llm_max_model_length_tokens", "Longest sequence, where the engine tells it."),
    _gauge("llm_model_memory_bytes", "Memory that a loaded model takes, wherever it is."),
    _gauge("llm_model_device_memory_bytes", "Part of a loaded model's memory that is on the GPU."),
    _gauge("llm_model_unload_time_seconds", "When an idle model will be unloaded, seconds since the epoch."),
    _gauge("llm_tensor_parallel_size", "Tensor-parallel ranks, where the engine tells it."),
)

INFERENCE_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}

_SCRAPE = (
    Family("llm_up", Kind.GAUGE, "1 when the engine gave a readable metrics page.", ("engine",)),
    Family("llm_scrape_duration_seconds", Kind.GAUGE, "Time to fetch and read the engine's pages."),
    Family(
        "llm_scrape_skipped_lines",
        Kind.GAUGE,
        "Catalogued lines left out: they cannot be read, or hold what no engine can mean.",
    ),
    Family("llm_scrape_body_bytes", Kind.GAUGE, "Size of the engine's metrics page."),
    Family(
        "llm_scrape_page_success",
        Kind.GAUGE,
        "1 when a page that tells of the engine's configuration was last read well; paths are the catalogue's.",
        ("path",),
    ),
    Family("llm_scrape_failure_info", Kind.INFO, "Why the probe gave no data; absent on success.", ("reason",)),
)

SCRAPE_FAMILIES: dict[str, Family] = {family.name: family for family in _SCRAPE}
