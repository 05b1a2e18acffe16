"""The whole way: find services, read or evaluate their signals, diagnose, plan. Nothing is written anywhere."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from recommender.calibration import fit_itl
from recommender.diagnosis import diagnose
from recommender.errors import ConfigError, PrometheusError
from recommender.evidence import gather
from recommender.model import Diagnosis, Evidence, Plan
from recommender.oneshot.client import ReadingClient
from recommender.oneshot.read import Known, Read, Wish, read
from recommender.oneshot.report import Report, ServiceReport, Source, worst
from recommender.oneshot.severity import exit_code, severity_of
from recommender.oneshot.subject import subject_of
from recommender.planner import context_of, make_plan
from rules.pack import Rule, load_rules


def run(client: ReadingClient, wish: Wish) -> Report:
    """Diagnose. Raises PrometheusError when it cannot be asked, NothingFound where there is nothing to look at.

    ConfigError for one version of several engines.
    """
    at = wish.at or datetime.fromtimestamp(math.floor(client.now()), UTC)
    rules = load_rules()
    source = read(client, rules, wish, at)
    engines = sorted({engine for service in source.services for engine in service.engines})
    if wish.engine_version is not None and len(engines) > 1:
        raise ConfigError(f"--engine-version is of one engine, and there are {', '.join(engines)}: add --engine")
    alerts = {rule.name: rule for rule in rules if rule.is_alert}
    services = tuple(_look(service, source, wish, alerts, at) for service in source.services)
    return Report(
        prometheus=client.shown_url,
        at=at,
        source=source.source,
        services=services,
        not_judged=source.not_judged,
        notes=(*source.notes, *_of_another_moment(wish)),
        queries=client.asked.queries,
        longest_query_characters=client.asked.longest,
        exit_code=worst(tuple(one.exit_code for one in services)),
    )


def _look(service: Known, source: Read, wish: Wish, alerts: Mapping[str, Rule], at: datetime) -> ServiceReport:
    evidence = gather(source.promql, service.name, at, gpus=wish.inventory.gpus_of(service.name))
    diagnosis = diagnose(evidence)
    severity = severity_of(diagnosis, evidence, source.promql, alerts, at)
    plan, notes = _plan(service, diagnosis, evidence, source, wish)
    unseen = sorted({target.instance for target in wish.inventory.targets(service.name)} - set(service.instances))
    if unseen:
        notes = (*notes, f"The inventory has replicas of which this Prometheus tells nothing: {', '.join(unseen)}.")
    if passed_over := _passed_over(service, evidence, wish):
        notes = (*notes, passed_over)
    return ServiceReport(
        service=service.name,
        named_by=service.named_by,
        engines=service.engines,
        replicas=service.instances,
        objectives_from=_objectives_from(service, source, wish),
        severity=severity,
        exit_code=exit_code(diagnosis, severity),
        evidence=evidence,
        diagnosis=diagnosis,
        plan=plan,
        notes=notes,
    )


def _objectives_from(service: Known, source: Read, wish: Wish) -> str:
    if source.source is Source.RECORDED:
        return "as this Prometheus has them"
    config = wish.inventory.services.get(service.name)
    if config is not None and config.objectives.declared():
        return "the inventory's, and shipped defaults for the rest"
    return "shipped defaults; an inventory says the service's own"


def _passed_over(service: Known, evidence: Evidence, wish: Wish) -> str:
    """Rules compare with what the recommender exports: objectives of an inventory that is given here change nothing."""
    config = wish.inventory.services.get(service.name)
    declared = config.objectives.declared() if config else {}
    others = [f"{name} {value:g}" for name, value in declared.items() if evidence.objectives.get(name) != value]
    if not others:
        return ""
    return (
        f"The inventory's {', '.join(others)} is not what was compared with: the rules here have other objectives, "
        "since no recommender with this inventory is scraped. --signals raw takes the inventory's."
    )


def _of_another_moment(wish: Wish) -> tuple[str, ...]:
    """What is not known of the past: nobody keeps old configuration files."""
    services = wish.inventory.services.values()
    if wish.at is None or not any(one.config_file for config in services for one in config.replicas):
        return ()
    return ("Configuration files are read as they are now: what ran at that moment may have been set otherwise.",)


def _plan(
    service: Known, diagnosis: Diagnosis, evidence: Evidence, source: Read, wish: Wish
) -> tuple[Plan | None, tuple[str, ...]]:
    """The plan, as the recommender would make it; of a service outside the inventory with what its series tell."""
    if diagnosis.root is None:
        return None, ()
    notes: tuple[str, ...] = ()
    try:
        itl = fit_itl(source.promql, service.name, evidence.at)
    except PrometheusError as exc:
        itl, notes = None, (f"no latency model: {exc}",)
    subject = subject_of(service, wish.inventory, wish.engine_version)
    context = context_of(service.name, subject.config, subject.targets, subject.executor, itl=itl, evidence=evidence)
    return make_plan(diagnosis, evidence, context), notes
