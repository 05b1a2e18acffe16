"""From waiting incidents to at most one workflow a service: gather, diagnose, plan, admit, store.

The incident rows are the queue. What comes of an incident is written in the same transaction as the workflow made for
it, so a kill at any point loses nothing and plans nothing twice. While an alert keeps firing it is looked at again:
with back-off when Prometheus could not be asked or did not confirm it, and after the service's cool-down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from recommender.calibration import calibrate, fit_itl
from recommender.clock import Clock
from recommender.contracts import Executor, PromQL
from recommender.diagnosis import diagnose
from recommender.errors import Conflict, NotFound, PrometheusError
from recommender.evidence import gather
from recommender.intake.model import Incident, IncidentOutcome, Settlement
from recommender.inventory import Inventory, PolicyConfig
from recommender.model import Diagnosis, DiagnosisStatus, Event, Evidence, Plan, Workflow, WorkflowState
from recommender.planner import context_of, make_plan
from recommender.policy import Decision, admit
from recommender.rollout.progress import start_seconds
from recommender.rollout.states import move
from recommender.sizing import LinearItl
from recommender.sizing.fit import FittedStep
from recommender.sizing.load import StepModel
from recommender.store import Store
from recommender.whatif import WhatIf, Wish
from recommender.whatif.ask import ask
from rules.catalog import Bottleneck

_LOG = structlog.get_logger(__name__)
_ACTOR = "optiinfra"
_LEASE = timedelta(minutes=2)
_RECHECK = timedelta(seconds=60)  # of an incident whose service has a workflow
_RETRY = timedelta(seconds=5)
_RETRY_MAX = timedelta(minutes=5)

# A workflow that ended like this was decided on: the same alert does not bring it back within the cool-down.
_DECIDED_AGAINST = frozenset({WorkflowState.REJECTED, WorkflowState.EXPIRED, WorkflowState.CANCELLED})
_CARRIED_OUT = frozenset({WorkflowState.SUCCEEDED, WorkflowState.ROLLED_BACK, WorkflowState.ROLLBACK_FAILED})
_STATUS_OUTCOME = {
    DiagnosisStatus.NOT_CONFIRMED: IncidentOutcome.NOT_CONFIRMED,
    DiagnosisStatus.HEALTHY: IncidentOutcome.NOT_CONFIRMED,
    DiagnosisStatus.NOT_ENOUGH_EVIDENCE: IncidentOutcome.NOT_ENOUGH_EVIDENCE,
}


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of a group of incidents; `workflow` only when a new one is to be stored."""

    outcome: IncidentOutcome
    reason: str
    due_in: timedelta | None
    workflow_id: str | None = None
    workflow: Workflow | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be planned now. `admission` says what would become of the plan: empty where there is none."""

    diagnosis: Diagnosis
    plan: Plan | None
    admission: str


class Pipeline:
    """Looks at incidents. `observe_latency` is told the seconds from the first alert's receipt to its plan.

    `history` is asked for the latency model, which sharpens a plan and must not delay it: give it little time. By
    default it is `promql`.
    """

    def __init__(
        self,
        *,
        store: Store,
        promql: PromQL,
        inventory: Inventory,
        executors: Mapping[str, Executor],
        clock: Clock,
        owner: str,
        ids: Callable[[], str],
        observe_latency: Callable[[float], None],
        history: PromQL | None = None,
    ) -> None:
        self._store = store
        self._promql = promql
        self._history = history or promql
        self._inventory = inventory
        self._executors = executors
        self._clock = clock
        self._owner = owner
        self._ids = ids
        self._observe_latency = observe_latency

    def run_once(self) -> bool:
        """Look at the due incidents of one service; False when none are due. Raises StoreUnavailable."""
        group = self._store.claim_incidents(self._clock.now(), self._owner, _LEASE)
        if not group:
            return False
        try:
            result = self._look(group)
        except Exception:  # put aside before the loop logs it, so that it does not keep others waiting
            self._settle(group, _Result(IncidentOutcome.FAILED, "looking at it failed; see the log", _RETRY))
            raise
        self._settle(group, result)
        return True

    def diagnosis(self, service: str) -> tuple[Evidence, Diagnosis]:
        """Evidence and diagnosis of a service as it is now, whatever alerts say. Raises PrometheusError."""
        evidence = self.evidence(service)
        return evidence, diagnose(evidence, frozenset())

    def evidence(self, service: str) -> Evidence:
        """What Prometheus knows of a service now. Raises PrometheusError."""
        return gather(self._promql, service, self._clock.now(), gpus=self._inventory.gpus_of(service))

    def what_if(self, service: str, wish: Wish) -> WhatIf:
        """A prediction of a service with other settings; nothing is changed. Raises as `whatif.ask` does."""
        return ask(
            self._promql,
            self._inventory,
            self._executors,
            service=service,
            wish=wish,
            at=self._clock.now(),
        )

    def proposal(self, service: str) -> Proposal:
        """The plan that an alert would bring now, whatever alerts say; nothing is stored.

        Raises PrometheusError, NotFound for a service that neither the inventory nor Prometheus has.
        """
        evidence, diagnosis = self.diagnosis(service)
        if service not in self._inventory.services and not evidence.replica_readings:
            raise NotFound(f"neither the inventory nor Prometheus has a service '{service}'")
        made = self._plan(service, diagnosis, evidence)
        if made is None:
            return Proposal(diagnosis, None, "")
        plan, decision = self._admitted(made)
        blocked = self._blocked(service)
        return Proposal(diagnosis, plan, blocked.reason if blocked else decision.reason)

    def _look(self, group: Sequence[Incident]) -> _Result:
        service = self._service_of(group[0])
        if service is None:
            reason = "the alert names no service, and no service of the inventory has a replica on its node"
            return _Result(IncidentOutcome.NO_SERVICE, reason, None)
        if blocked := self._blocked(service):
            return blocked
        try:
            evidence = self.evidence(service)
        except PrometheusError as exc:
            return _Result(IncidentOutcome.PROMETHEUS_UNREACHABLE, str(exc), _RETRY)
        diagnosis = diagnose(evidence, _hinted(group))
        outcome = _STATUS_OUTCOME.get(diagnosis.status)
        plan = None if outcome is IncidentOutcome.NOT_CONFIRMED else self._plan(service, diagnosis, evidence)
        # A symptom whose cause is not known may still have a change that is known to help; advice alone is no news.
        if outcome is not None and (plan is None or plan.change is None):
            missing = f" Unknown: {', '.join(one.query for one in diagnosis.missing)}." if diagnosis.missing else ""
            return _Result(outcome, f"{diagnosis.text}{missing}", _RETRY)
        if plan is None:
            return _Result(IncidentOutcome.NO_PLAN, diagnosis.text, _RETRY)
        return self._decide(group, diagnosis, plan)

    def _service_of(self, incident: Incident) -> str | None:
        """The service to look at: the alert's, else the first one with a replica on its node."""
        if incident.service:
            return incident.service
        on_node = self._inventory.services_on(incident.node) if incident.node else ()
        return next(iter(on_node), None)

    def _blocked(self, service: str) -> _Result | None:
        """Why no plan is wanted now, before Prometheus is asked; None when one is."""
        if current := self._store.open_for(service):
            reason = f"workflow {current.id} of {service} is {current.state}"
            return _Result(IncidentOutcome.PLANNED, reason, _RECHECK, current.id)
        for workflow in self._store.recent_for(service):
            if workflow.state is WorkflowState.ROLLBACK_FAILED:
                reason = f"workflow {workflow.id} could not be rolled back; mend its replicas and cancel it first"
                return _Result(IncidentOutcome.REFUSED, reason, _RECHECK, workflow.id)
            if workflow.state in _DECIDED_AGAINST and self._clock.now() < (until := self._cool(workflow)):
                reason = f"workflow {workflow.id} was {workflow.state}; the next plan is made from {until:%H:%M:%S} UTC"
                return _Result(IncidentOutcome.REFUSED, reason, _RECHECK, workflow.id)
        return None

    def _plan(self, service: str, diagnosis: Diagnosis, evidence: Evidence) -> Plan | None:
        config = self._inventory.services.get(service)
        executor = self._executors.get(config.executor.type) if config else None
        itl, step = self._latency_models(service) if config else (None, None)
        context = context_of(
            service,
            config,
            self._inventory.targets(service),
            executor,
            itl=itl,
            step=step,
            start_seconds=start_seconds(self._store.recent_for(service)),
            ledger=self._store.site_effects(config.tuning.ledger) if config else None,
            evidence=evidence,
        )
        return make_plan(diagnosis, evidence, context)

    def _latency_models(self, service: str) -> tuple[LinearItl | None, StepModel | None]:
        """ITL as a function of the batch, and the whole step; None for what the history does not allow or tell."""
        now = self._clock.now()
        try:
            itl = fit_itl(self._history, service, now)
            whole = calibrate(self._history, service, now) if itl is not None else None
        except PrometheusError as exc:
            _LOG.info("latency_model_unknown", service=service, reason=str(exc))
            return None, None
        return itl, whole.step if isinstance(whole, FittedStep) else None

    def _decide(self, group: Sequence[Incident], diagnosis: Diagnosis, plan: Plan) -> _Result:
        plan, decision = self._admitted(plan)
        now, policy, recent = self._clock.now(), self._policy(plan.service), self._store.recent_for(plan.service)
        if known := self._same_advice(plan, recent, frozenset(incident.workflow_id for incident in group)):
            return _Result(IncidentOutcome.ADVISED, f"advised already: {plan.title}", _RECHECK, known.id)
        if not decision.allowed:
            return _Result(IncidentOutcome.REFUSED, decision.reason, _RECHECK)
        workflow = _workflow(self._ids(), group[0], diagnosis, plan, now=now, policy=policy)
        events = [_created(workflow, group, diagnosis)]
        if decision.approval == "auto" and workflow.state is WorkflowState.PENDING_APPROVAL:
            workflow, approved = move(workflow, "approve", now, actor=_ACTOR, reason=decision.reason)
            workflow = workflow.model_copy(update={"decided_by": _ACTOR})
            events.append(approved)
        outcome = IncidentOutcome.ADVISED if workflow.state is WorkflowState.ADVISED else IncidentOutcome.PLANNED
        return _Result(outcome, plan.title, _RECHECK, workflow.id, workflow, tuple(events))

    def _admitted(self, plan: Plan) -> tuple[Plan, Decision]:
        """What the policy says of the plan; one that only a person can carry out says so from then on."""
        recent = self._store.recent_for(plan.service)
        decision = admit(
            plan,
            self._policy(plan.service),
            managed=len(self._inventory.targets(plan.service)),
            active=self._store.active_for(plan.service),
            last_finished_at=max((one.updated_at for one in recent if one.state in _CARRIED_OUT), default=None),
            now=self._clock.now(),
        )
        if decision.allowed and decision.approval == "none" and plan.change is not None:
            plan = plan.model_copy(update={"withheld": decision.reason})
        return plan, decision

    def _same_advice(self, plan: Plan, recent: Sequence[Workflow], answers: frozenset[str | None]) -> Workflow | None:
        """Advice of this very kind that was given for these incidents, or within the cool-down."""
        now = self._clock.now()
        return next(
            (
                one
                for one in recent
                if one.state is WorkflowState.ADVISED
                and _kind(one.plan) == _kind(plan)
                and (one.id in answers or now < self._cool(one))
            ),
            None,
        )

    def _cool(self, workflow: Workflow) -> datetime:
        return workflow.updated_at + timedelta(seconds=self._policy(workflow.service).cooldown_seconds)

    def _policy(self, service: str) -> PolicyConfig:
        config = self._inventory.services.get(service)
        return config.policy if config else PolicyConfig()

    def _settle(self, group: Sequence[Incident], result: _Result) -> None:
        now, first = self._clock.now(), group[0]
        attempts = first.attempts + 1 if first.outcome == result.outcome else 1
        settlement = Settlement(
            incident_ids=tuple(incident.id for incident in group),
            outcome=result.outcome,
            reason=result.reason,
            at=now,
            due_at=None if result.due_in is None else now + _backed_off(result.due_in, attempts),
            attempts=attempts,
            workflow_id=result.workflow_id,
        )
        if result.workflow is not None:
            self._create(result.workflow, result.events, settlement, group)
            return
        changed = first.outcome != result.outcome  # one row a change, not one a look
        event = Event(at=now, actor=_ACTOR, kind=f"incident_{result.outcome}", reason=result.reason, detail=_of(group))
        self._store.settle(settlement, [event] if changed else [])
        if changed:
            _LOG.info("incident_looked_at", service=first.service, outcome=result.outcome, reason=result.reason)

    def _create(
        self, workflow: Workflow, events: Sequence[Event], settlement: Settlement, group: Sequence[Incident]
    ) -> None:
        try:
            self._store.create(workflow, events, settlement)
        except Conflict:  # another recommender was faster: its workflow answers these incidents too
            current = self._store.open_for(workflow.service)
            reason = f"workflow {current.id} is {current.state}" if current else "another recommender is planning"
            self._settle(group, _Result(IncidentOutcome.PLANNED, reason, _RECHECK, current.id if current else None))
            return
        waited = min(incident.received_at for incident in group)
        self._observe_latency((settlement.at - waited).total_seconds())
        _LOG.info("workflow_created", workflow=workflow.id, service=workflow.service, state=workflow.state)


