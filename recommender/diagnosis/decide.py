"""Decides which of what holds now is the root, and whether there is enough to act on."""

from collections.abc import Iterable, Sequence

from recommender.diagnosis.chains import Edges, edges, is_symptom, longest, reach
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.judge import consider
from recommender.diagnosis.missing import missing_of, of_thresholds, unknown
from recommender.diagnosis.relations import PRECEDENCE
from recommender.diagnosis.sentences import link_text, missing_text, no_cause_text, root_text, unjudged
from recommender.diagnosis.shared import answering
from recommender.diagnosis.suspects import suspects_of
from recommender.diagnosis.symptoms import TITLES
from recommender.model import Confirmation, Diagnosis, DiagnosisStatus, Evidence, Finding, Link, Missing, Reading
from recommender.model import FindingRole as Role
from rules.catalog import Bottleneck

# Without these of every replica that answers, "nothing holds" would only mean "nothing is known".
_LOAD = ("replica:llm_requests_running:avg2m", "replica:llm_requests_waiting:avg2m")
# Some engines tell nothing of their KV cache in any version: of those nobody could ever say that they are well.
_NEEDED_OF_A_REPLICA = (*_LOAD, "replica:llm_kv_cache_usage:avg2m")


def diagnose(evidence: Evidence, hinted: frozenset[Bottleneck] = frozenset()) -> Diagnosis:
    """The bottleneck that limits a service, or why it cannot be told.

    `hinted` are the bottlenecks of the alerts that asked; at least one of them must hold in the evidence, else the
    diagnosis is `not_confirmed`. Without a hint (a person asks) whatever holds is diagnosed.
    """
    holding = _holding(evidence.confirmed)
    if not holding:
        return _nothing_holds(evidence, hinted)
    findings = tuple(consider(evidence, bottleneck, held) for bottleneck, held in holding.items())
    follows = edges(evidence, findings)
    if hinted and not hinted & holding.keys():
        return _hint_does_not_hold(evidence, hinted, findings, follows)
    root = _root(findings, follows, hinted)
    if root is None:
        return _no_cause(evidence, findings, follows)
    ranked = _ranked(findings, follows, root)
    chain = longest(follows, root.bottleneck)
    return Diagnosis(
        service=evidence.service,
        at=evidence.at,
        status=DiagnosisStatus.DIAGNOSED,
        findings=ranked,
        missing=missing_of(evidence, unknown(root.checks)),
        text=root_text(evidence, ranked),
        chain=_links(chain, ranked) if len(chain) > 1 else (),
    )


def _holding(confirmed: Iterable[Confirmation]) -> dict[Bottleneck, list[Confirmation]]:
    """What holds, in order of precedence; classes that nothing here knows are left out."""
    found: dict[Bottleneck, list[Confirmation]] = {}
    for one in confirmed:
        found.setdefault(one.bottleneck, []).append(one)
    return {bottleneck: found[bottleneck] for bottleneck in PRECEDENCE if bottleneck in found}


def _root(findings: Sequence[Finding], follows: Edges, hinted: frozenset[Bottleneck]) -> Finding | None:
    """The first cause, by precedence, that is believed, is asked for or explains a symptom, and follows from no other.

    One that does no harm is only the root where nothing else is: somebody was told of it.
    """
    symptoms = {finding.bottleneck for finding in findings if is_symptom(finding) and finding.role is not Role.REJECTED}

    def wanted(cause: Finding) -> bool:
        return not symptoms or cause.bottleneck in hinted or bool(symptoms & reach(follows, cause.bottleneck))

    causes = [finding for finding in findings if not is_symptom(finding) and finding.role in {None, Role.HARMLESS}]
    harmful = [cause for cause in causes if cause.role is None and wanted(cause)]
    candidates = harmful or [cause for cause in causes if wanted(cause)]
    explained = {one for cause in harmful for one in follows.get(cause.bottleneck, ())}
    return next((one for one in candidates if one.bottleneck not in explained), None)


