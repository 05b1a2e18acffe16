"""From a diagnosis to one plan: the first playbook that can change a knob, the others as alternatives.

Pure, except `context_of`, which asks the executor for the engines' configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recommender.contracts import Executor, ReplicaTarget
from recommender.diagnosis.symptoms import TITLES
from recommender.errors import ExecutorError, NotFound
from recommender.facts import ServiceFacts
from recommender.figures import figure
from recommender.inventory import ServiceConfig, VerificationConfig
from recommender.knobs import KnobCatalog, load
from recommender.ledger import SiteEffects
from recommender.model import (
    Alternative,
    Change,
    Diagnosis,
    Evidence,
    EvidenceItem,
    Expectation,
    Finding,
    KnobValue,
    Plan,
    Verification,
)
from recommender.playbooks import PLAYBOOKS, Advice, Effects, PlanContext, Playbook
from recommender.playbooks.scope import ChangeScope, change_scope
from recommender.sizing import LinearItl, NotApplicable

Outcome = Change | Advice | NotApplicable


def context_of(
    service: str,
    config: ServiceConfig | None,
    targets: Sequence[ReplicaTarget],
    executor: Executor | None,
    *,
    itl: LinearItl | None = None,
    start_seconds: float | None = None,
    ledger: SiteEffects | None = None,
    facts: ServiceFacts | None = None,
) -> PlanContext:
    """What the inventory and the executor know of a service; the empty context when it is not in the inventory.

    A configuration that cannot be read is unknown, which makes the plan advice: no error is raised for it. `itl` is
    the latency model that `calibration.fit_itl` found, if any; `start_seconds` how long a replica took to serve again;
    `ledger` what changes did at this site before; `facts` what `recommender.facts.facts_of` knows.
    """
    if config is None:
        return PlanContext(service=service)
    return PlanContext(
        service=service,
        engine=config.engine,
        executor=config.executor.type,
        replicas=tuple(targets),
        knobs=_catalog(config.engine),
        settings={target.instance: _settings(executor, target) for target in targets},
        declared=config.settings.declared(),
        verification=config.verification,
        itl=itl,
        tuning=config.tuning,
        start_seconds=start_seconds,
        ledger=ledger or SiteEffects(),
        facts=facts or ServiceFacts(),
        companions={each.instance: each.engine for replica in config.replicas for each in replica.companions},
    )


def make_plan(diagnosis: Diagnosis, evidence: Evidence, context: PlanContext) -> Plan | None:
    """One sized change with its verification, or advice; None when there is nothing to act on."""
    root = diagnosis.root
    if root is None:
        return None
    outcomes = [(playbook, playbook.size(evidence, root, context)) for playbook in PLAYBOOKS.get(root.bottleneck, ())]
    for playbook, outcome in outcomes:
        if isinstance(outcome, Change) and playbook.effects is not None:
            scope = change_scope(outcome.knob, evidence, root, context)
            if isinstance(scope, ChangeScope):
                effects = playbook.effects(outcome, evidence, scope.instances[0], context)
                return _change_plan(playbook, outcome, effects, scope, _Case(root, evidence, context, outcomes))
    return _advice_plan(_Case(root, evidence, context, outcomes))


@dataclass(frozen=True, slots=True)
class _Case:
    """What every part of a plan is made from."""

    root: Finding
    evidence: Evidence
    context: PlanContext
    outcomes: list[tuple[Playbook, Outcome]]


def _change_plan(playbook: Playbook, change: Change, effects: Effects, scope: ChangeScope, case: _Case) -> Plan:
    return Plan(
        service=case.evidence.service,
        bottleneck=case.root.bottleneck,
        playbook=playbook.id,
        title=f"{playbook.title}: {change.flag} {_shown(change.old)} → {_shown(change.new)}",
        change=change,
        instances=scope.instances,
        executor=case.context.executor,
        healthy_replicas=_healthy(case.evidence),
        confidence=case.root.confidence,
        evidence=_evidence_items(case.root),
        expected=effects.expected,
        verification=_verification(case.context.verification, effects),
        rollback=playbook.rollback,
        alternatives=_alternatives(case.outcomes, playbook),
        advice=_advice(case.outcomes),
    )


def _advice_plan(case: _Case) -> Plan:
    first = next((playbook for playbook, outcome in case.outcomes if isinstance(outcome, Advice)), None)
    subject = TITLES.get(case.root.bottleneck, str(case.root.bottleneck))
    return Plan(
        service=case.evidence.service,
        bottleneck=case.root.bottleneck,
        playbook="none" if first is None else first.id,
        title=f"Advice: {subject}" if first is None else f"Advice: {first.title.lower()}, because {subject}",
        change=None,
        instances=case.root.instances,
        executor=case.context.executor,
        healthy_replicas=_healthy(case.evidence),
        confidence=case.root.confidence,
        evidence=_evidence_items(case.root),
        rollback="Nothing is changed by OptiInfra.",
        alternatives=_alternatives(case.outcomes, None),
        advice=_advice(case.outcomes) or ("No known action fits; the alternatives say why.",),
    )


def _alternatives(outcomes: list[tuple[Playbook, Outcome]], chosen: Playbook | None) -> tuple[Alternative, ...]:
    """Every other playbook that gave a change or did not apply; advice is listed as advice."""
    found = []
    for playbook, outcome in outcomes:
        if playbook is chosen or isinstance(outcome, Advice):
            continue
        if isinstance(outcome, Change):
            reason = "Also possible; one change at a time, the safer one first."
            found.append(Alternative(playbook=playbook.id, title=playbook.title, reason=reason, change=outcome))
        else:
            found.append(Alternative(playbook=playbook.id, title=playbook.title, reason=outcome.reason))
    return tuple(found)


def _advice(outcomes: list[tuple[Playbook, Outcome]]) -> tuple[str, ...]:
    return tuple(outcome.text for _, outcome in outcomes if isinstance(outcome, Advice))


def _evidence_items(root: Finding) -> tuple[EvidenceItem, ...]:
    return tuple(
        EvidenceItem(
            text=check.text,
            query=check.readings[0].query if check.readings else "",
            value=check.readings[0].value if check.readings else None,
            threshold=check.threshold_value,
        )
        for check in root.checks
    )


def _verification(config: VerificationConfig, effects: Effects) -> Verification:
    goal: Expectation = effects.must_improve
    return Verification(
        must_improve=goal,
        min_improvement=config.min_improvement,
        guards=effects.guards,
        settle_seconds=config.settle_seconds,
        window_seconds=config.window_seconds,
        interval_seconds=config.interval_seconds,
        min_requests=config.min_requests,
        max_extensions=config.max_extensions,
    )


def _healthy(evidence: Evidence) -> int | None:
    """Replicas that answered; None when no replica says whether it does."""
    told = [evidence.value("replica:llm_up", instance) for instance in evidence.replica_readings]
    return sum(up == 1 for up in told) if any(up is not None for up in told) else None


def _shown(value: KnobValue) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return figure(value) if isinstance(value, int | float) else value


def _catalog(engine: str) -> KnobCatalog | None:
    try:
        return load(engine)
    except NotFound:
        return None  # such a service gets advice


def _settings(executor: Executor | None, target: ReplicaTarget) -> dict[str, KnobValue]:
    try:
        return {} if executor is None else dict(executor.read(target))
    except ExecutorError:
        return {}
