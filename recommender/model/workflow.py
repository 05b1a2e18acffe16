"""Workflow: a plan being decided on and carried out."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from recommender.model.base import Model
from recommender.model.diagnosis import Diagnosis
from recommender.model.plan import Plan


class WorkflowState(StrEnum):
    """Where a workflow stands (design §8). The transition table is `recommender.rollout.states`."""

    ADVISED = "advised"  # advice only, with or without a change; nothing is carried out
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


class Basis(StrEnum):
    """What a changed replica is compared with."""

    CONTROL = "control"  # replicas that kept the old value, in the same minutes
    BEFORE = "before"  # the same replica, or the whole service, before the change


class Comparison(Model):
    """One metric, canary against control (or after against before).

    `ratio_low` and `ratio_high` are the 95 % interval of `ratio`, `samples` the independent samples of the smaller arm
    that it comes from; None where there were too few, or none were taken.
    """

    metric: str
    canary: float | None
    control: float | None
    ratio: float | None
    ratio_low: float | None = None
    ratio_high: float | None = None
    samples: int | None = None
    p_value: float | None = None
    outcome: VerdictOutcome
    text: str


class Verdict(Model):
    """The judgement of one measurement window."""

    outcome: VerdictOutcome
    at: datetime
    window_seconds: float
    basis: Basis | None = None  # None: nothing was compared, or a version judged it that did not say
    requests: float | None = None  # of the arm that served fewer; None: not known
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
    outcome: dict[str, float | None] = Field(default_factory=dict)  # signal name -> value when validated
    reason: str = ""  # why the last transition happened, for a person


class Event(Model):
    """One thing that happened to a workflow; becomes an audit row."""

    at: datetime
    actor: str  # token name or "optiinfra"
    kind: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    from_state: WorkflowState | None = None
    to_state: WorkflowState | None = None
    reason: str = ""
    detail: dict[str, object] = Field(default_factory=dict)
