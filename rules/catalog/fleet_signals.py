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
    Signal("service:llm_request_failures:rate5m", "requests", "Requests per second that ended in an error."),
    Signal("service:llm_request_failures:ratio_rate5m", "ratio", "Errors, without aborts, over finished requests."),
    Signal("service:llm_request_failures:count5m", "requests", "Requests that ended in an error in 5m."),
    Signal("service:llm_request_aborts:ratio_rate5m", "ratio", "Aborts over finished requests."),
    Signal("service:llm_request_aborts:count5m", "requests", "Requests that were aborted in 5m."),
    Signal("service:llm_requests_rejected:ratio_rate5m", "ratio", "Rejected over offered requests; a lower bound."),
    Signal("service:llm_requests_rejected:count5m", "requests", "Requests rejected at admission in 5m."),
)
