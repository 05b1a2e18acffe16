"""What tells each bottleneck from its look-alikes (tuning §1 and the matrix of §1.1).

One function a class, from a scope to its discriminators. Labels are words that read well before a figure; `otherwise`
says what it is when a check disagrees.
"""

from collections.abc import Callable, Mapping

from recommender.diagnosis.answer import Discriminator, all_of, any_of, defining, expected, hint
from recommender.diagnosis.capacity import CAPACITY
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.fleet import FLEET
from recommender.diagnosis.hardware import HARDWARE
from recommender.diagnosis.hosts import HOSTS
from recommender.diagnosis.shared import clocks_high, cpus_free, queue_bound
from recommender.model import Check, Confirmation, Reading
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]


def condition(confirmation: Confirmation) -> Check:
    """The condition itself, as Prometheus has it at the instant of the evidence."""
    reading = Reading(name=confirmation.bottleneck, query=confirmation.query, value=confirmation.value)
    return Check(text=f"the condition {confirmation.bottleneck} holds in Prometheus", agrees=True, readings=(reading,))


def _target_down(scope: Scope) -> tuple[Discriminator, ...]:
    signal = "service:llm_replicas_up:count" if scope.instance is None else "replica:llm_up"
    return (defining(scope.zero("engines that answer:", signal), "a restart that is over"),)


def _engine_frozen(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        defining(scope.positive("batch", "replica:llm_requests_running"), "an idle engine"),
        defining(
            scope.zero("tokens per second over 30 s:", "replica:llm_generation_tokens:rate30s"), "an engine that works"
        ),
        hint(scope.zero("steps per second over 30 s:", "replica:llm_engine_steps:rate30s"), "an engine that works"),
        hint(
            scope.zero("prompt tokens per second over 30 s:", "replica:llm_prompt_tokens:rate30s"),
            "an engine that computes prompts, or embeddings",
        ),
        hint(scope.positive("awake:", "replica:llm_engine_awake"), "an engine that sleeps"),
    )


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
    hurts = any_of(
        scope.positive("shortest queue over 2m", "replica:llm_requests_waiting:min2m"),
        scope.positive("preemptions per second", "replica:llm_preemptions:rate1m"),
    )
    return (
        defining(any_of(full, thrash), "requests that wait for something else than KV: slots, prompts or CPUs"),
        defining(hurts, "a full and healthy batch"),
        expected(
            scope.below("batch limit in use", "replica:llm_admission_fullness:ratio_avg2m", "admission_fullness_ratio"),
            "the batch limit",
        ),
        expected(queue_bound(scope), "time to the first token that is spent elsewhere"),
        hint(clocks_high(scope), "a GPU whose clocks are held down"),
        hint(cpus_free(scope), "host CPUs that hold the engine back"),
    )


def _admission_limited(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        defining(
            scope.at_least(
                "batch limit in use", "replica:llm_admission_fullness:ratio_avg2m", "admission_fullness_ratio"
            ),
            "requests that wait for something else than slots: prompts (the token budget), CPUs or KV",
        ),
        defining(
            scope.positive("shortest queue over 2m", "replica:llm_requests_waiting:min2m"),
            "a burst, or a limit before the engine",
        ),
        defining(
            scope.below("mean KV usage", "replica:llm_kv_cache_usage:avg2m", "kv_cache_usage_room_ratio"),
            "KV-cache pressure: more slots would fill what is full",
        ),
        defining(
            scope.zero("preemptions per second:", "replica:llm_preemptions:rate1m"),
            "KV-cache pressure: running requests are thrown out",
        ),
        expected(queue_bound(scope), "time to the first token that is spent computing prompts"),
        expected(
            scope.within_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
            "decode steps that are slow, which more slots would make worse",
        ),
        hint(clocks_high(scope), "a GPU whose clocks are held down"),
        hint(cpus_free(scope), "host CPUs that hold the engine back"),
    )


def _queue_buildup(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        defining(scope.positive("requests waiting:", "service:llm_requests_waiting:sum"), "a burst that is over"),
        expected(
            scope.at_least(
                "queue share of TTFT", "service:llm_queue_share_of_ttft:ratio_rate5m", "queue_share_of_ttft_high_ratio"
            ),
            "time to the first token that is spent elsewhere",
        ),
    )


def _high_latency(scope: Scope) -> tuple[Discriminator, ...]:
    over = any_of(
        scope.over_objective("TTFT p95", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds"),
        scope.over_objective("ITL p95", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    )
    enough = scope.at_least("first tokens in 5m:", "service:llm_ttft_seconds_events:count5m", "min_ttft_events")
    return (
        defining(over, "answers that are longer: neither the first token nor the gap between tokens is late"),
        defining(enough, "too few requests for a quantile"),
    )


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
    return (expected(any_of(*(scope.over_objective(*promise) for promise in promises)), "a burn that is over"),)


def _low_throughput(scope: Scope) -> tuple[Discriminator, ...]:
    rates = "replica:llm_generation_tokens_backlog:rate5m", "replica:llm_generation_tokens_capability:max1d"
    mix = "replica:llm_prompt_tokens:rate5m", "replica:llm_generation_tokens:rate5m"
    return (
        defining(scope.positive("shortest queue over 2m", "replica:llm_requests_waiting:min2m"), "low traffic"),
        expected(scope.positive("own best token rate", "replica:llm_generation_tokens_capability:max1d")),
        hint(
            scope.ratio_below("token rate over its own best", rates, "throughput_of_capability_low_ratio"),
            "an engine that gives what it can",
        ),
        hint(
            scope.ratio_below("prompt tokens per generated token", mix, "prefill_heavy_prompt_per_generation_ratio"),
            "prompts that outweigh answers",
        ),
    )


def _cache_inefficiency(scope: Scope) -> tuple[Discriminator, ...]:
    # An external cache that says it does not work needs no other proof.
    broken = scope.zero("external KV caches that work:", "replica:llm_external_cache_healthy")
    missed = scope.below("prefix-cache hits", "service:llm_prefix_cache_hit:ratio_rate5m", "prefix_cache_hit_low_ratio")
    long = scope.at_least("mean prompt", "service:llm_request_prompt_tokens:mean_5m", "prefix_cache_long_prompt_tokens")
    room = scope.below("highest KV usage", "service:llm_kv_cache_usage:max", "kv_cache_usage_high_ratio")
    if broken.agrees:
        return (defining(broken, "a cache that works"),)
    return (
        defining(missed, "a cache that is used"),
        defining(long, "prompts that are too short to matter"),
        defining(room, "KV-cache pressure, which evicts prefixes"),
    )


DISCRIMINATORS: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.TARGET_DOWN: _target_down,
    Bottleneck.ENGINE_FROZEN: _engine_frozen,
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
    **HOSTS,
}
