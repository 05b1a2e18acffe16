"""What the recommender speaks of: evidence, diagnosis, plan, workflow.

Frozen Pydantic models, because each of them is stored and served as JSON. No behaviour beyond small derived
properties; the modules that make them (`evidence`, `diagnosis`, `planner`, `rollout`) hold the logic.
Instants are timezone-aware UTC datetimes. Numbers are in base units (seconds, bytes, tokens, ratios 0-1).
A value that could not be read is `None`: unknown, never zero.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rules.catalog import Bottleneck, BottleneckKind

KnobValue = bool | int | float | str


class Model(BaseModel):
    """Base of all models here: immutable, strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- evidence ---------------------------------------------------------------------------------------------------


class Reading(Model):
    """One number read from Prometheus, with the query that gave it. `value` None means unknown."""

    name: str  # signal name, e.g. "replica:llm_requests_waiting:avg2m"
    query: str
    value: float | None
    unit: str = ""
    instance: str | None = None  # replica-level readings name their replica


class Confirmation(Model):
    """A bottleneck condition that held in Prometheus at the instant of the evidence."""

    bottleneck: Bottleneck
    instances: tuple[str, ...] = ()  # replicas on which it held; empty for a service- or node-level condition
    value: float | None = None
    query: str = ""


class Evidence(Model):
    """The signals of one service read at one instant."""

    service: str
    at: datetime
    service_readings: dict[str, Reading] = {}
    replica_readings: dict[str, dict[str, Reading]] = {}  # instance -> signal name -> reading
    thresholds: dict[str, float | None] = {}  # threshold name -> value
    objectives: dict[str, float | None] = {}  # objective name -> value
    confirmed: tuple[Confirmation, ...] = ()

    def value(self, name: str, instance: str | None = None) -> float | None:
        """The value of a service signal, or of a replica signal when `instance` is given; None when unknown."""
        readings = self.service_readings if instance is None else self.replica_readings.get(instance, {})
        reading = readings.get(name)
        return None if reading is None else reading.value


# --- diagnosis --------------------------------------------------------------------------------------------------


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


# --- plan -------------------------------------------------------------------------------------------------------


class Risk(StrEnum):
    """Risk class of a change: decides who approves and how it is verified."""

    LIVE = "live"
    RESTART = "restart"
    QUALITY = "quality"
    HARDWARE = "hardware"


class Direction(StrEnum):
    """Which way a metric should move."""

    LOWER = "lower"
    HIGHER = "higher"


class Expectation(Model):
    """Expected effect: the metric's new value over the old one as a range, with the source of the range."""

    metric: str
    direction: Direction
    low: float  # ratio new/old, pessimistic end
    high: float  # ratio new/old, optimistic end
    source: str


class Change(Model):
    """One knob of one engine, old value to new value."""

    knob: str  # engine-neutral
    engine: str
    flag: str  # "--max-num-seqs"
    config_key: str  # "max-num-seqs"
    old: KnobValue
    new: KnobValue
    reason: str
    formula: str
    inputs: dict[str, float] = {}
    risk: Risk


class Guard(Model):
    """A metric that must not get worse: canary against control, or against an absolute limit."""

    metric: str
    max_ratio: float | None = None  # canary/control above this is worse
    max_value: float | None = None  # canary above this is worse
    max_increase: float | None = None  # canary - control above this is worse (error ratio, in ratio points)


class Verification(Model):
    """How a change is judged."""

    must_improve: Expectation
    min_improvement: float = 0.03  # relative change below which nothing is proven (tuning §7.2 no. 6)
    guards: tuple[Guard, ...] = ()
    settle_seconds: float
    window_seconds: float
    interval_seconds: float
    min_requests: int
    max_extensions: int = 1


class Alternative(Model):
    """A playbook that was considered and not chosen, and why; or advice outside the engine."""

    playbook: str
    title: str
    reason: str
    change: Change | None = None


