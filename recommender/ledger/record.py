"""What a finished workflow measured, as rows of the ledger. Pure.

What was rolled back or stayed undecided counts as what was measured; what was not measured gives no row. Of several
measurements of one metric the deciding one counts: the last one of a change that was taken back; of one that was kept
the canary against untouched replicas, because before and after also differ by an hour of other traffic.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recommender.ledger.model import Effect
from recommender.model import (
    Basis,
    Change,
    Comparison,
    Expectation,
    Plan,
    Verdict,
    VerdictOutcome,
    Workflow,
    WorkflowState,
)

ENDS = frozenset({WorkflowState.SUCCEEDED, WorkflowState.ROLLED_BACK, WorkflowState.ROLLBACK_FAILED})
"""States in which what a change did is known. A failed roll-back may be tried again: its rows are written again."""


def effects_of(workflow: Workflow) -> tuple[Effect, ...]:
    """One effect a measured metric, by name; none while the workflow goes on or when nothing was measured."""
    change = workflow.plan.change
    if workflow.state not in ENDS or change is None or not workflow.verdicts:
        return ()
    judged, expected = _judged(workflow), _expected(workflow.plan)
    seen = {metric: _Seen.judged(*one) for metric, one in judged.items()}
    seen |= {metric: one for metric, one in _validated(workflow, expected).items() if metric not in seen}
    return tuple(_effect(workflow, change, metric, seen[metric], expected.get(metric)) for metric in sorted(seen))


@dataclass(frozen=True, slots=True)
class _Seen:
    """One measurement."""

    ratio: float
    verdict: Verdict
    comparison: Comparison | None = None  # None: measured in validation, and not judged

    @classmethod
    def judged(cls, verdict: Verdict, comparison: Comparison, ratio: float) -> "_Seen":
        return cls(ratio, verdict, comparison)


def _judged(workflow: Workflow) -> dict[str, tuple[Verdict, Comparison, float]]:
    """The deciding comparison of each metric that has a ratio."""
    found: dict[str, list[tuple[Verdict, Comparison, float]]] = {}
    for verdict in workflow.verdicts:
        for comparison in verdict.comparisons:
            if (ratio := _usable(comparison.ratio)) is not None:
                found.setdefault(comparison.metric, []).append((verdict, comparison, ratio))
    kept = workflow.state is WorkflowState.SUCCEEDED
    return {metric: _deciding(each, kept=kept) for metric, each in found.items()}


def _deciding(each: Sequence[tuple[Verdict, Comparison, float]], *, kept: bool) -> tuple[Verdict, Comparison, float]:
    controlled = [one for one in each if one[0].basis is Basis.CONTROL]
    return controlled[-1] if kept and controlled else each[-1]


def _validated(workflow: Workflow, expected: Mapping[str, Expectation]) -> dict[str, _Seen]:
    """What was expected and only seen before and after, of the whole service: throughput, mostly."""
    last = workflow.verdicts[-1]
    if workflow.baseline is None or last.outcome is VerdictOutcome.ERROR or not last.comparisons:
        return {}
    found = {}
    for metric in expected:
        before, after = workflow.baseline.values.get(metric), workflow.outcome.get(metric)
        ratio = _usable(after / before) if before and after is not None else None
        if ratio is not None:
            found[metric] = _Seen(ratio, last)
    return found


def _usable(ratio: float | None) -> float | None:
    return ratio if ratio is not None and math.isfinite(ratio) and ratio >= 0 else None


def _expected(plan: Plan) -> dict[str, Expectation]:
    expected = {one.metric: one for one in plan.expected}
    if plan.verification is not None:
        goal = plan.verification.must_improve
        expected[goal.metric] = goal
    return expected


def _effect(workflow: Workflow, change: Change, metric: str, seen: _Seen, expected: Expectation | None) -> Effect:
    plan, comparison = workflow.plan, seen.comparison
    return Effect(
        workflow_id=workflow.id,
        metric=metric,
        at=workflow.updated_at,
        service=workflow.service,
        playbook=plan.playbook,
        engine=change.engine,
        engine_version=plan.engine_version,
        gpu=plan.gpu,
        bottleneck=plan.bottleneck,
        knob=change.knob,
        old=change.old,
        new=change.new,
        direction=expected.direction if expected else None,
        promised=plan.verification is not None and plan.verification.must_improve.metric == metric,
        predicted_low=expected.low if expected else None,
        predicted_mid=expected.mid if expected else None,
        predicted_high=expected.high if expected else None,
        ratio=seen.ratio,
        ratio_low=comparison.ratio_low if comparison else None,
        ratio_high=comparison.ratio_high if comparison else None,
        samples=comparison.samples if comparison else None,
        requests=seen.verdict.requests,
        basis=seen.verdict.basis if comparison else Basis.BEFORE,
        window_seconds=seen.verdict.window_seconds,
        outcome=comparison.outcome if comparison else None,
        verdict=workflow.verdicts[-1].outcome,
        state=workflow.state,
    )
