"""From a diagnosis to one plan: the first playbook that can change a knob, the others as alternatives.

Pure, except `context_of`, which asks the executor for the engines' configuration.
"""

from collections.abc import Mapping, Sequence

from recommender.contracts import Configuration, Executor, ReplicaTarget
from recommender.diagnosis import CONFIDENCE_FLOOR
from recommender.diagnosis.symptoms import TITLES
from recommender.engine_version import engine_version
from recommender.errors import ExecutorError, NotFound
from recommender.facts import ServiceFacts, facts_of
from recommender.figures import figure
from recommender.inventory import ServiceConfig
from recommender.knobs import KnobCatalog, load
from recommender.knobs.derive import Defaults
from recommender.ledger import SiteEffects
from recommender.model import Change, Diagnosis, DiagnosisStatus, Evidence, Finding, FindingRole, KnobValue, Plan
from recommender.patches import PatchContext, render
from recommender.plan_parts import (
    Candidate,
    Case,
    Outcome,
    advice,
    alternatives,
    asks,
    corrected,
    evidence_items,
    healthy,
    in_order,
    old_value,
    quality_gate,
    ranked,
    restart_cost,
    unmeasured,
    verification,
)
from recommender.plan_queries import readable, rollback_queries, success_queries
from recommender.playbooks import PLAYBOOKS, Advice, PlanContext, Playbook
from recommender.playbooks.base import LMCACHE
from recommender.playbooks.capacity import START_REPLICAS
from recommender.playbooks.defaults import defaults_here, with_ranks
from recommender.playbooks.scope import ChangeScope, change_scope
from recommender.sizing import LinearItl
from recommender.sizing.load import StepModel
from recommender.verifiable import judged_here
from rules.catalog import Bottleneck, BottleneckKind


def context_of(
    service: str,
    config: ServiceConfig | None,
    targets: Sequence[ReplicaTarget],
    executor: Executor | None,
    *,
    itl: LinearItl | None = None,
    step: StepModel | None = None,
    start_seconds: float | None = None,
    ledger: SiteEffects | None = None,
    facts: ServiceFacts | None = None,
    evidence: Evidence | None = None,
) -> PlanContext:
    """What the inventory and the executor know of a service; the empty context when it is not in the inventory.

    A configuration that cannot be read is unknown, which makes the plan advice: no error is raised for it. `itl` is
    the latency model that `calibration.fit_itl` found, if any, and `step` what `calibrate` found; `start_seconds` how
    long a replica took to serve again; `ledger` what changes did at this site before; `facts` what
    `recommender.facts.facts_of` knows, which is asked when `evidence` is given instead. `evidence` also
    tells the engines' version, where the inventory does not: only knobs that it surely has are changed.
    """
    if config is None:
        return PlanContext(service=service)
    version = engine_version(config, evidence, [target.instance for target in targets])
    knobs = _catalog(config.engine, version.value)
    files = {target.instance: _file(executor, target) for target in targets}
    settings = {one: {} if file is None else file.values for one, file in files.items()}
    if facts is None and evidence is not None:
        set_there = {} if knobs is None else {one: knobs.neutral(found) for one, found in settings.items()}
        facts = facts_of(config, evidence, set_there)
    gpu, declared = None if facts is None else facts.gpu, config.settings.declared()
    defaults: Mapping[str, Defaults] = {}
    if knobs is not None:
        defaults = defaults_here(files, knobs, version.value, gpu=gpu, declared=declared, evidence=evidence)
    facts = None if facts is None else with_ranks(facts, defaults)
    return PlanContext(
        service=service,
        engine=config.engine,
        engine_version=version.value,
        version=version,
        executor=config.executor.type,
        replicas=tuple(targets),
        knobs=knobs,
        settings=settings,
        declared=declared,
        defaults=defaults,
        verification=config.verification,
        itl=itl,
        step=step,
        tuning=config.tuning,
        start_seconds=start_seconds,
        ledger=ledger or SiteEffects(),
        facts=facts or ServiceFacts(),
        lmcache={
            target.instance: file.values
            for target in targets
            if target.lmcache_config_file and (file := _file(executor, target.of(LMCACHE))) is not None
        },
        companions={each.instance: each.engine for replica in config.replicas for each in replica.companions},
    )


