"""P21: an error budget burns. Its cause has playbooks of its own; here is what holds while it burns."""

from recommender.figures import figure
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.sizing import NotApplicable

_PROMISES = (
    ("TTFT p95", "service:llm_ttft_seconds:p95_5m", "ttft_p95_seconds", "seconds"),
    ("ITL p95", "service:llm_itl_seconds:p95_5m", "itl_p95_seconds", "seconds"),
    ("the share of requests that fail", "service:llm_request_failures:ratio_rate5m", "error_ratio", "ratio"),
)


def _freeze(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    left = evidence.value("service:slo_error_budget_remaining:min")
    told = "" if left is None else f" {figure(max(left, 0.0), 'ratio')} of the month's error budget is left."
    return Advice(
        f"No change that only saves or tries something (scale-in, cheaper GPUs, quantisation, speculation) until the "
        f"burn is over.{told} OptiInfra proposes none meanwhile; a change that cures the cause is not one of them."
    )


def _which_promise(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    broken = [
        f"{name} is {figure(now, unit)}, over {figure(limit, unit)}"
        for name, signal, objective, unit in _PROMISES
        if (now := evidence.value(signal)) is not None
        and (limit := evidence.objectives.get(objective)) is not None
        and now > limit
    ]
    if not broken:
        return NotApplicable("each promise that can be read is kept at this moment: the burn is of the hours before")
    return Advice(
        f"{'; '.join(broken)}. No cause is confirmed: send batch work elsewhere while it lasts, and at most half of "
        "the places to it; take back a roll-out that began within two hours; add replicas where ITL grows with the "
        "batch."
    )


PLAYBOOKS = (
    Playbook("P21.2", "See which promise is broken", _which_promise),
    Playbook("P21.1", "Freeze tuning while the budget burns", _freeze),
)
