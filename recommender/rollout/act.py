"""Does what was decided: hands each step to whoever carries it out."""

from collections.abc import Sequence

from recommender.errors import PrometheusError
from recommender.model import Baseline, Event, Verdict, Verification, Workflow, WorkflowState
from recommender.rollout.assess import canary_verdict, validation_verdict
from recommender.rollout.change import Changer, Means
from recommender.rollout.decide import conclude
from recommender.rollout.measure import Window
from recommender.rollout.observation import Observation
from recommender.rollout.progress import event, of
from recommender.rollout.steps import (
    Advise,
    ApplyReplica,
    ConfirmReplica,
    Extend,
    GiveUpReplica,
    Measure,
    Move,
    RestoreReplica,
    Step,
    Wait,
)
from recommender.verdict import measuring_error


class Hands:
    """Carries out one step of one claimed workflow. Raises StoreUnavailable and Conflict."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._record = means.record
        self._changer = Changer(means)

    def act(self, workflow: Workflow, step: Step, seen: Observation, events: Sequence[Event] = ()) -> None:
        """Do `step`; `events` happened just before and are recorded with it."""
        now = self._means.clock.now()
        match step:
            case Wait():
                self._record.wait(workflow, step, now, events)
            case Move():
                self._record.move(workflow, step, now, events)
            case Extend():
                self._record.extend(workflow, step, now, events)
            case Measure():
                self._measure(workflow, step.window, seen)
            case Advise():
                self._changer.advise(workflow, seen)
            case ApplyReplica():
                self._changer.apply(workflow, step.instance, seen)
            case ConfirmReplica():
                self._record.confirm(workflow, of(workflow, step.instance), now)
            case RestoreReplica():
                self._changer.restore(workflow, of(workflow, step.instance), seen)
            case GiveUpReplica():
                self._record.give_up(workflow, step, now, attempts=self._means.limits.attempts)

    def _measure(self, workflow: Workflow, window: Window, seen: Observation) -> None:
        now, verification, outcome = self._means.clock.now(), workflow.plan.verification, workflow.outcome
        if verification is None or workflow.baseline is None:
            reason = "there is no verification or no baseline"
            verdict = measuring_error(reason, at=now, window_seconds=window.seconds)
        else:
            try:
                verdict, outcome = self._judge(workflow, verification, workflow.baseline, window, seen)
            except PrometheusError as error:
                verdict = measuring_error(str(error), at=now, window_seconds=window.seconds)
        judged = workflow.model_copy(update={"verdicts": (*workflow.verdicts, verdict), "outcome": outcome})
        said = event("verdict", now, verdict.text, detail={"verdict": verdict.model_dump(mode="json")})
        self.act(judged, conclude(judged, verdict, now, self._means.limits), seen, [said])

    def _judge(
        self, workflow: Workflow, verification: Verification, baseline: Baseline, window: Window, seen: Observation
    ) -> tuple[Verdict, dict[str, float | None]]:
        now = self._means.clock.now()
        if workflow.state is WorkflowState.VALIDATING:
            return validation_verdict(
                self._means.promql,
                workflow.plan,
                verification,
                instances=tuple(seen.targets),
                window=window,
                started=baseline.at,
                at=now,
            )
        canary = workflow.replicas[0].instance
        verdict = canary_verdict(
            self._means.promql,
            workflow.plan,
            verification,
            canary=canary,
            control=[instance for instance in seen.targets if instance != canary],
            window=window,
            started=baseline.at,
            at=now,
        )
        return verdict, workflow.outcome
