"""What the ledger speaks of: an effect that was measured, what of it the sizing of later plans needs, and its knobs.

All ratios are new over old (canary over control, or after over before) of one verification metric; 1 is no effect.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from recommender.model import Basis, Direction, KnobValue, VerdictOutcome, WorkflowState
from recommender.model.base import Model
from recommender.verdict import Z_95


@dataclass(frozen=True, slots=True)
class SiteResult:
    """What later plans need of an effect."""

    playbook: str
    engine: str
    gpu: str | None  # None: not known, and equal to no other one that is not known
    metric: str
    ratio: float
    sigma: float | None = None  # standard error of the ratio's logarithm; None: not known
    succeeded: bool | None = None  # of the workflow, on its promised metric only; None: says nothing of it
    predicted: float | None = None  # the likely ratio, as in the plan; None: nothing was predicted
    ended: WorkflowState | None = None  # of the workflow, on its promised metric only


class Effect(Model):
    """One metric of one finished workflow: what was promised of it and what was measured. A row of the ledger."""

    workflow_id: str
    metric: str
    at: datetime  # when the workflow ended
    service: str
    playbook: str
    engine: str
    engine_version: str | None
    gpu: str | None  # None: not known
    bottleneck: str
    knob: str
    old: KnobValue
    new: KnobValue
    direction: Direction | None  # the better way; None where nothing was promised of this metric
    promised: bool  # the metric that had to improve
    predicted_low: float | None  # as in the plan, so after the ledger's own correction
    predicted_mid: float | None
    predicted_high: float | None
    ratio: float = Field(ge=0, allow_inf_nan=False)  # measured
    ratio_low: float | None = None  # 95 % interval of it, where the window's samples gave one
    ratio_high: float | None = None
    samples: int | None = None  # independent ones of the smaller arm
    requests: float | None = None  # of the smaller arm
    basis: Basis | None  # None: a verdict of a version that did not say
    window_seconds: float | None
    outcome: VerdictOutcome | None  # of this metric; None: measured, and nobody judged it
    verdict: VerdictOutcome  # the workflow's last
    state: WorkflowState  # how the workflow ended


def succeeded(*, promised: bool, state: WorkflowState, verdict: VerdictOutcome) -> bool | None:
    """Whether a change kept its promise, by how its workflow ended; None where that does not tell.

    Only the promised metric tells. What was taken back for a person's reasons, or because measuring failed, is nothing
    against the change.
    """
    if not promised:
        return None
    if state is WorkflowState.SUCCEEDED:
        return True
    return False if verdict in {VerdictOutcome.FAIL, VerdictOutcome.INCONCLUSIVE} else None


def sigma(low: float | None, high: float | None) -> float | None:
    """Standard error of a ratio's logarithm, from its 95 % interval; None without one."""
    return math.log(high / low) / (2 * Z_95) if low and high else None


class LedgerConfig(Model):
    """How much the published ranges weigh against a site's own results. All are [G]: no reference gives them."""

    prior_weight: float = Field(3.0, gt=0, allow_inf_nan=False)
    """As many rollouts on the same engine and GPU as the published range is worth."""

    engine_share: float = Field(0.25, ge=0, le=0.5)
    """Share of what is unknown about a playbook's effect that differs between engines."""

    gpu_share: float = Field(0.25, ge=0, le=0.5)
    """Share of it that differs between GPUs of one engine; what is left over is common to the playbook."""

    sigma_unknown: float = Field(0.2, gt=0, allow_inf_nan=False)
    """Standard error of a measured log ratio whose verdict gave no interval."""

    sigma_least: float = Field(0.05, gt=0, allow_inf_nan=False)
    """Least standard error believed: what a window cannot see (another hour, other prompts) is in no interval."""

    failure_cost: float = Field(0.1, ge=0, allow_inf_nan=False)
    """What a change that was taken back costs, as a log ratio: restarts and a worse canary, for nothing."""
