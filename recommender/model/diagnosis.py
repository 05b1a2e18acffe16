"""Diagnosis: which bottleneck limits a service, and why that is believed."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from recommender.model.base import Model
from recommender.model.readings import Reading
from rules.catalog import Bottleneck, BottleneckKind


class DiagnosisStatus(StrEnum):
    """How a diagnosis ended."""

    DIAGNOSED = "diagnosed"
    NOT_CONFIRMED = "not_confirmed"  # the alert's condition does not hold in Prometheus now
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"  # discriminators are unknown; `missing` names them
    HEALTHY = "healthy"  # nothing confirmed, everything needed is known


class CheckWeight(StrEnum):
    """What a check counts for."""

    CONDITION = "condition"  # the condition of the rules: without it there is no finding
    DEFINING = "defining"  # that it disagrees shows a look-alike
    EXPECTED = "expected"  # unknown lowers the coverage
    HINT = "hint"  # counts when it is known; hardly ever is
    HARM = "harm"  # not for the class: that it disagrees shows that it holds and slows nothing down here


class Check(Model):
    """One discriminator of a bottleneck: what was compared and whether it agrees (None: unknown)."""

    text: str  # "KV usage 0.02 < 0.75"
    agrees: bool | None
    readings: tuple[Reading, ...] = ()
    threshold: str | None = None
    threshold_value: float | None = None
    weight: CheckWeight = CheckWeight.EXPECTED
    otherwise: str = ""  # what it is when the check disagrees: "a full and healthy batch"


class FindingRole(StrEnum):
    """What a finding is to the others."""

    ROOT = "root"  # to act on
    CONSEQUENCE = "consequence"  # another finding explains it
    SYMPTOM = "symptom"  # nothing that is believed explains it
    APART = "apart"  # believed, and explains no symptom that holds
    HARMLESS = "harmless"  # holds, but what it would slow down is not slow
    DOUBTFUL = "doubtful"  # too much of it is unknown, or speaks against it
    REJECTED = "rejected"  # a look-alike: a defining check disagrees


class Finding(Model):
    """One bottleneck considered, with its discriminators.

    Confidence is coverage (what is known of what the class asks) times agreement (what agrees of what is known); a
    rejected finding has none. `checks` are those that count: hints that are unknown do not, and are in `unknown` only.
    `agrees`, `disagrees` and `unknown` are texts by their answer.
    """

    bottleneck: Bottleneck
    kind: BottleneckKind
    confidence: float = Field(ge=0, le=1)
    instances: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    role: FindingRole | None = None  # None: stored before there were roles
    coverage: float | None = Field(default=None, ge=0, le=1)
    agreement: float | None = Field(default=None, ge=0, le=1)
    agrees: tuple[str, ...] = ()
    disagrees: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()  # "node/index"
    explains: tuple[Bottleneck, ...] = ()  # findings that follow from it, directly
    notes: tuple[str, ...] = ()  # why it is rejected, harmless or less certain than it looks


class Link(Model):
    """One step of a chain from a symptom back to its root."""

    bottleneck: Bottleneck
    text: str  # "the KV cache limits the batch on 10.0.0.1:8000"


class Missing(Model):
    """Something that would have to be known, and how to get it for this engine."""

    query: str  # gives it, once it is there
    signal: str = ""  # its name
    instances: tuple[str, ...] = ()  # the replicas that lack it; empty: not a replica's
    engine: str | None = None  # of these replicas; None when unknown
    how: str = ""  # the flag, the exporter, the version, the rules file
    obtainable: bool | None = None  # False: no version of the engine tells it; None: not known


def _missing(value: Any) -> Any:  # noqa: ANN401 - whatever was stored
    return {"query": value} if isinstance(value, str) else value


# A diagnosis that was stored before has bare queries.
_AnyMissing = Annotated[Missing, BeforeValidator(_missing)]


class Diagnosis(Model):
    """Ranked findings: the first is the root; the rest follow from it, are apart from it, or were rejected."""

    service: str
    at: datetime
    status: DiagnosisStatus
    findings: tuple[Finding, ...] = ()
    missing: tuple[_AnyMissing, ...] = ()  # what could not be read
    text: str = ""  # a few sentences for a person
    chain: tuple[Link, ...] = ()  # from the outermost symptom to the root, each because of the next

    @property
    def root(self) -> Finding | None:
        """The finding to act on; None unless diagnosed."""
        return self.findings[0] if self.status is DiagnosisStatus.DIAGNOSED and self.findings else None

    @property
    def rejected(self) -> tuple[Finding, ...]:
        """Conditions that hold in Prometheus and are of a look-alike."""
        return tuple(finding for finding in self.findings if finding.role is FindingRole.REJECTED)
