"""What a diagnosis says in a few sentences."""

from collections.abc import Sequence

from recommender.diagnosis.chains import is_symptom
from recommender.diagnosis.suspects import Suspects
from recommender.diagnosis.symptoms import TITLES, explain
from recommender.diagnosis.text import named
from recommender.model import CheckWeight, Evidence, Finding, Missing
from recommender.model import FindingRole as Role
from rules.catalog import ALERTS, BottleneckKind

_META = BottleneckKind.META
_OF_NODES = frozenset(one.bottleneck for one in ALERTS.values() if one.level == "node" and one.kind is not _META)
_FACTS_IN_TEXT = 3  # the defining ones come first; all are in the finding


def link_text(finding: Finding) -> str:
    """A finding and where it holds: "heat slows a GPU down on 10.0.0.1:8000 (GPU gpu-1/0)"."""
    return f"{TITLES[finding.bottleneck]}{_where(finding)}"


def root_text(evidence: Evidence, findings: Sequence[Finding]) -> str:
    """The root, the facts that tell it, and what follows from it; `findings` are ranked."""
    root = findings[0]
    facts = "; ".join(root.agrees[:_FACTS_IN_TEXT])
    text = f"{evidence.service}: {TITLES[root.bottleneck]}{_where(root)}: {facts}."
    if any(check.weight is CheckWeight.HARM and check.agrees is False for check in root.checks):
        text += " It does no harm here now."
    after = [finding for finding in findings[1:] if finding.role is Role.CONSEQUENCE]
    if also := [link_text(finding) for finding in after if not is_symptom(finding)]:
        text += f" It also explains that {' and that '.join(also)}."
    if symptoms := [TITLES[finding.bottleneck] for finding in after if is_symptom(finding)]:
        text += f" Because of it {' and '.join(symptoms)}."
    if unexplained := [TITLES[finding.bottleneck] for finding in findings if finding.role is Role.SYMPTOM]:
        text += f" It does not explain that {' and '.join(unexplained)}."
    return text


def no_cause_text(
    evidence: Evidence, findings: Sequence[Finding], missing: Sequence[Missing], suspects: Suspects
) -> str:
    """What holds, what speaks against its causes, what is ruled out or not known, and where the time goes."""
    shown = " and ".join(TITLES[finding.bottleneck] for finding in findings)
    against = "; ".join(
        check.text
        for finding in findings
        if not is_symptom(finding)
        for check in finding.checks
        if check.agrees is False
    )
    excluded = "; ".join(f"that {TITLES[bottleneck]} ({text})" for bottleneck, text in suspects.excluded)
    parts = [
        f"{evidence.service}: {shown}, but no cause is confirmed.",
        f"Against it: {against}." if against else "",
        f"Not known: {len(missing)} of the signals that would tell (see missing)." if missing else "",
        f"Ruled out: {excluded}." if excluded else "",
        explain(evidence),
    ]
    return " ".join(part for part in parts if part)


def missing_text(evidence: Evidence, missing: Sequence[Missing]) -> str:
    """Why nothing can be said."""
    if not evidence.replica_readings:
        return (
            "Prometheus has no signals of any replica of this service. Check that its engines are scraped with the "
            "label service and that the rules are loaded."
        )
    return f"{len(missing)} signals that are needed are unknown (see missing)."


def unjudged(missing: Sequence[Missing]) -> str:
    """What a healthy engine was not judged by, because no version of it tells it."""
    return f"not judged: {', '.join(sorted({one.signal for one in missing}))}, which it never tells."


def _where(finding: Finding) -> str:
    where = f" on {named(finding.instances)}" if finding.instances else ""
    if finding.gpus:
        return f"{where} (GPU {named(finding.gpus)})"
    if finding.nodes and finding.bottleneck in _OF_NODES:
        return f"{where} (node {named(finding.nodes)})"
    return where
