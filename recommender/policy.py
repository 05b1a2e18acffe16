"""Whether a plan may go ahead now, and who decides. Pure; every refusal says why in words for a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from recommender.diagnosis import CONFIDENCE_FLOOR
from recommender.inventory import PolicyConfig
from recommender.model import Change, Plan, Risk, Workflow

# What a policy of `auto` may approve by itself. A change that can alter answers, or touches hardware, never.
AUTO_RISKS = frozenset({Risk.LIVE, Risk.RESTART})
_MIN_REPLICAS_TO_RESTART = 2
_MIN_CONFIDENCE = CONFIDENCE_FLOOR


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a plan is admitted, why, and who approves it."""

    allowed: bool
    reason: str
    approval: Literal["manual", "auto", "none"]  # none: it is advice, which nobody can have carried out


def admit(
    plan: Plan,
    policy: PolicyConfig,
    *,
    managed: int,
    active: Workflow | None,
    last_finished_at: datetime | None,
    now: datetime,
) -> Decision:
    """Decide on `plan`.

    `managed` is how many replicas the inventory lists, `active` the service's workflow in flight, `last_finished_at`
    the end of its last change that was carried out. Advice without a change is always admitted: nothing is carried
    out. A change that a person has to make is admitted as advice, and the reason says why it is no more.
    """
    change = plan.change
    if change is None:
        return Decision(allowed=True, reason="Advice: nothing is carried out.", approval="none")
    refusal = (
        _in_flight(plan, active)
        or _cooling_down(plan, policy, last_finished_at, now)
        or _uncertain(plan)
        or _unknown_replicas(plan, change)
    )
    if refusal:
        return Decision(allowed=False, reason=refusal, approval="manual")
    if withheld := plan.withheld or _last_replica(plan, change, policy, managed):
        return Decision(allowed=True, reason=withheld, approval="none")
    return _approval(plan, change, policy, managed)


def _approval(plan: Plan, change: Change, policy: PolicyConfig, managed: int) -> Decision:
    if change.risk is not Risk.LIVE and _alone(plan, managed):
        reason = f"A person decides: nothing serves {plan.service} while its only replica restarts."
        return Decision(allowed=True, reason=reason, approval="manual")
    if policy.approval == "manual":
        return Decision(allowed=True, reason="A person decides: the policy is manual approval.", approval="manual")
    if change.risk not in AUTO_RISKS:
        reason = f"A person decides: a change of risk class {change.risk} is never approved automatically."
        return Decision(allowed=True, reason=reason, approval="manual")
    return Decision(allowed=True, reason=f"Approved by the policy: risk class {change.risk}.", approval="auto")


def _in_flight(plan: Plan, active: Workflow | None) -> str:
    if active is None:
        return ""
    return (
        f"{plan.service} already has a change in flight: workflow {active.id} ({active.state}). "
        "Wait for its end or cancel it."
    )


def _cooling_down(plan: Plan, policy: PolicyConfig, last_finished_at: datetime | None, now: datetime) -> str:
    if last_finished_at is None:
        return ""
    until = last_finished_at + timedelta(seconds=policy.cooldown_seconds)
    if now >= until:
        return ""
    return (
        f"{plan.service} was changed at {last_finished_at:%H:%M:%S} UTC and its signals still settle: the next change "
        f"is possible from {until:%Y-%m-%d %H:%M:%S} UTC (policy.cooldown_seconds: {policy.cooldown_seconds:g})."
    )


def _uncertain(plan: Plan) -> str:
    if plan.confidence >= _MIN_CONFIDENCE:
        return ""
    return f"The diagnosis is not certain enough: confidence {plan.confidence:.2f} is below {_MIN_CONFIDENCE:g}."


def _unknown_replicas(plan: Plan, change: Change) -> str:
    if change.risk is Risk.LIVE or plan.healthy_replicas is not None:
        return ""
    return f"{change.flag} takes a restart, and how many replicas of {plan.service} answer is unknown."


def _alone(plan: Plan, managed: int) -> bool:
    """Whether no other replica is known to serve: one that the inventory does not list cannot be asked."""
    return min(plan.healthy_replicas or 0, managed) < _MIN_REPLICAS_TO_RESTART


def _last_replica(plan: Plan, change: Change, policy: PolicyConfig, managed: int) -> str:
    """A restart takes a replica away for minutes; the others must carry the load, or the owner takes the outage.

    The owner's word is for a service that has one replica. Where others are down, they are what to mend first.
    """
    if change.risk is Risk.LIVE or not _alone(plan, managed):
        return ""
    if policy.allow_restart_of_last_replica and managed == 1 and plan.healthy_replicas:
        return ""
    others = (
        f"a second one (or list it in the inventory), or set services.{plan.service}.policy."
        "allow_restart_of_last_replica: true to have it made here after a person's approval"
        if managed <= 1
        else "one, or bring back those that do not answer"
    )
    return (
        f"{change.flag} takes a restart and {plan.service} has no second healthy replica that could serve meanwhile. "
        f"Add {others}; or make the change yourself in a maintenance window: {change.flag} {change.step}."
    )
