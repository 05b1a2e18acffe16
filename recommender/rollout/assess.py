"""Which arms a verdict compares: the canary with untouched replicas, the whole service with itself before."""

from collections.abc import Sequence
from datetime import datetime

from recommender.contracts import PromQL
from recommender.metrics import VerificationMetric
from recommender.model import Baseline, Basis, Guard, Plan, Verdict, Verification
from recommender.rollout.measure import Question, Window, before, objective, read_arm
from recommender.verdict import TOLERATED_LOSS, Arm, judge, measuring_error, noise_band
from rules.catalog import OBJECTIVES

CHECKED_OBJECTIVES = tuple(sorted(set(OBJECTIVES) & set(VerificationMetric)))


def baseline_of(
    promql: PromQL, plan: Plan, verification: Verification, instances: Sequence[str], at: datetime
) -> Baseline:
    """The service's figures over one window that ends at `at`. Raises PrometheusError."""
    window = before(at, verification.window_seconds)
    arm = read_arm(promql, _service(plan, verification, instances, window, "the service"))
    return Baseline(at=at, values={metric.value: arm.value(metric) for metric in VerificationMetric})


def canary_verdict(
    promql: PromQL,
    plan: Plan,
    verification: Verification,
    *,
    canary: str,
    control: Sequence[str],
    window: Window,
    started: datetime,
    at: datetime,
) -> Verdict:
    """The canary against the replicas that still run with the old value, over the same window.

    Without such replicas it is compared with itself over the window that ended when the rollout `started`.
    Raises PrometheusError.
    """
    sampled = (verification.must_improve.metric,)
    then = before(started, verification.window_seconds)

    def arm(instances: Sequence[str], when: Window, label: str) -> Arm:
        asked = Question(plan.service, instances, when, verification.interval_seconds, label, work=verification.work)
        return read_arm(promql, asked, sampled)

    changed = arm((canary,), window, f"the canary {canary}")
    earlier = arm((canary,), then, "the same replica before")
    if not control:
        return judge(verification, changed, earlier, at=at, window_seconds=window.seconds, basis=Basis.BEFORE)
    replicas = "replica" if len(control) == 1 else "replicas"
    untouched = arm(control, window, f"{len(control)} unchanged {replicas}")
    noise = noise_band(sampled[0], earlier, arm(control, then, "control before"))
    return judge(
        verification,
        changed,
        untouched,
        at=at,
        window_seconds=window.seconds,
        basis=Basis.CONTROL,
        noise=noise,
    )


def validation_verdict(
    promql: PromQL,
    plan: Plan,
    verification: Verification,
    *,
    instances: Sequence[str],
    window: Window,
    started: datetime,
    at: datetime,
) -> tuple[Verdict, dict[str, float | None]]:
    """The whole service against itself before and against its objectives; with it the figures to keep.

    An objective that was missed before must not be missed by more; one whose metric the engine did not give before
    is left out. Raises PrometheusError.
    """
    sampled = (verification.must_improve.metric,)
    then = before(started, verification.window_seconds)
    now = read_arm(promql, _service(plan, verification, instances, window, "the service now"), sampled)
    earlier = read_arm(promql, _service(plan, verification, instances, then, "before"), sampled)
    figures = {metric.value: now.value(metric) for metric in VerificationMetric}
    guards = list(verification.guards)
    for name in CHECKED_OBJECTIVES:
        was = earlier.value(name)
        if was is None:
            continue
        limit = objective(promql, plan.service, name, window.end)
        if limit is None:
            reason = f"the service's objective {name} is unknown: is rules/thresholds.yml loaded by Prometheus?"
            return measuring_error(reason, at=at, window_seconds=window.seconds), figures
        guards.append(Guard(metric=name, max_value=limit if was <= limit else was * (1 + TOLERATED_LOSS)))
    verdict = judge(
        verification.model_copy(update={"guards": tuple(guards)}),
        now,
        earlier,
        at=at,
        window_seconds=window.seconds,
        basis=Basis.BEFORE,
        require_improvement=False,
    )
    return verdict, figures


def _service(plan: Plan, verification: Verification, instances: Sequence[str], window: Window, label: str) -> Question:
    interval, work = verification.interval_seconds, verification.work
    return Question(plan.service, instances, window, interval, label, total=True, work=work)