class EvidenceItem(Model):
    """A line of the plan's justification."""

    text: str
    query: str
    value: float | None
    threshold: float | None = None


class Plan(Model):
    """One sized change for a service, with its verification, roll-back and alternatives.

    `change` None makes it advice: a person must act outside OptiInfra.
    """

    service: str
    bottleneck: Bottleneck
    playbook: str  # "P04.1"
    title: str
    change: Change | None
    instances: tuple[str, ...] = ()  # replicas to change, the canary first
    executor: str  # executor type; "none" when the service is not in the inventory
    healthy_replicas: int | None = None  # replicas of the service that answered at the evidence; None: unknown
    confidence: float
    evidence: tuple[EvidenceItem, ...]
    expected: tuple[Expectation, ...] = ()
    verification: Verification | None = None
    rollback: str
    alternatives: tuple[Alternative, ...] = ()
    advice: tuple[str, ...] = ()


# --- workflow ---------------------------------------------------------------------------------------------------


class WorkflowState(StrEnum):
    """Where a workflow stands (design §8). The transition table is `recommender.rollout.states`."""

    ADVISED = "advised"  # advice only; nothing to carry out
    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    CANARY = "canary"
    ROLLING_OUT = "rolling_out"
    VALIDATING = "validating"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"


class ReplicaPhase(StrEnum):
    """What has been done to one replica."""

    PENDING = "pending"
    APPLYING = "applying"  # intent recorded; the executor may or may not have acted
    APPLIED = "applied"  # receipt recorded; not ready yet
    READY = "ready"  # serving with the new value
    RESTORING = "restoring"
    RESTORED = "restored"
    FAILED = "failed"


class Snapshot(Model):
    """What an executor needs to put a replica back: opaque outside the executor."""

    executor: str
    content: str | None  # the engine's configuration file as it was; None when there was none
    digest: str = ""


class ReplicaProgress(Model):
    """One replica within a workflow."""

    instance: str
    phase: ReplicaPhase = ReplicaPhase.PENDING
    snapshot: Snapshot | None = None
    attempts: int = 0
    applied_at: datetime | None = None
    ready_at: datetime | None = None
    error: str = ""


class VerdictOutcome(StrEnum):
    """Four outcomes (design §8): an error to measure is never a failure of the change."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"


class Comparison(Model):
    """One metric, canary against control (or after against before)."""

    metric: str
    canary: float | None
    control: float | None
    ratio: float | None
    p_value: float | None = None
    outcome: VerdictOutcome
    text: str


class Verdict(Model):
    """The judgement of one measurement window."""

    outcome: VerdictOutcome
    at: datetime
    window_seconds: float
    comparisons: tuple[Comparison, ...] = ()
    text: str


class Baseline(Model):
    """The service just before the first replica was changed, for the before/after that a person sees."""

    at: datetime
    values: dict[str, float | None]  # signal name -> value


class Workflow(Model):
    """A plan being decided on and carried out. `version` guards against lost updates."""

    id: str
    service: str
    state: WorkflowState
    plan: Plan
    diagnosis: Diagnosis
    incident_id: str | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 0
    due_at: datetime | None = None  # when the reconciler should look again; None: waits for a person or is over
    expires_at: datetime | None = None
    decided_by: str = ""
    replicas: tuple[ReplicaProgress, ...] = ()
    phase_started_at: datetime | None = None  # when the current state's window began
    extensions: int = 0
    errors: int = 0  # consecutive measuring errors
    baseline: Baseline | None = None
    verdicts: tuple[Verdict, ...] = ()
    outcome: dict[str, float | None] = {}  # signal name -> value when validated
    reason: str = ""  # why the last transition happened, for a person


class Event(Model):
    """One thing that happened to a workflow; becomes an audit row."""

    at: datetime
    actor: str  # token name or "optiinfra"
    kind: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    from_state: WorkflowState | None = None
    to_state: WorkflowState | None = None
    reason: str = ""
    detail: dict[str, object] = {}
