"""How bad it is: the severity of the shipped alerts whose condition holds now, whatever their `for` says."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from recommender.contracts import PromQL
from recommender.errors import PrometheusError
from recommender.model import Diagnosis, DiagnosisStatus, Evidence, Finding, FindingRole
from recommender.oneshot.report import ExitCode
from rules.catalog import ALERTS, Alert, Bottleneck, BottleneckKind, Severity
from rules.pack import Rule

_ORDER = (Severity.NONE, Severity.INFO, Severity.WARNING, Severity.CRITICAL)
_NOT_BELIEVED = frozenset({FindingRole.REJECTED, FindingRole.HARMLESS})


def severity_of(
    diagnosis: Diagnosis, evidence: Evidence, promql: PromQL, alerts: Mapping[str, Rule], at: datetime
) -> Severity:
    """The worst of what holds. Where a class has a critical alert beside milder ones, its condition is asked for.

    `alerts`: the alert rules by name. A condition that cannot be evaluated is not called critical.
    """
    believed = [finding for finding in diagnosis.findings if finding.role not in _NOT_BELIEVED]
    return worse(_of(finding, evidence, promql, alerts, at) for finding in believed)


def exit_code(diagnosis: Diagnosis, severity: Severity) -> ExitCode:
    """What a service adds to the exit code; remarks (`info`) count as healthy."""
    if severity is Severity.CRITICAL:
        return ExitCode.CRITICAL
    if severity is Severity.WARNING:
        return ExitCode.WARNING
    not_enough = diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    return ExitCode.NOT_ENOUGH_EVIDENCE if not_enough else ExitCode.HEALTHY


def worse(severities: Iterable[Severity]) -> Severity:
    """The worst of some."""
    return max(severities, key=_ORDER.index, default=Severity.NONE)


def _of(finding: Finding, evidence: Evidence, promql: PromQL, alerts: Mapping[str, Rule], at: datetime) -> Severity:
    known = _alerts(finding.bottleneck)
    critical = [alert for alert in known if alert.severity is Severity.CRITICAL]
    milder = worse(alert.severity for alert in known if alert.severity is not Severity.CRITICAL)
    if not critical or milder is Severity.NONE:
        return Severity.CRITICAL if critical else milder
    holds = any(_holds(alerts[alert.name], evidence, promql, at) for alert in critical if alert.name in alerts)
    return Severity.CRITICAL if holds else milder


def _alerts(bottleneck: Bottleneck) -> Sequence[Alert]:
    return [one for one in ALERTS.values() if one.bottleneck is bottleneck and one.kind is not BottleneckKind.META]


def _holds(rule: Rule, evidence: Evidence, promql: PromQL, at: datetime) -> bool:
    nodes = {placed.node for placed in evidence.placements.values() if placed.node}
    try:
        samples = promql.instant(rule.expr, at)
    except PrometheusError:
        return False
    return any(
        sample.labels.get("service") == evidence.service
        or ("service" not in sample.labels and sample.labels.get("node") in nodes)
        for sample in samples
    )
