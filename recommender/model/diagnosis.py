"""Diagnosis: which bottleneck limits a service, and why that is believed."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from recommender.model.base import Model
from recommender.model.evidence import Reading
from rules.catalog import Bottleneck, BottleneckKind


class DiagnosisStatus(StrEnum):
    """How a diagnosis ended."""

    DIAGNOSED = "diagnosed"
    NOT_CONFIRMED = "not_confirmed"  # the alert's condition does not hold in Prometheus now
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"  # discriminators are unknown; `missing` names them
    HEALTHY = "healthy"  # nothing confirmed, everything needed is known


class Check(Model):
    """One discriminator of a bottleneck: what was compared and whether it agrees (None: unknown)."""

    text: str  # "KV usage 0.02 < 0.75"
    agrees: bool | None
    readings: tuple[Reading, ...] = ()
    threshold: str | None = None
    threshold_value: float | None = None


class Finding(Model):
    """One bottleneck considered, with its discriminators."""

    bottleneck: Bottleneck
    kind: BottleneckKind
    confidence: float = Field(ge=0, le=1)  # coverage x agreement of the checks
    instances: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


class Diagnosis(Model):
    """Ranked findings: the first is the root, by precedence; the rest are symptoms or weaker causes."""

    service: str
    at: datetime
    status: DiagnosisStatus
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()  # what could not be read
    text: str = ""  # one or two sentences for a person

    @property
    def root(self) -> Finding | None:
        """The finding to act on; None unless diagnosed."""
        return self.findings[0] if self.status is DiagnosisStatus.DIAGNOSED and self.findings else None
