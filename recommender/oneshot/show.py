"""A report for a person: text for a terminal, Markdown for a ticket. What came from labels is data, never markup."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from recommender.diagnosis.text import code, escaped, plain, to_markdown, to_text
from recommender.figures import figure
from recommender.knobs.derive import DEFAULT_OF
from recommender.metrics import VerificationMetric
from recommender.model import Change, Evidence, Expectation, Plan
from recommender.oneshot.report import Report, ServiceReport, Source
from recommender.wording import judged_by, metric_name
from rules.catalog import Severity

INSTALL = "optiinfra diagnose --install-rules"
_SOURCES = {
    Source.RECORDED: "signals that OptiInfra's rules record",
    Source.RAW: "the engines' own series, with OptiInfra's rules evaluated over them",
}
_OBJECTIVES = {
    "ttft_p95_seconds": "TTFT p95",
    "itl_p95_seconds": "ITL p95",
    "request_duration_p95_seconds": "request duration p95",
    "error_ratio": "failing requests",
}
_NOW = {  # what a promised metric is now, at the replica that is changed first
    VerificationMetric.TTFT_P95_SECONDS: "replica:llm_ttft_seconds:p95_5m",
    VerificationMetric.ITL_P95_SECONDS: "replica:llm_itl_seconds:p95_5m",
    VerificationMetric.GENERATION_TOKENS_RATE: "replica:llm_generation_tokens:rate5m",
    VerificationMetric.PREFIX_CACHE_HIT_RATIO: "replica:llm_prefix_cache_hit:ratio_rate5m",
    VerificationMetric.REQUESTS_WAITING: "replica:llm_requests_waiting:avg2m",
}
_SHORT = {"engine-config": "in its file", "environment": "in its environment", "cli": "on its command line"}
_COLOURS = {
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "yellow",
    Severity.INFO: "cyan",
    Severity.NONE: "green",
}


def text(report: Report) -> Text:
    """Lines for a terminal. Colours are styles: where the output is no terminal, none remain."""
    shown = Text()
    for line in _head(report):
        shown.append(f"{plain(line)}\n")
    for service in report.services:
        first, _, rest = to_text(service.diagnosis, service.evidence).partition("\n")
        shown.append("\n")
        shown.append(f"{first} [{_word(service)}]\n", _COLOURS[service.severity])
        shown.append(rest)
        for line in _of_a_service(service):
            shown.append(f"{line}\n")
    for line in _foot(report):
        shown.append(f"{plain(line)}\n")
    return shown


def markdown(report: Report) -> str:
    """CommonMark; text of the evidence is escaped, queries and patches are code."""
    lines = [f"# Diagnosis of {report.at:%Y-%m-%d %H:%M:%S} UTC", "", *(escaped(line) + "  " for line in _head(report))]
    for service in report.services:
        first, _, rest = to_markdown(service.diagnosis, service.evidence).rstrip("\n").partition("\n")
        lines += ["", f"{first} ({_word(service)})", rest]
        lines += _markdown_plan(service, report.source)
    for line in _foot(report):
        item = line.startswith("  ")
        lines.append(f"- {escaped(line.strip())}" if item else escaped(line))
        lines += [""] if line.endswith(":") else []
    return "\n".join(lines) + "\n"


def _word(service: ServiceReport) -> str:
    return service.exit_code.name.lower().replace("_", " ")


def _head(report: Report) -> Iterator[str]:
    yield f"{report.prometheus} at {report.at:%Y-%m-%d %H:%M:%S} UTC: {_SOURCES[report.source]}."
    for service in report.services:
        engines = " ".join(service.engines) or "engine unknown"
        yield (
            f"{service.service}: {len(service.replicas)} replica{'s' * (len(service.replicas) != 1)} ({engines}), "
            f"named by {service.named_by}"
        )
        figures = ((name, service.evidence.objectives.get(name)) for name in _OBJECTIVES)
        promised = [f"{_OBJECTIVES[name]} {_shown(name, value)}" for name, value in figures if value is not None]
        if promised:
            yield f"{service.service}: objectives are {', '.join(promised)} ({service.objectives_from})"


def _foot(report: Report) -> Iterator[str]:
    for note in report.notes:
        yield ""
        yield note
    if report.not_judged:
        yield ""
        yield f"Not judged without the recording rules ({INSTALL}); --deep evaluates more, in many seconds:"
        for reason, conditions in _by_reason(report):
            yield f"  {', '.join(conditions)}: {reason}"
    yield ""
    yield f"{report.queries} queries, the longest of {report.longest_query_characters} characters; nothing was changed."
    if report.source is Source.RAW:
        yield f"With the rules in this Prometheus everything is judged, and faster: {INSTALL}"


def _by_reason(report: Report) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for one in report.not_judged:
        found.setdefault(one.reason, []).append(one.condition)
    return list(found.items())


def _of_a_service(service: ServiceReport) -> Iterator[str]:
    plan = service.plan
    if plan is not None:
        yield ""
        yield f"Plan: {plain(plan.title)}"
        for line in (*_plan_lines(plan, service.evidence), *_short_patches(plan)):
            yield f"  {plain(line)}"
    for note in service.notes:
        yield f"Note: {plain(note)}"


def _plan_lines(plan: Plan, evidence: Evidence | None = None) -> Iterator[str]:
    if plan.withheld:
        yield f"advice only: {plan.withheld}"
    if plan.change is not None:
        yield from _change_lines(plan.change)
        yield from (f"expected {_expected(one, _now(one, plan, evidence))}" for one in plan.expected)
        if plan.verification is not None:
            goal, guards = plan.verification.must_improve, plan.verification.guards
            yield f"judged by: {judged_by(goal.metric, goal.direction, (one.metric for one in guards))}"
        if plan.restart is not None:
            known = "" if plan.restart.seconds is None else f" About {figure(plan.restart.seconds)} s a replica."
            yield f"cost: {plan.restart.text}{known}"
        if plan.quality_gate is not None:
            yield f"quality: {plan.quality_gate.text}"
        yield f"undo: {plan.rollback}"
    yield from (f"- {advice}" for advice in plan.advice)
    yield from (f"not {one.playbook} {one.title}: {one.reason}" for one in plan.alternatives)
    yield from (f"to know: {ask.fact}, {ask.needed_for}: {ask.how}" for ask in plan.asks)


def _change_lines(change: Change) -> Iterator[str]:
    yield f"{change.flag} {change.step}: {change.reason}"
    if change.old_source.startswith(DEFAULT_OF):  # what a file or the inventory says, its reader wrote
        yield f"now: {change.written_old}, {change.old_source}"
    yield f"formula: {change.formula}"
    if change.feasibility is not None:
        yield f"memory: {change.feasibility.text}"


def _now(one: Expectation, plan: Plan, evidence: Evidence | None) -> float | None:
    signal = next((signal for metric, signal in _NOW.items() if metric == one.metric), None)
    return None if evidence is None or signal is None else evidence.value(signal, plan.instances[0])


def _shown(metric: str, value: float) -> str:
    unit = "seconds" if metric.endswith("_seconds") else "ratio" if metric.endswith("_ratio") else ""
    return figure(value, unit)


def _expected(one: Expectation, now: float | None) -> str:
    """The range of ratios, what it comes to here, and where it is from."""
    low, high = sorted((one.low, one.high))
    middle = "" if one.mid is None else f", most likely {figure(one.mid)}"
    here = ""
    if now:
        likely = "" if one.mid is None else f", most likely {_shown(one.metric, one.mid * now)}"
        ends = f"{_shown(one.metric, low * now)} to {_shown(one.metric, high * now)}"
        here = f"; now {_shown(one.metric, now)}, so {ends}{likely}"
    return f"{metric_name(one.metric)}: {figure(low)} to {figure(high)} times as much{middle}{here} ({one.source})"


def _short_patches(plan: Plan) -> Iterator[str]:
    """Patches of a line each; the others are in Markdown and JSON."""
    short = [(one.content.strip(), _SHORT[one.format]) for one in plan.patches if one.format in _SHORT]
    yield from (f"write {where}: {content}" for content, where in short if "\n" not in content)
    if plan.patches:
        yield "every form of it, and queries that tell whether it worked: --format markdown"


def _markdown_plan(service: ServiceReport, source: Source) -> Sequence[str]:
    notes = [f"- {escaped(note)}" for note in service.notes]
    if service.plan is None:
        return ["", *notes] if notes else []
    ruled = source is Source.RAW and (service.plan.verification_queries or service.plan.rollback_queries)
    needed = ["", f"These queries read what the recording rules record: {code(INSTALL)}"] if ruled else []
    return [*plan_markdown(service.plan, service.evidence), *needed, *([""] if notes else []), *notes]


def plan_markdown(plan: Plan, evidence: Evidence | None = None) -> list[str]:
    """Lines of CommonMark: the change with its formula and proof, patches, queries, and what was not chosen."""
    lines = [
        "",
        f"### Plan: {escaped(plan.title)}",
        "",
        *(f"- {escaped(_unlisted(line))}" for line in _plan_lines(plan, evidence)),
    ]
    for patch in plan.patches:
        lines += ["", f"{escaped(patch.title)}:", "", *_block(patch.content)]
    for title, queries in (("Verify", plan.verification_queries), ("Roll back if", plan.rollback_queries)):
        if queries:
            lines += ["", f"{title}:", "", *(f"- {escaped(one.text)}: {code(one.query)}" for one in queries)]
    return lines


def _unlisted(line: str) -> str:
    return line.removeprefix("- ")


def _block(content: str) -> list[str]:
    """Indented code: no fence that the content could close."""
    return [f"    {plain(line)}" for line in content.splitlines()]
