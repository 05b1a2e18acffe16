"""vLLM 0.32's own metric families, fed by the model's steps.

Names, types, labels, help and bucket bounds are those of a captured server; a test holds them equal. Families for
features that the model does not have (speculation, LoRA, multimodal, KV connectors) stay at zero, as vLLM's do.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from demo.engine.config import EngineConfig
from demo.engine.model import EngineModel, FinishReason, Sequence, Step, Totals

_LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_TTFT = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
_TOKEN_GAP = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_ITERATION = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_PREEMPTIONS = (1, 2, 3, 4, 5, 10, 20)
_CHOICES = (1, 2, 5, 10, 20)

_ZERO_COUNTERS = {
    "estimated_flops_per_gpu": (
        "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations)."
    ),
    "estimated_read_bytes_per_gpu": (
        "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations)."
    ),
    "estimated_write_bytes_per_gpu": (
        "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations)."
    ),
    "external_prefix_cache_queries": (
        "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of "
        "queried tokens."
    ),
    "external_prefix_cache_hits": (
        "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached "
        "tokens."
    ),
    "mm_cache_queries": "Multi-modal cache queries, in terms of number of queried items.",
    "mm_cache_hits": "Multi-modal cache hits, in terms of number of cached items.",
}


def one_two_five(limit: int) -> tuple[float, ...]:
    """vLLM's buckets for token counts: 1, 2, 5, 10, … up to and including `limit`."""
    bounds: list[float] = []
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power > limit:
                return tuple(bounds)
            bounds.append(digit * power)
        power *= 10


