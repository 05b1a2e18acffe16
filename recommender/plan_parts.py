"""The parts of a plan, whichever playbook made it: cost, gate, how it is judged, what else was considered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from recommender.figures import figure
from recommender.metrics import VerificationMetric, Work
from recommender.model import (
    Alternative,
    Apply,
    Ask,
    Change,
    CheckWeight,
    Evidence,
    EvidenceItem,
    Expectation,
    Finding,
    QualityGate,
    RestartCost,
    Risk,
    Verification,
)
from recommender.plan_queries import known
from recommender.playbooks import Advice, Effects, PlanContext, Playbook
from recommender.playbooks.scope import ChangeScope
from recommender.sizing import NotApplicable
from recommender.verifiable import work_of
from recommender.wording import metric_name

Outcome = Change | Advice | NotApplicable

_COLD = "its prefix cache is cold after"
_APPLIES = {
    Apply.LIVE: "It acts at once; nothing restarts.",
    Apply.ADMISSION_ONLY: "It acts on requests that come after it; nothing restarts.",
    Apply.RELOAD: f"The model is loaded anew and {_COLD}; the process stays.",
    Apply.RESTART: (
        "The engine is restarted: requests in flight are lost unless the restart command lets them end first, and "
        f"{_COLD}."
    ),
}
# Errors are counted from the first one on some engines; how many there are then is a matter of the guard.
_MAY_BE_SILENT = frozenset({VerificationMetric.ERROR_RATIO})
_SAFEST_FIRST = (Risk.LIVE, Risk.RESTART, Risk.QUALITY, Risk.HARDWARE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A playbook whose change can be carried out, where, and what it is expected to do here."""

    playbook: Playbook
    change: Change
    scope: ChangeScope
    effects: Effects


@dataclass(frozen=True, slots=True)
class Case:
    """What every part of a plan is made from."""

    root: Finding
    evidence: Evidence
    context: PlanContext
    outcomes: Sequence[tuple[Playbook, Outcome]]

    @property
    def harmless(self) -> bool:
        """Whether what is acted on is known to slow nothing down here: then nothing is changed for it."""
        return any(check.weight is CheckWeight.HARM and check.agrees is False for check in self.root.checks)


def in_order(playbooks: Iterable[Playbook], context: PlanContext) -> list[Playbook]:
    """Those of this engine that are switched on, the service's own order first, then the shipped one.

    The shipped order is cheapest and safest first.
    """
    switches = context.tuning.playbooks
    used = [each for each in playbooks if switches.uses(each.id) and _speaks_of(each, context)]
    return sorted(used, key=lambda each: switches.place(each.id))


def _speaks_of(playbook: Playbook, context: PlanContext) -> bool:
    return playbook.engines is None or context.engine in playbook.engines


def ranked(candidates: Sequence[Candidate], context: PlanContext) -> list[Candidate]:
    """The service's own order, what can be verified, the safer class of change, what was proven at this site."""
    switches, gpu = context.tuning.playbooks, context.facts.gpu

    def key(one: Candidate) -> tuple[int, bool, int, float]:
        proven = context.ledger.rank_key(
            one.playbook.id, one.change.engine, None if gpu is None else gpu.name, one.effects.must_improve
        )
        advised = bool(one.effects.unverifiable)
        return switches.place(one.playbook.id), advised, _SAFEST_FIRST.index(one.change.risk), proven

    return sorted(candidates, key=key)


def corrected(playbook: Playbook, change: Change, effects: Effects, context: PlanContext) -> Effects:
    """The expected effects as this site's own results correct them."""
    gpu = None if context.facts.gpu is None else context.facts.gpu.name

    def here(expectation: Expectation) -> Expectation:
        return context.ledger.correct(playbook.id, change.engine, gpu, expectation)

    expected = tuple(here(one) for one in effects.expected)
    return replace(effects, expected=expected, must_improve=here(effects.must_improve))


def restart_cost(change: Change, context: PlanContext) -> RestartCost:
    """Seconds until a replica serves again: measured here, else declared, else unknown."""
    text = _APPLIES[change.apply]
    if change.apply in {Apply.LIVE, Apply.ADMISSION_ONLY}:
        return RestartCost(seconds=0.0, text=text)
    if context.start_seconds is not None:
        return RestartCost(seconds=context.start_seconds, text=f"{text} Measured at this service's last changes.")
    declared = context.tuning.start_seconds
    if declared is not None:
        return RestartCost(seconds=declared, text=f"{text} Declared: services.{context.service}.tuning.start_seconds.")
    return RestartCost(
        seconds=None,
        text=f"{text} How long that takes is unknown until it was seen once; set "
        f"services.{context.service}.tuning.start_seconds.",
    )


def quality_gate(change: Change, context: PlanContext) -> QualityGate | None:
    """What has to be shown before answers may change; None where they cannot."""
    if change.risk is not Risk.QUALITY:
        return None
    drop = context.tuning.quality_max_drop_ratio
    text = (
        "Answers may change. Before a roll-out compare a fixed set of at least 500 prompts against today's setting: "
        f"task accuracy of at least {figure(1 - drop, 'ratio')} of the baseline, output length 90 to 110 % of it, and "
        "a needle test at the longest context (tuning §7.2 no. 7)."
    )
    if change.knob in {"max_model_length_tokens", "context_tokens"}:
        text = "Requests longer than the new limit are refused: check the longest that the service is promised to take."
    return QualityGate(text=text, max_drop_ratio=drop)


