"""Puts what holds now in order of precedence and decides whether there is enough to act on."""

from collections.abc import Iterable, Mapping

from recommender.diagnosis.checks import Discriminator, Scope
from recommender.diagnosis.discriminators import DISCRIMINATORS, condition
from recommender.diagnosis.symptoms import QUEUE_CAUSES, RISKS, TITLES, explain
from recommender.model import Check, Confirmation, Diagnosis, DiagnosisStatus, Evidence, Finding, Missing
from rules.catalog import ALERTS, THRESHOLDS, Bottleneck, BottleneckKind

CONFIDENCE_FLOOR = 0.6  # tuning §4.4: below it a recommendation is suppressed
_FACTS_IN_TEXT = 3  # the defining ones come first; all are in the finding

# First match is the root, the rest are its symptoms or weaker causes (tuning §0.2 no. 5).
PRECEDENCE = (
    Bottleneck.TARGET_DOWN,
    Bottleneck.ENGINE_FROZEN,
    Bottleneck.GPU_FAULT,
    Bottleneck.GPU_POWER_BRAKE,
    Bottleneck.GPU_THERMAL_THROTTLE,
    Bottleneck.HOST_MEMORY_PRESSURE,
    Bottleneck.HOST_CPU_SATURATION,
    Bottleneck.ENGINE_THREAD_SATURATION,
    Bottleneck.GPU_MEMORY_PRESSURE,
    Bottleneck.KV_CACHE_PRESSURE,
    Bottleneck.ADMISSION_LIMITED,
    Bottleneck.DISK_SATURATION,  # engines that serve hardly need it: what they show themselves goes first
    Bottleneck.NETWORK_SATURATION,
    Bottleneck.GPU_LINK_DEGRADED,
    Bottleneck.INTERCONNECT_SATURATION,
    Bottleneck.PREFILL_BOUND,
    Bottleneck.DECODE_BANDWIDTH_BOUND,
    Bottleneck.REPLICA_STRAGGLER,
    Bottleneck.REPLICA_IMBALANCE,
    Bottleneck.REQUEST_ERRORS,
    Bottleneck.QUEUE_BUILDUP,
    Bottleneck.HIGH_LATENCY,
    Bottleneck.SLO_BURN,
    Bottleneck.LOW_THROUGHPUT,
    Bottleneck.GPU_POWER_LIMIT,  # a choice of somebody's: what the engine itself lacks goes first
    Bottleneck.GPU_IDLE,
    Bottleneck.CACHE_INEFFICIENCY,
    Bottleneck.FILESYSTEM_FULL,
    Bottleneck.GPU_REPAIR_PENDING,
    Bottleneck.PREDICTED_SATURATION,
    Bottleneck.OVER_PROVISIONED,
    Bottleneck.COST_PER_TOKEN,
)

# Without these of every replica that answers, "nothing holds" would only mean "nothing is known".
_NEEDED_OF_A_REPLICA = (
    "replica:llm_requests_running:avg2m",
    "replica:llm_requests_waiting:avg2m",
    "replica:llm_kv_cache_usage:avg2m",
)


def diagnose(evidence: Evidence, hinted: frozenset[Bottleneck] = frozenset()) -> Diagnosis:
    """The bottleneck that limits a service, or why it cannot be told.

    `hinted` are the bottlenecks of the alerts that asked; at least one of them must hold in the evidence, else the
    diagnosis is `not_confirmed`. Without a hint (a person asks) whatever holds is diagnosed.
    """
    holding = _holding(evidence.confirmed)
    if hinted and not hinted & holding.keys():
        return _hint_does_not_hold(evidence, hinted, holding)
    if not holding:
        return _nothing_holds(evidence)
    findings = tuple(_finding(evidence, bottleneck, holding[bottleneck]) for bottleneck in holding)
    symptoms = any(not _is_cause(finding) for finding in findings)
    causes = [
        finding
        for finding in findings
        if _is_cause(finding)
        and finding.confidence >= CONFIDENCE_FLOOR
        and (_explains(finding) or finding.bottleneck in hinted or not symptoms)
    ]
    if not causes:
        return _no_cause(evidence, findings)
    root = causes[0]
    rest = tuple(finding for finding in findings if finding is not root)
    return Diagnosis(
        service=evidence.service,
        at=evidence.at,
        status=DiagnosisStatus.DIAGNOSED,
        findings=(root, *rest),
        missing=_unknown(root.checks),
        text=_root_text(evidence, root, rest),
    )