class EngineMetrics:
    """All families of one engine in a registry of its own."""

    def __init__(self, config: EngineConfig) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        GCCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._model = config.model
        self._seen = Totals()
        self._make_gauges()
        self._make_counters()
        self._make_histograms(one_two_five(config.max_model_len))
        self._publish_cache_config(config)

    def exposition(self) -> bytes:
        """The registry as Prometheus text."""
        return generate_latest(self.registry)

    def observe_state(self, model: EngineModel) -> None:
        """Take over gauges and token counters; called once a step and when requests come or go."""
        self.running.set(len(model.running))
        self.waiting.set(len(model.waiting))
        self._waiting_capacity.set(len(model.waiting))
        self.kv_usage.set(model.pool.usage)
        now, seen = model.totals, self._seen
        cached = now.prefix_hits - seen.prefix_hits
        prompt = now.prompt_tokens - seen.prompt_tokens
        self.prompt_tokens.inc(prompt)
        self._prompt_computed.inc(prompt - cached)
        for counter in (self.prefix_hits, self._prompt_cached, self._prompt_cache_hit, self._cached_on_device):
            counter.inc(cached)
        self.generation_tokens.inc(now.generation_tokens - seen.generation_tokens)
        self.prefix_queries.inc(now.prefix_queries - seen.prefix_queries)
        self.preemptions.inc(now.preemptions - seen.preemptions)
        self._seen = Totals(
            now.prompt_tokens, now.generation_tokens, now.prefix_queries, now.prefix_hits, now.preemptions
        )

    def observe_step(self, step: Step) -> None:
        """Count one finished step, its tokens and the requests that ended with it."""
        self.iteration_tokens.observe(step.scheduled_tokens)
        for token in step.tokens:
            if token.gap is not None:
                self.token_gap.observe(token.gap)
            elif token.sequence.first_token_at is not None:
                self.ttft.observe(token.sequence.first_token_at - token.sequence.arrived_at)
        for sequence in step.finished:
            self.observe_finished(sequence)

    def observe_finished(self, sequence: Sequence) -> None:
        """Record a request at its end, aborted ones too; phases that it never reached are not recorded."""
        reason, ended = sequence.finish_reason, sequence.finished_at
        if reason is None or ended is None:
            raise ValueError(f"request {sequence.id} has not finished")
        self.finished[reason].inc()
        self.e2e.observe(ended - sequence.arrived_at)
        self.request_prompt_tokens.observe(len(sequence.prompt))
        self.request_generation_tokens.observe(sequence.generated)
        self.request_max_generation_tokens.observe(sequence.max_tokens)
        self.request_max_tokens.observe(sequence.max_tokens)
        self.request_n.observe(1)
        self.request_preemptions.observe(sequence.preemptions)
        self._observe_phases(sequence, ended)

    def _observe_phases(self, sequence: Sequence, ended: float) -> None:
        if sequence.scheduled_at is None:
            return
        self.queue_time.observe(sequence.scheduled_at - sequence.arrived_at)
        if sequence.first_token_at is None or sequence.last_token_at is None:
            return
        decode = sequence.last_token_at - sequence.first_token_at
        self.prefill_time.observe(sequence.first_token_at - sequence.scheduled_at)
        self.decode_time.observe(decode)
        self.inference_time.observe(ended - sequence.scheduled_at)
        self.prefill_computed.observe(len(sequence.prompt) - sequence.cached_tokens)
        if sequence.generated > 1:
            self.time_per_token.observe(decode / (sequence.generated - 1))

    def _gauge(self, name: str, text: str) -> Gauge:
        family = Gauge(f"vllm:{name}", text, ["model_name", "engine"], registry=self.registry)
        return family.labels(model_name=self._model, engine="0")

    def _counter_family(self, name: str, text: str, *extra: str) -> Counter:
        return Counter(f"vllm:{name}", text, ["model_name", "engine", *extra], registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return self._counter_family(name, text).labels(model_name=self._model, engine="0")

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        family = Histogram(f"vllm:{name}", text, ["model_name", "engine"], buckets=buckets, registry=self.registry)
        return family.labels(model_name=self._model, engine="0")

    def _make_gauges(self) -> None:
        self.running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self.waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        reasons = Gauge(
            "vllm:num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
            "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all "
            "reasons equals vllm:num_requests_waiting.",
            ["model_name", "engine", "reason"],
            registry=self.registry,
        )
        self._waiting_capacity = reasons.labels(model_name=self._model, engine="0", reason="capacity")
        reasons.labels(model_name=self._model, engine="0", reason="deferred").set(0)
        sleep = Gauge(
            "vllm:engine_sleep_state",
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; "
            "weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
            ["model_name", "engine", "sleep_state"],
            registry=self.registry,
        )
        for state, value in {"awake": 1, "weights_offloaded": 0, "discard_all": 0}.items():
            sleep.labels(model_name=self._model, engine="0", sleep_state=state).set(value)
        self.kv_usage = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")

    def _make_counters(self) -> None:
        for name, text in _ZERO_COUNTERS.items():
            self._counter(name, text)
        self.prefix_queries = self._counter(
            "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."
        )
        self.prefix_hits = self._counter("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.")
        self.preemptions = self._counter("num_preemptions", "Cumulative number of preemption from the engine.")
        self.prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self.generation_tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        by_source = self._counter_family("prompt_tokens_by_source", "Number of prompt tokens by source.", "source")
        sources = {
            source: by_source.labels(model_name=self._model, engine="0", source=source)
            for source in ("local_compute", "local_cache_hit", "external_kv_transfer")
        }
        self._prompt_computed, self._prompt_cache_hit = sources["local_compute"], sources["local_cache_hit"]
        self._prompt_cached = self._counter(
            "prompt_tokens_cached", "Number of cached prompt tokens (local + external)."
        )
        by_tier = self._counter_family(
            "prompt_tokens_cached_by_source",
            "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to "
            "DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at "
            "admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.",
            "source",
        )
        tiers = {
            tier: by_tier.labels(model_name=self._model, engine="0", source=tier)
            for tier in ("device", "host", "p2p", "disk", "external_unspecified")
        }
        self._cached_on_device = tiers["device"]
        success = self._counter_family(
            "request_success", "Count of successfully processed requests.", "finished_reason"
        )
        self.finished = {
            reason: success.labels(model_name=self._model, engine="0", finished_reason=reason.value)
            for reason in FinishReason
        }
        rejections = Counter(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            ["model_name", "reason"],
            registry=self.registry,
        )
        for reason in ("max_num_queued_reqs", "max_num_queued_tokens"):
            rejections.labels(model_name=self._model, reason=reason)

    def _make_histograms(self, lengths: tuple[float, ...]) -> None:
        make = self._histogram
        self.request_prompt_tokens = make("request_prompt_tokens", "Number of prefill tokens processed.", lengths)
        self.request_generation_tokens = make(
            "request_generation_tokens", "Number of generation tokens processed.", lengths
        )
        self.iteration_tokens = make(
            "iteration_tokens_total", "Histogram of number of tokens per engine_step.", _ITERATION
        )
        self.request_max_generation_tokens = make(
            "request_max_num_generation_tokens",
            "Histogram of maximum number of requested generation tokens.",
            lengths,
        )
        self.request_n = make("request_params_n", "Histogram of the n request parameter.", _CHOICES)
        self.request_max_tokens = make(
            "request_params_max_tokens", "Histogram of the max_tokens request parameter.", lengths
        )
        self.ttft = make("time_to_first_token_seconds", "Histogram of time to first token in seconds.", _TTFT)
        self.token_gap = make("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _TOKEN_GAP)
        self.time_per_token = make(
            "request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            _TOKEN_GAP,
        )
        self.e2e = make("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", _LATENCY)
        phases = {"queue": "WAITING", "inference": "RUNNING", "prefill": "PREFILL", "decode": "DECODE"}
        self.queue_time, self.inference_time, self.prefill_time, self.decode_time = (
            make(f"request_{name}_time_seconds", f"Histogram of time spent in {phase} phase for request.", _LATENCY)
            for name, phase in phases.items()
        )
        self.request_preemptions = make(
            "request_num_preemptions", "Histogram of the number of times a request was preempted.", _PREEMPTIONS
        )
        self.prefill_computed = make(
            "request_prefill_kv_computed_tokens",
            "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
            lengths,
        )

    def _publish_cache_config(self, config: EngineConfig) -> None:
        """Values are Python's `str()`, as vLLM prints them."""
        limits = config.limits
        facts: dict[str, object] = {
            "block_size": limits.block_size,
            "cache_dtype": config.cache_dtype,
            "enable_prefix_caching": limits.prefix_caching,
            "gpu_memory_utilization": config.gpu_memory_utilization,
            "is_attention_free": False,
            "kv_cache_max_concurrency": round(config.kv_cache_size_tokens / config.max_model_len, 2),
            "kv_cache_memory_bytes": config.kv_cache_memory_bytes,
            "kv_cache_size_tokens": config.kv_cache_size_tokens,
            "num_cpu_blocks": None,
            "num_gpu_blocks": limits.num_gpu_blocks,
            "num_gpu_blocks_override": config.num_gpu_blocks_override,
            "prefix_caching_hash_algo": "sha256",
            "sliding_window": None,
        }
        info = Gauge(
            "vllm:cache_config_info",
            "Information of the LLMEngine CacheConfig",
            ["engine", *facts],
            registry=self.registry,
        )
        info.labels(engine="0", **{name: str(value) for name, value in facts.items()}).set(1)