def verification(effects: Effects, context: PlanContext) -> Verification:
    """How the change is judged: the promised metric, the guards, and the windows of the inventory."""
    config, work = context.verification, work_of(context.engine)
    least = {Work.GENERATED_TOKENS: config.min_tokens, Work.PROBES: config.min_probed_minutes}
    return Verification(
        must_improve=effects.must_improve,
        min_improvement=config.min_improvement if effects.min_improvement is None else effects.min_improvement,
        guards=effects.guards,
        settle_seconds=config.settle_seconds,
        window_seconds=config.window_seconds,
        interval_seconds=config.interval_seconds,
        min_requests=least.get(work, config.min_requests),
        work=work,
        max_extensions=config.max_extensions,
    )


def unmeasured(change: Change, judged: Verification, evidence: Evidence, instances: Sequence[str]) -> str:
    """Why a change would be taken back whatever it does: what it is judged by is not told, so that nothing proves it.

    Empty where all is told, and what the arms do is counted.
    """
    counted = {
        Work.FIRST_TOKENS: VerificationMetric.TTFT_P95_SECONDS,
        Work.GENERATED_TOKENS: VerificationMetric.GENERATION_TOKENS_RATE,
        Work.PROBES: VerificationMetric.PROBE_FAILURE_RATIO,
    }
    shown = (counted[judged.work],) if judged.work in counted else ()
    needed = (*shown, judged.must_improve.metric, *(one.metric for one in judged.guards))
    lacking = [m for m in dict.fromkeys(needed) if m not in _MAY_BE_SILENT and not known(m, evidence, tuple(instances))]
    if not lacking or not evidence.replica_readings:
        return ""
    *first, last = (metric_name(each) for each in lacking)
    names = f"{', '.join(first)} and {last}" if first else last
    return (
        f"{names} of {instances[0]} cannot be read, so what the change does could not be judged and it would be taken "
        f"back. Make it yourself on one replica, and compare: {change.flag} {change.step}."
    )


def alternatives(case: Case, chosen: Candidate | None) -> tuple[Alternative, ...]:
    """Every other playbook that gave a change or did not apply, and why it is not the plan; advice is listed apart."""
    found = []
    for playbook, outcome in case.outcomes:
        if isinstance(outcome, Advice) or (chosen is not None and playbook is chosen.playbook):
            continue
        if isinstance(outcome, Change):
            reason = _not_chosen(outcome, chosen, case)
            found.append(Alternative(playbook=playbook.id, title=playbook.title, reason=reason, change=outcome))
        else:
            found.append(Alternative(playbook=playbook.id, title=playbook.title, reason=outcome.reason))
    return tuple(found)


def _not_chosen(change: Change, chosen: Candidate | None, case: Case) -> str:
    if case.harmless:
        return "Possible, but what it would mend slows nothing down here now."
    if chosen is None:
        return "Possible, but where it could be carried out is not known."
    first = chosen.change.risk
    if _SAFEST_FIRST.index(change.risk) > _SAFEST_FIRST.index(first):
        return f"Also possible; one change at a time, and a {first} change goes before a {change.risk} one."
    return f"Also possible; one change at a time, and {chosen.playbook.id} goes first."


def advice(case: Case) -> tuple[str, ...]:
    """What a person can do outside OptiInfra."""
    return tuple(outcome.text for _, outcome in case.outcomes if isinstance(outcome, Advice))


def asks(case: Case) -> tuple[Ask, ...]:
    """Facts that would sharpen or permit what was considered, each once."""
    asked = [ask for _, outcome in case.outcomes if isinstance(outcome, Advice) for ask in outcome.asks]
    proofs = [outcome.feasibility for _, outcome in case.outcomes if isinstance(outcome, Change)]
    asked += [ask for proof in proofs if proof is not None for ask in case.context.asks(*proof.missing)]
    return tuple({ask.fact: ask for ask in reversed(asked)}.values())[::-1]


def evidence_items(root: Finding) -> tuple[EvidenceItem, ...]:
    """The checks of the finding that is acted on, each with its query."""
    return tuple(
        EvidenceItem(
            text=check.text if check.agrees is not False else f"although {check.text}",
            query=check.readings[0].query if check.readings else "",
            value=check.readings[0].value if check.readings else None,
            threshold=check.threshold_value,
        )
        for check in root.checks
    )


def old_value(change: Change) -> EvidenceItem:
    """What the knob is before the change, and what tells it."""
    value = change.old if isinstance(change.old, int | float) and not isinstance(change.old, bool) else None
    return EvidenceItem(text=f"{change.flag} is {change.written_old} now: {change.old_source}.", query="", value=value)


def healthy(evidence: Evidence) -> int | None:
    """Replicas that answered; None when no replica says whether it does."""
    told = [evidence.value("replica:llm_up", instance) for instance in evidence.replica_readings]
    return sum(up == 1 for up in told) if any(up is not None for up in told) else None
