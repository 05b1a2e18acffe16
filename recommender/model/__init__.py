"""What the recommender speaks of: evidence, diagnosis, plan, workflow.

Frozen Pydantic models, because each of them is stored and served as JSON. No behaviour beyond small derived
properties; the modules that make them (`evidence`, `diagnosis`, `planner`, `rollout`) hold the logic.
Instants are timezone-aware UTC datetimes. Numbers are in base units (seconds, bytes, tokens, ratios 0-1).
A value that could not be read is `None`: unknown, never zero.
"""

from recommender.model.base import KnobValue, Model
from recommender.model.diagnosis import (
    Check,
    CheckWeight,
    Diagnosis,
    DiagnosisStatus,
    Finding,
    FindingRole,
    Link,
    Missing,
)
from recommender.model.evidence import Confirmation, Evidence, Fact, Placement
from recommender.model.plan import (
    Alternative,
    Apply,
    Ask,
    Change,
    Direction,
    EvidenceItem,
    Expectation,
    Feasibility,
    Guard,
    Patch,
    Plan,
    PlanQuery,
    QualityGate,
    RestartCost,
    Risk,
    Verification,
)
from recommender.model.readings import Reading, Readings, numbers_of
from recommender.model.workflow import (
    Baseline,
    Basis,
    Comparison,
    Event,
    ReplicaPhase,
    ReplicaProgress,
    Snapshot,
    Verdict,
    VerdictOutcome,
    Workflow,
    WorkflowState,
)

__all__ = [
    "Alternative",
    "Apply",
    "Ask",
    "Baseline",
    "Basis",
    "Change",
    "Check",
    "CheckWeight",
    "Comparison",
    "Confirmation",
    "Diagnosis",
    "DiagnosisStatus",
    "Direction",
    "Event",
    "Evidence",
    "EvidenceItem",
    "Expectation",
    "Fact",
    "Feasibility",
    "Finding",
    "FindingRole",
    "Guard",
    "KnobValue",
    "Link",
    "Missing",
    "Model",
    "Patch",
    "Placement",
    "Plan",
    "PlanQuery",
    "QualityGate",
    "Reading",
    "Readings",
    "ReplicaPhase",
    "ReplicaProgress",
    "RestartCost",
    "Risk",
    "Snapshot",
    "Verdict",
    "VerdictOutcome",
    "Verification",
    "Workflow",
    "WorkflowState",
    "numbers_of",
]
