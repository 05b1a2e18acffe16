"""Black-box families: what one tiny completion request to an inference endpoint measured, whatever engine serves it.

All are of one probe, so all are gauges, and Prometheus's `instance` names the target. What a probe did not get to
(no token, no connection) is absent, never zero.
"""

from enum import StrEnum

from exporters.catalog.family import Family, Kind


class BlackboxFailure(StrEnum):
    """Why a black-box probe failed, or was not made: the closed set of `llm_probe_failure_info{reason}` values."""

    BUDGET = "budget"  # nothing was sent: a limit of the prober's own
    CREDENTIALS = "credentials"  # nothing was sent: the file of a header's secret cannot be read
    ADDRESS = "address"  # nothing was sent: the target's name resolves to an address that may not be probed
    CONNECTION = "connection"  # refused, reset, DNS
    TLS = "tls"  # handshake or certificate
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    HTTP_STATUS = "http_status"  # of the completion
    PROTOCOL = "protocol"  # not HTTP, not server-sent events, not an OpenAI stream, or one that breaks off
    TOO_LARGE = "too_large"
    MODEL = "model"  # the endpoint lists no model that could be asked, or answers so with an HTTP error
    ENGINE_ERROR = "engine_error"  # the stream itself tells of an error
    EMPTY = "empty"  # a proper answer without text


class BlackboxPhase(StrEnum):
    """Parts of a probe, in their order: the closed set of `llm_probe_phase_duration_seconds{phase}` values."""

    MODEL = "model"  # ask /v1/models, where no model is named and none is remembered
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    HEAD = "head"  # from the request's first byte to the head of the answer
    STREAM = "stream"  # from the head to the end of the stream


_ALL = (
    Family("llm_probe_success", Kind.GAUGE, "1 when a completion came whole, 0 when not; absent when none was asked."),
    Family(
        "llm_probe_duration_seconds", Kind.GAUGE, "Time that the probe took, all phases; absent when none was made."
    ),
    Family("llm_probe_phase_duration_seconds", Kind.GAUGE, "Time that a phase of the probe took.", ("phase",)),
    Family(
        "llm_probe_time_to_first_token_seconds",
        Kind.GAUGE,
        "Time from sending the request, on an open connection, to the first piece of text.",
    ),
    Family(
        "llm_probe_inter_token_latency_seconds",
        Kind.GAUGE,
        "Mean gap between tokens: from the first text to the end of the answer over tokens less one.",
    ),
    Family("llm_probe_inter_token_latency_max_seconds", Kind.GAUGE, "Longest gap between two pieces of text."),
    Family(
        "llm_probe_generated_tokens", Kind.GAUGE, "Tokens generated: as the endpoint counts, else its pieces of text."
    ),
    Family("llm_probe_http_status_code", Kind.GAUGE, "HTTP status of the answer."),
    Family("llm_probe_response_bytes", Kind.GAUGE, "Bytes of the answer's body that were read."),
    Family("llm_probe_info", Kind.INFO, "What was asked of which model; always 1.", ("module", "endpoint", "model")),
    Family("llm_probe_failure_info", Kind.INFO, "Why the probe gave no success; absent on success.", ("reason",)),
)

BLACKBOX_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}

_PROBER = (
    Family(
        "optiinfra_blackbox_probes_total",
        Kind.COUNTER,
        "Black-box probes by outcome: success or a reason of llm_probe_failure_info.",
        ("module", "outcome"),
    ),
    Family(
        "optiinfra_blackbox_reserved_tokens_total",
        Kind.COUNTER,
        "Tokens that black-box probes asked for at most, which is what their budget counts.",
        ("module",),
    ),
)

BLACKBOX_PROBER_FAMILIES: dict[str, Family] = {family.name: family for family in _PROBER}
