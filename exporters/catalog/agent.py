"""Families that the exporter gives about its registration with an orchestrator."""

from enum import StrEnum

from exporters.catalog.family import Family, Kind


class AgentOutcome(StrEnum):
    """What came of a call to the orchestrator: the closed set of `outcome` values."""

    OK = "ok"
    UNREGISTERED = "unregistered"  # 404 or 410: it does not know this agent (any more)
    REFUSED = "refused"  # another 4xx: the token or the payload is not accepted
    ERROR = "error"  # 5xx, or a status that says nothing
    TIMEOUT = "timeout"
    CONNECTION = "connection"  # refused, reset, DNS, TLS
    PROTOCOL = "protocol"  # no HTTP answer, a redirect, or a body too large
    TOKEN = "token"  # nothing was sent: the token's file cannot be read  # noqa: S105 - a word, not a secret


_ALL = (
    Family("optiinfra_agent_registered", Kind.GAUGE, "1 while the orchestrator knows this exporter, else 0."),
    Family(
        "optiinfra_agent_registrations_total", Kind.COUNTER, "Registrations tried, by what came of them.", ("outcome",)
    ),
    Family("optiinfra_agent_heartbeats_total", Kind.COUNTER, "Heartbeats tried, by what came of them.", ("outcome",)),
    Family(
        "optiinfra_agent_circuit_open",
        Kind.GAUGE,
        "1 while the orchestrator is left alone for a while because it failed several times on end, else 0.",
    ),
    Family(
        "optiinfra_agent_last_success_timestamp_seconds",
        Kind.GAUGE,
        "When the orchestrator last took a registration or a heartbeat, seconds since the epoch; absent before.",
    ),
)

AGENT_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