def _holding(confirmed: Iterable[Confirmation]) -> dict[Bottleneck, list[Confirmation]]:
    """What holds, in order of precedence; classes that nothing here knows are left out."""
    found: dict[Bottleneck, list[Confirmation]] = {}
    for one in confirmed:
        found.setdefault(one.bottleneck, []).append(one)
    return {bottleneck: found[bottleneck] for bottleneck in PRECEDENCE if bottleneck in found}


def _is_cause(finding: Finding) -> bool:
    return finding.kind is not BottleneckKind.SYMPTOM


def _explains(finding: Finding) -> bool:
    """Whether it can be why a symptom holds; a danger and spare capacity cannot."""
    return finding.kind is not BottleneckKind.CAPACITY and finding.bottleneck not in RISKS


def _kind(bottleneck: Bottleneck) -> BottleneckKind:
    return next(alert.kind for alert in ALERTS.values() if alert.bottleneck is bottleneck)


def _finding(evidence: Evidence, bottleneck: Bottleneck, held: list[Confirmation]) -> Finding:
    """The bottleneck with its checks on the replica where they agree best, and the replicas where they agree."""
    places = sorted({instance for one in held for instance in one.instances})
    scopes: list[str | None] = [*places] or [None]
    judged = {instance: _judge(held[0], DISCRIMINATORS[bottleneck](Scope(evidence, instance))) for instance in scopes}
    best = max(judged, key=lambda instance: judged[instance][0])
    confident = tuple(i for i in judged if i is not None and judged[i][0] >= CONFIDENCE_FLOOR)
    return Finding(
        bottleneck=bottleneck,
        kind=_kind(bottleneck),
        confidence=judged[best][0],
        instances=confident or tuple(places),
        checks=judged[best][1],
    )


def _judge(held: Confirmation, discriminators: tuple[Discriminator, ...]) -> tuple[float, tuple[Check, ...]]:
    """Confidence and checks. Confidence is coverage (known of all) times agreement (agreeing of known).

    A defining check that disagrees makes the agreement zero: that is the look-alike, however many others agree.
    """
    checks = (condition(held), *(one.check for one in discriminators))
    if any(one.defining and one.check.agrees is False for one in discriminators):
        return 0.0, checks
    return sum(check.agrees is True for check in checks) / len(checks), checks


def _unknown(checks: Iterable[Check]) -> tuple[Missing, ...]:
    """What would have to be known: the queries of readings without a value, the thresholds without one."""
    missing: dict[str, None] = {}
    for check in checks:
        if check.agrees is not None:
            continue
        missing |= {reading.query: None for reading in check.readings if reading.value is None}
        if check.threshold is not None and check.threshold_value is None:
            missing[check.threshold] = None
    return tuple(Missing(query=query) for query in missing)


def _root_text(evidence: Evidence, root: Finding, rest: tuple[Finding, ...]) -> str:
    where = f" on {', '.join(root.instances)}" if root.instances else ""
    facts = "; ".join([check.text for check in root.checks[1:] if check.agrees][:_FACTS_IN_TEXT])
    text = f"{evidence.service}: {TITLES[root.bottleneck]}{where}: {facts}."
    symptoms = [TITLES[finding.bottleneck] for finding in rest if finding.kind is BottleneckKind.SYMPTOM]
    return f"{text} Because of it {' and '.join(symptoms)}." if symptoms and _explains(root) else text