def make_plan(diagnosis: Diagnosis, evidence: Evidence, context: PlanContext) -> Plan | None:
    """One sized change with all that is needed to judge it, or advice; None when there is nothing to act on."""
    root = diagnosis.root or _symptom(diagnosis)
    if root is None:
        return None
    playbooks = in_order(PLAYBOOKS.get(root.bottleneck, ()), context)
    case = Case(root, evidence, context, [(each, each.size(evidence, root, context)) for each in playbooks])
    found = [one for each, outcome in case.outcomes if (one := _candidate(each, outcome, case))]
    candidates = [] if case.harmless else ranked(found, context)
    if candidates:
        return _change_plan(candidates[0], case)
    return _instead(diagnosis, case) or _advice_plan(case)


# What only clients and routes can mend, and may not be there to be mended: prompts that share nothing are never found.
# Meanwhile what users see of it has changes of its own.
_LETS_THROUGH = frozenset({Bottleneck.CACHE_INEFFICIENCY})


def _instead(diagnosis: Diagnosis, case: Case) -> Plan | None:
    """The plan of another finding, where the one that is acted on gives no change.

    Of a symptom that follows from it, where that gives one; or, where no cause is certain, of the forecast that the
    service is full soon: replicas are needed for the demand that comes, and help whatever makes it slow now.
    """
    if diagnosis.root is None:
        coming = _believed(diagnosis, FindingRole.APART, Bottleneck.PREDICTED_SATURATION)
        plans = [make_plan(_alone(one, diagnosis), case.evidence, case.context) for one in coming]
        plan = next((one for one in plans if one is not None and one.playbook == START_REPLICAS.id), None)
        return None if plan is None else plan.model_copy(update={"advice": (*plan.advice, *advice(case))})
    if diagnosis.root.bottleneck not in _LETS_THROUGH:
        return None
    symptoms = [one for one in _believed(diagnosis, FindingRole.CONSEQUENCE) if one.kind is BottleneckKind.SYMPTOM]
    plans = [make_plan(_alone(one, diagnosis), case.evidence, case.context) for one in symptoms]
    return next((one for one in plans if one is not None and one.change is not None), None)


def _believed(diagnosis: Diagnosis, role: FindingRole, *classes: Bottleneck) -> list[Finding]:
    """Findings beside the first that are certain enough, of these classes, or of any where none is named."""
    found = [one for one in diagnosis.findings[1:] if one.role is role and one.confidence >= CONFIDENCE_FLOOR]
    return [one for one in found if not classes or one.bottleneck in classes]


def _alone(finding: Finding, diagnosis: Diagnosis) -> Diagnosis:
    """A diagnosis of this finding, as if it were all that is known."""
    return diagnosis.model_copy(update={"findings": (finding,), "status": DiagnosisStatus.DIAGNOSED})


def _symptom(diagnosis: Diagnosis) -> Finding | None:
    """The symptom to act on where no cause is known: its playbooks decide whether what is known is enough."""
    if diagnosis.status is not DiagnosisStatus.NOT_ENOUGH_EVIDENCE:
        return None
    return next(
        (
            finding
            for finding in diagnosis.findings
            if finding.kind is BottleneckKind.SYMPTOM and finding.confidence >= CONFIDENCE_FLOOR
        ),
        None,
    )


def _candidate(playbook: Playbook, outcome: Outcome, case: Case) -> Candidate | None:
    """The outcome as something that can be carried out; a change that is not shown to fit never is."""
    if not isinstance(outcome, Change) or playbook.effects is None:
        return None
    if outcome.feasibility is not None and outcome.feasibility.fits is not True:
        return None
    scope = change_scope(outcome.knob, case.evidence, case.root, case.context.of(outcome.engine))
    if not isinstance(scope, ChangeScope):
        return None
    canary = scope.instances[0]
    effects = playbook.effects(outcome, case.evidence, canary, case.context)
    effects = judged_here(playbook.id, effects, case.evidence, canary, case.context)
    return Candidate(playbook, outcome, scope, corrected(playbook, outcome, effects, case.context))