def _ranked(findings: Sequence[Finding], follows: Edges, root: Finding | None) -> tuple[Finding, ...]:
    """The root first, what was rejected last; each with its role and what follows from it."""
    after = reach(follows, root.bottleneck) if root else frozenset()

    def role(finding: Finding) -> Role:
        if finding is root:
            return Role.ROOT
        if finding.role is not None:
            return finding.role
        if finding.bottleneck in after:
            return Role.CONSEQUENCE
        return Role.SYMPTOM if is_symptom(finding) else Role.APART

    told = [(finding is not root, finding.role is Role.REJECTED, finding, role(finding)) for finding in findings]
    return tuple(
        finding.model_copy(update={"role": as_, "explains": tuple(follows.get(finding.bottleneck, ()))})
        for _, _, finding, as_ in sorted(told, key=lambda one: one[:2])
    )


def _links(chain: Sequence[Bottleneck], findings: Sequence[Finding]) -> tuple[Link, ...]:
    by_class = {finding.bottleneck: finding for finding in findings}
    return tuple(Link(bottleneck=one, text=link_text(by_class[one])) for one in reversed(chain))


def _no_cause(evidence: Evidence, findings: tuple[Finding, ...], follows: Edges) -> Diagnosis:
    """Something holds, but no cause that is certain enough to act on."""
    doubtful = [finding for finding in findings if not is_symptom(finding)]
    suspects = suspects_of(evidence, () if doubtful else findings)
    checks = unknown(check for finding in doubtful or findings for check in finding.checks)
    missing = missing_of(evidence, [*checks, *(answer.check() for answer in suspects.open)])
    ranked = _ranked(findings, follows, None)
    return Diagnosis(
        service=evidence.service,
        at=evidence.at,
        status=DiagnosisStatus.NOT_ENOUGH_EVIDENCE,
        findings=ranked,
        missing=missing,
        text=no_cause_text(evidence, ranked, missing, suspects),
    )


def _needed(evidence: Evidence) -> tuple[Missing, ...]:
    """Signals that are needed to say that nothing holds, and are unknown."""
    if not evidence.replica_readings:
        query = Scope(evidence, "").reading("replica:llm_up").query.replace(',instance=""', "")
        return missing_of(evidence, [Reading(name="replica:llm_up", query=query, value=None)])
    scopes = [Scope(evidence, instance) for instance in answering(evidence)]
    readings = [scope.reading(name) for scope in scopes for name in _NEEDED_OF_A_REPLICA]
    lacking = [name for name, value in sorted(evidence.thresholds.items()) if value is None]
    return (*missing_of(evidence, [one for one in readings if one.value is None]), *of_thresholds(evidence, lacking))


def _hint_does_not_hold(
    evidence: Evidence, hinted: frozenset[Bottleneck], findings: tuple[Finding, ...], follows: Edges
) -> Diagnosis:
    missing = _needed(evidence)
    names = " and ".join(sorted(TITLES.get(bottleneck, bottleneck) for bottleneck in hinted))
    if missing:
        status = DiagnosisStatus.NOT_ENOUGH_EVIDENCE
        text = f"{evidence.service}: the alert says that {names}; {missing_text(evidence, missing)}"
    else:
        status = DiagnosisStatus.NOT_CONFIRMED
        text = f"{evidence.service}: the alert says that {names}, but Prometheus does not show it now."
    if findings:
        text += f" What does hold: {' and '.join(TITLES[finding.bottleneck] for finding in findings)}."
    ranked = _ranked(findings, follows, None)
    return Diagnosis(
        service=evidence.service, at=evidence.at, status=status, findings=ranked, missing=missing, text=text
    )


def _nothing_holds(evidence: Evidence, hinted: frozenset[Bottleneck]) -> Diagnosis:
    if hinted:
        return _hint_does_not_hold(evidence, hinted, (), {})
    missing = _needed(evidence)
    if any(one.obtainable is not False or one.signal in _LOAD for one in missing):
        status, text = DiagnosisStatus.NOT_ENOUGH_EVIDENCE, missing_text(evidence, missing)
    elif missing:
        status, text = DiagnosisStatus.HEALTHY, f"no bottleneck holds now that its engine tells of; {unjudged(missing)}"
    else:
        status, text = DiagnosisStatus.HEALTHY, "no bottleneck holds now."
    return Diagnosis(
        service=evidence.service,
        at=evidence.at,
        status=status,
        missing=missing,
        text=f"{evidence.service}: {text}",
    )