def _no_cause(evidence: Evidence, findings: tuple[Finding, ...]) -> Diagnosis:
    """Something holds, but no cause that is certain enough to act on."""
    doubtful = [finding for finding in findings if _is_cause(finding)]
    checks = [check for finding in doubtful or findings for check in finding.checks]
    if not doubtful:
        checks += _queue_cause_checks(evidence)
    missing = _unknown(checks)
    shown = " and ".join(TITLES[finding.bottleneck] for finding in findings)
    against = "; ".join(check.text for finding in doubtful for check in finding.checks if check.agrees is False)
    reasons = [f"{evidence.service}: {shown}, but no cause is confirmed."]
    reasons += [f"Against it: {against}."] if against else []
    reasons += [f"Not known: {len(missing)} of the signals that would tell (see missing)."] if missing else []
    reasons += [explain(evidence)]
    return Diagnosis(
        service=evidence.service,
        at=evidence.at,
        status=DiagnosisStatus.NOT_ENOUGH_EVIDENCE,
        findings=findings,
        missing=missing,
        text=" ".join(reason for reason in reasons if reason),
    )


def _queue_cause_checks(evidence: Evidence) -> list[Check]:
    return [
        one.check
        for instance in sorted(evidence.replica_readings)
        for bottleneck in QUEUE_CAUSES
        for one in DISCRIMINATORS[bottleneck](Scope(evidence, instance))
    ]


def _needed(evidence: Evidence) -> tuple[Missing, ...]:
    """Signals that are needed to say that nothing holds, and are unknown."""
    up = [i for i in sorted(evidence.replica_readings) if evidence.value("replica:llm_up", i) != 0]
    readings = [Scope(evidence, instance).reading(name) for instance in up for name in _NEEDED_OF_A_REPLICA]
    missing = [reading.query for reading in readings if reading.value is None]
    missing += [THRESHOLDS[name].resolved for name, value in sorted(evidence.thresholds.items()) if value is None]
    if not evidence.replica_readings:
        missing.insert(0, Scope(evidence, "").reading("replica:llm_up").query.replace(',instance=""', ""))
    return tuple(Missing(query=query) for query in missing)


def _hint_does_not_hold(
    evidence: Evidence, hinted: frozenset[Bottleneck], holding: Mapping[Bottleneck, list[Confirmation]]
) -> Diagnosis:
    missing = _needed(evidence)
    names = " and ".join(sorted(TITLES.get(bottleneck, bottleneck) for bottleneck in hinted))
    if missing:
        status = DiagnosisStatus.NOT_ENOUGH_EVIDENCE
        text = f"{evidence.service}: the alert says that {names}; {_missing_text(evidence, missing)}"
    else:
        status = DiagnosisStatus.NOT_CONFIRMED
        text = f"{evidence.service}: the alert says that {names}, but Prometheus does not show it now."
    if holding:
        text += f" What does hold: {' and '.join(TITLES[bottleneck] for bottleneck in holding)}."
    findings = tuple(_finding(evidence, bottleneck, held) for bottleneck, held in holding.items())
    return Diagnosis(
        service=evidence.service, at=evidence.at, status=status, findings=findings, missing=missing, text=text
    )


def _nothing_holds(evidence: Evidence) -> Diagnosis:
    missing = _needed(evidence)
    return Diagnosis(
        service=evidence.service,
        at=evidence.at,
        status=DiagnosisStatus.NOT_ENOUGH_EVIDENCE if missing else DiagnosisStatus.HEALTHY,
        missing=missing,
        text=(
            f"{evidence.service}: {_missing_text(evidence, missing)}"
            if missing
            else f"{evidence.service}: no bottleneck holds now."
        ),
    )


def _missing_text(evidence: Evidence, missing: tuple[Missing, ...]) -> str:
    if not evidence.replica_readings:
        return (
            "Prometheus has no signals of any replica of this service. Check that its engines are scraped with the "
            "label service and that the rules are loaded."
        )
    return f"{len(missing)} signals that are needed are unknown (see missing)."