def _change_plan(chosen: Candidate, case: Case) -> Plan:
    playbook, change, scope, context = chosen.playbook, chosen.change, chosen.scope, case.context
    judged = verification(chosen.effects, context)
    return Plan(
        service=case.evidence.service,
        bottleneck=case.root.bottleneck,
        playbook=playbook.id,
        title=_title(playbook, change),
        change=change,
        withheld=chosen.effects.unverifiable or unmeasured(change, judged, case.evidence, scope.instances),
        instances=scope.instances,
        executor=context.executor,
        healthy_replicas=healthy(case.evidence),
        engine_version=case.evidence.fact("engine_version", scope.instances[0]) or context.engine_version,
        gpu=None if context.facts.gpu is None else context.facts.gpu.name,
        confidence=case.root.confidence,
        evidence=(*evidence_items(case.root), old_value(change)),
        expected=chosen.effects.expected,
        verification=None if chosen.effects.unverifiable else judged,
        rollback=playbook.rollback,
        alternatives=alternatives(case, chosen),
        advice=advice(case),
        restart=restart_cost(change, context),
        quality_gate=quality_gate(change, context),
        patches=render(change, PatchContext(case.evidence.service, context.of(change.engine).knobs)),
        verification_queries=readable(
            success_queries(
                change, judged, case.evidence, scope.instances, playbook=playbook.id, bounds=context.tuning.success
            ),
            context.engine,
        ),
        rollback_queries=rollback_queries(judged.guards, case.evidence, scope.instances, context),
        asks=asks(case),
    )


def _advice_plan(case: Case) -> Plan:
    first = next((playbook for playbook, outcome in case.outcomes if isinstance(outcome, Advice)), None)
    subject = TITLES.get(case.root.bottleneck, str(case.root.bottleneck))
    return Plan(
        service=case.evidence.service,
        bottleneck=case.root.bottleneck,
        playbook="none" if first is None else first.id,
        title=f"Advice: {subject}" if first is None else f"Advice: {_inside(first.title)}, because {subject}",
        change=None,
        instances=case.root.instances,
        executor=case.context.executor,
        healthy_replicas=healthy(case.evidence),
        gpu=None if case.context.facts.gpu is None else case.context.facts.gpu.name,
        confidence=case.root.confidence,
        evidence=evidence_items(case.root),
        rollback="Nothing is changed by OptiInfra.",
        alternatives=alternatives(case, None),
        advice=advice(case) or ("No known action fits; the alternatives say why.",),
        asks=asks(case),
    )


def _title(playbook: Playbook, change: Change) -> str:
    """What is changed, all of it, in the engine's words: who approves reads this first."""
    beside = (
        f", {key} {f'{_shown(change.sets_old[key])} ' if key in change.sets_old else ''}→ {_shown(value)}"
        for key, value in change.sets.items()
    )
    return f"{playbook.title}: {change.flag} {_shown(change.written_old)} → {_new(change)}{''.join(beside)}"


def _new(change: Change) -> str:
    """The new value in the engine's words and units; the neutral word of what is had by leaving the knob out."""
    return _shown(change.new if change.unset else change.written_new)


def _inside(title: str) -> str:
    """A title inside a sentence: "KV" and "GPU" stay what they are."""
    return title[:1].lower() + title[1:]


def _shown(value: KnobValue) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return figure(value) if isinstance(value, int | float) else value


def _catalog(engine: str, version: str | None) -> KnobCatalog | None:
    try:
        return load(engine).at(version)
    except NotFound:
        return None  # such a service gets advice


def _file(executor: Executor | None, target: ReplicaTarget) -> Configuration | None:
    try:
        return None if executor is None else executor.configuration(target)
    except ExecutorError:
        return None
