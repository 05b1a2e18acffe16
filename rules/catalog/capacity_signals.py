"""Signals of capacity, forecasts, desired replicas and cost (`rules/capacity.yml`); a service's have no `model`."""

from rules.catalog.signal import Signal

CAPACITY_SIGNALS = (
    # -- who is there
    Signal(
        "replica:llm_expected", "", "1 for each replica that is scraped, also while it or its exporter does not answer."
    ),
    Signal("service:llm_replicas_expected:count", "replicas", "Replicas that are there, whether they answer or not."),
    Signal("service:llm_replicas_reporting:count", "replicas", "Replicas of which load is known."),
    Signal("service:llm_replicas_reporting:ratio", "ratio", "Replicas of which load is known over those expected."),
    # -- demand and capacity; label `resource`: requests, or kv_cache, which is counted in caches of one replica
    Signal("service:llm_demand:avg2m", "", "Requests in batches and queues, or KV caches in use; label `resource`."),
    Signal("service:llm_demand:avg5m", "", "The same over 5m more."),
    Signal("service:llm_demand:p95_1d", "", "What demand was at most in 95 % of a day."),
    Signal("service:llm_queue_requests:avg2m", "requests", "Requests in queues."),
    Signal("service:llm_tokens_per_running_request:avg2m", "tokens", "KV tokens held per running request (tau)."),
    Signal("replica:llm_concurrency_limit:kv_cache", "requests", "Requests whose KV fits, at the last hour's tau."),
    Signal("replica:llm_concurrency_limit", "requests", "That or the batch limit, whichever is less (C_slo)."),
    Signal("service:llm_capacity_per_replica:avg", "", "What a replica can take; label `resource`."),
    Signal("service:llm_capacity_target:ratio", "ratio", "Share of it in use after a scale-out; label `resource`."),
    Signal("service:llm_capacity_usage:ratio", "ratio", "Demand over what reporting replicas can take."),
    # -- forecasts; labels `resource`, `method` (trend, season) and `horizon` (15m, 1h)
    Signal("service:llm_demand_growth:ratio1w", "ratio", "Demand of the last day over that of the week before."),
    Signal("service:llm_demand:forecast", "", "Demand to come; absent where nothing says that it changes."),
    Signal("service:llm_capacity_usage:forecast", "ratio", "The same over what reporting replicas can take."),
    Signal("service:llm_capacity_usage:forecast_max", "ratio", "The highest of these forecasts."),
    # -- desired replicas
    Signal(
        "service:llm_replicas_needed:count",
        "replicas",
        "Replicas that a signal asks for; label `signal`: concurrency, kv_cache, queue, forecast, forecast_1h.",
    ),
    Signal("service:llm_replicas_needed:max", "replicas", "Replicas that are needed now."),
    Signal(
        "service:llm_replicas_held:count", "replicas", "Replicas that were asked for last, or were there for an hour."
    ),
    Signal("service:llm_replicas_desired:part", "replicas", "What the desired count is the largest of; label `part`."),
    Signal("service:llm_replicas_desired:count", "replicas", "Replicas that the service should have: for autoscalers."),
    # -- scale-in
    Signal("service:llm_scale_in_replicas:count", "replicas", "Replicas after the smallest step down."),
    Signal("service:llm_scale_in_usage:ratio", "ratio", "Demand over what those can take; label `resource`."),
    Signal("service:llm_scale_in_usage:max", "ratio", "The same of the scarcer resource."),
    Signal("service:llm_scale_in:safe", "", "1 when a step down is safe at this instant, else 0."),
    Signal("service:llm_scale_in:safe_min30m", "", "1 when it was safe for half an hour, else 0."),
    Signal("replica:llm_scale_in:candidate", "requests", "Load of the replica to take away, where one may be."),
    Signal("node:llm_scale_in:candidate", "", "GPUs of a node that could be emptied: all of them are idle."),
    # -- cost, in the currency of the inventory's prices
    Signal("service:llm_cost_per_hour:sum", "", "Price of an hour of the replicas that are there."),
    Signal("service:llm_cost:increase1h", "", "What the last hour cost."),
    Signal("service:llm_tokens:rate5m", "tokens", "Tokens per second; label `tokens`: prompt, generation."),
    Signal("service:llm_tokens:increase1h", "tokens", "Tokens in the last hour; label `tokens`."),
    Signal("service:llm_request_phase_seconds:rate5m", "", "Requests that compute; label `phase`: prefill, decode."),
    Signal("service:llm_prefill_time:ratio1h", "ratio", "Prefill in the time that requests compute."),
    Signal("service:llm_cost_per_million_tokens:1h", "", "Cost of a million tokens, prompts and answers."),
    Signal("service:llm_cost_per_million_tokens:avg7d", "", "The same over a week: its cost over its tokens."),
    Signal("service:llm_cost_per_million_tokens:ratio_of_week", "", "Cost of a token over the mean of its week."),
    Signal("service:llm_cost_per_million_prompt_tokens:1h", "", "Cost of a million prompt tokens: prefill's share."),
    Signal("service:llm_cost_per_million_generation_tokens:1h", "", "Cost of a million generated tokens: the rest."),
)
