"""Signals of how requests end and of how replicas of a service compare (`rules/fleet_signals.yml`)."""

from rules.catalog.signal import Signal

FLEET_SIGNALS = (
    Signal(
        "replica:llm_warm",
        "",
        "1 when the engine has answered for ten minutes without a restart; absent while it warms up.",
    ),
    Signal("replica:llm_ttft_seconds_events:count5m", "requests", "TTFT observations in 5m: the sample gate."),
    Signal(
        "replica:llm_request_prefill_seconds:mean_5m",
        "seconds",
        "Mean prefill time of a request; where the engine does not tell it, TTFT less the queue.",
    ),
    # -- what a client sees, where black-box probes are made
    Signal("replica:llm_probe_success", "", "1 when the last black-box probe came whole, 0 when not."),
    Signal("replica:llm_probe_ttft_seconds", "seconds", "TTFT of the last black-box probe."),
    Signal("replica:llm_probe_itl_seconds", "seconds", "Mean inter-token latency of the last black-box probe."),
    Signal("service:llm_request_failures:rate5m", "requests", "Requests per second that ended in an error."),
    Signal("service:llm_request_failures:ratio_rate5m", "ratio", "Errors, without aborts, over finished requests."),
    Signal("service:llm_request_failures:count5m", "requests", "Requests that ended in an error in 5m."),
    Signal("service:llm_request_aborts:ratio_rate5m", "ratio", "Aborts over finished requests."),
    Signal("service:llm_request_aborts:count5m", "requests", "Requests that were aborted in 5m."),
    Signal("service:llm_requests_rejected:ratio_rate5m", "ratio", "Rejected over offered requests; a lower bound."),
    Signal("service:llm_requests_rejected:count5m", "requests", "Requests rejected at admission in 5m."),
    Signal("replica:llm_unreadable", "", "Present while an engine answers with a page that cannot be read."),
    # -- which services there are: replicas that do not answer, or are just gone, make none unknown
    Signal("service:llm_up:max10m", "", "1 if a replica answered in 10m, 0 if none did."),
    # -- replicas among each other
    Signal("replica:llm_load:avg2m", "requests", "Requests in the batch and in the queue."),
    Signal("service:llm_itl_seconds:median_of_replicas", "seconds", "Median of the replicas' mean ITL."),
    Signal(
        "service:llm_itl_seconds:mad_of_replicas", "seconds", "Median absolute deviation of the replicas' mean ITL."
    ),
    Signal("replica:llm_itl_seconds:ratio_of_median", "", "Mean ITL over the median of the replicas."),
    Signal("replica:llm_itl_seconds:ratio_of_fastest", "", "Mean ITL over that of the fastest replica."),
    Signal("replica:llm_itl_seconds:robust_z", "", "Modified z-score of the mean ITL among the replicas."),
    Signal("service:llm_requests_running:median_of_replicas", "requests", "Median batch size of the replicas."),
    Signal("service:llm_generation_tokens:median_of_replicas", "tokens", "Median token rate of the replicas."),
    Signal("service:llm_load:skew_ratio", "", "Load of the busiest replica over the mean."),
    Signal("service:llm_load:spread_ratio", "", "Load of the busiest less that of the idlest replica, over the mean."),
    Signal(
        "service:llm_external_cache_hit:ratio_rate5m", "ratio", "Hit tokens over tokens looked up outside the engine."
    ),
    Signal(
        "replica:llm_requests_running:max6h",
        "requests",
        "Largest batch in six hours; absent where it is not known for all of them.",
    ),
)
