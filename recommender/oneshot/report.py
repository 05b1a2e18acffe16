"""What `diagnose` found, as data: the JSON output, and what text and Markdown are made of.

`schema_version` grows when a field changes its meaning or goes; fields may be added at any time.
"""

from datetime import datetime
from enum import IntEnum, StrEnum

from pydantic import Field

from recommender.model import Diagnosis, Evidence, Plan
from recommender.model.base import Model
from rules.catalog import Severity

SCHEMA_VERSION = 1


class ExitCode(IntEnum):
    """How the command ends: that of the worst service."""

    HEALTHY = 0
    WARNING = 1
    CRITICAL = 2
    NOT_ENOUGH_EVIDENCE = 3
    COULD_NOT_ASK = 4


class Source(StrEnum):
    """What evidence was read from."""

    RECORDED = "recorded"  # OptiInfra's recording rules run in this Prometheus
    RAW = "raw"  # the rules were evaluated over what engines and exporters tell


class NotJudged(Model):
    """A condition that could not be evaluated without the recording rules."""

    condition: str  # "slo_burn (burn=slow)"
    reason: str


class ServiceReport(Model):
    """One service."""

    service: str
    named_by: str  # what its name is from
    engines: tuple[str, ...]
    replicas: tuple[str, ...]
    objectives_from: str = ""  # who says what is promised; the figures are in the evidence
    severity: Severity  # of the worst that holds: none, info, warning, critical
    exit_code: ExitCode
    evidence: Evidence
    diagnosis: Diagnosis
    plan: Plan | None = None
    notes: tuple[str, ...] = ()


class Report(Model):
    """One run."""

    schema_version: int = SCHEMA_VERSION
    prometheus: str  # the address, without a password
    at: datetime
    source: Source
    services: tuple[ServiceReport, ...]
    not_judged: tuple[NotJudged, ...] = ()
    queries: int
    longest_query_characters: int
    notes: tuple[str, ...] = ()
    exit_code: ExitCode = Field(default=ExitCode.HEALTHY)


def worst(codes: tuple[ExitCode, ...]) -> ExitCode:
    """A service that is known to be ill goes before one of which too little is known."""
    order = (ExitCode.HEALTHY, ExitCode.NOT_ENOUGH_EVIDENCE, ExitCode.WARNING, ExitCode.CRITICAL)
    return max(codes, key=order.index, default=ExitCode.NOT_ENOUGH_EVIDENCE)
