"""Builders for rollout tests: a plan for three replicas, a workflow of it, a clock that is set by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

from recommender.contracts import ReplicaTarget
from recommender.model import (
    Change,
    Diagnosis,
    DiagnosisStatus,
    Direction,
    Expectation,
    Guard,
    Plan,
    ReplicaProgress,
    Risk,
    Verification,
    Workflow,
    WorkflowState,
)
from rules.catalog import Bottleneck

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANCES = ("10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")


class HandClock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.instant = START

    def now(self) -> datetime:
        return self.instant

    def advance(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def make_verification(**update: Any) -> Verification:
    given = {
        "must_improve": Expectation(
            metric="ttft_p95_seconds", direction=Direction.LOWER, low=0.9, high=0.5, source="test"
        ),
        "guards": (
            Guard(metric="error_ratio", max_increase=0.005),
            Guard(metric="itl_p95_seconds", max_ratio=1.5),
            Guard(metric="preemptions_per_request", max_value=0.05),
        ),
        "settle_seconds": 60,
        "window_seconds": 120,
        "interval_seconds": 10,
        "min_requests": 100,
    }
    return Verification(**{**given, **update})


def make_plan(**update: Any) -> Plan:
    change = Change(
        knob="max_running_requests",
        engine="vllm",
        flag="--max-num-seqs",
        config_key="max-num-seqs",
        old=8,
        new=16,
        reason="the batch is full while memory is free",
        formula="2 x old",
        risk=Risk.RESTART,
    )
    given = {
        "service": "chat",
        "bottleneck": Bottleneck.ADMISSION_LIMITED,
        "playbook": "P04.1",
        "title": "Raise the batch limit",
        "change": change,
        "instances": INSTANCES,
        "executor": "command",
        "confidence": 0.9,
        "evidence": (),
        "verification": make_verification(),
        "rollback": "put the file back",
    }
    return Plan(**{**given, **update})


def make_workflow(state: WorkflowState = WorkflowState.APPROVED, **update: Any) -> Workflow:
    plan = update.pop("plan", None) or make_plan()
    given = {
        "id": "w1",
        "service": plan.service,
        "state": state,
        "plan": plan,
        "diagnosis": Diagnosis(service=plan.service, at=START, status=DiagnosisStatus.DIAGNOSED),
        "created_at": START,
        "updated_at": START,
        "due_at": START,
        "phase_started_at": START,
        "replicas": tuple(ReplicaProgress(instance=instance) for instance in plan.instances),
    }
    return Workflow(**{**given, **update})


def make_targets(instances: Any = INSTANCES, **update: Any) -> dict[str, ReplicaTarget]:
    given = {"service": "chat", "engine": "vllm", "config_file": "engine.yml", "restart_command": ("true",)}
    return {
        instance: ReplicaTarget(instance=instance, url=f"http://{instance}", **{**given, **update})
        for instance in instances
    }