def _kind(plan: Plan) -> tuple[str, ...]:
    """What tells advice from other advice: its service came into the inventory, or a person made the change.

    A plan that can be carried out by now is no longer the advice that it was.
    """
    change = plan.change
    made_for = ("advice",) if change is None else ("withheld", str(change.old)) if plan.withheld else ("change",)
    return (plan.bottleneck, plan.playbook, plan.executor, *made_for)


def _backed_off(first: timedelta, attempts: int) -> timedelta:
    """Twice as long after each look with the same outcome, up to five minutes."""
    return min(first * float(2 ** min(attempts - 1, 16)), max(first, _RETRY_MAX))


def _hinted(group: Sequence[Incident]) -> frozenset[Bottleneck]:
    """The bottlenecks that the alerts name; a label that names none of ours hints at nothing."""
    return frozenset(Bottleneck(one.bottleneck) for one in group if one.bottleneck in set(Bottleneck))


def _of(group: Sequence[Incident]) -> dict[str, object]:
    return {
        "incidents": [incident.id for incident in group],
        "alerts": sorted({incident.alertname for incident in group}),
        "service": group[0].service,
        "node": group[0].node,
    }


def _workflow(
    workflow_id: str, first: Incident, diagnosis: Diagnosis, plan: Plan, *, now: datetime, policy: PolicyConfig
) -> Workflow:
    expires = None if plan.is_advice else now + timedelta(seconds=policy.approval_ttl_seconds)
    return Workflow(
        id=workflow_id,
        service=plan.service,
        state=WorkflowState.ADVISED if plan.is_advice else WorkflowState.PENDING_APPROVAL,
        plan=plan,
        diagnosis=diagnosis,
        incident_id=first.id,
        created_at=now,
        updated_at=now,
        due_at=expires,
        expires_at=expires,
        phase_started_at=now,
        reason=f"{plan.withheld} {diagnosis.text}" if plan.withheld else diagnosis.text,
    )


def _created(workflow: Workflow, group: Sequence[Incident], diagnosis: Diagnosis) -> Event:
    detail: dict[str, object] = {
        **_of(group),
        "plan": workflow.plan.model_dump(mode="json"),
        "diagnosis": diagnosis.model_dump(mode="json"),
    }
    return Event(
        at=workflow.created_at,
        actor=_ACTOR,
        kind="created",
        to_state=workflow.state,
        reason=workflow.plan.title,
        detail=detail,
    )
