"""A diagnosis as text for a terminal, or as Markdown for an issue or a chat.

What is shown comes from labels, alerts and model names: it is data. Characters that move a cursor, turn text around or
end a line are shown as escapes, and nothing of it becomes markup.
"""

import re
from collections.abc import Iterator, Sequence

from recommender.figures import figure
from recommender.model import Diagnosis, DiagnosisStatus, Evidence, Finding, FindingRole, Missing, Placement

_LONGEST = 2000  # characters of one piece of text: a label may have megabytes
_PLACES = 4  # replicas that are named before the rest are counted
_LINES = 16  # and that have a line of their own
_STATUS = {
    DiagnosisStatus.DIAGNOSED: "diagnosed",
    DiagnosisStatus.NOT_CONFIRMED: "the alert is not confirmed",
    DiagnosisStatus.NOT_ENOUGH_EVIDENCE: "not enough evidence",
    DiagnosisStatus.HEALTHY: "healthy",
}
_ROLE = {
    FindingRole.ROOT: "root",
    FindingRole.CONSEQUENCE: "follows from another",
    FindingRole.SYMPTOM: "symptom",
    FindingRole.APART: "apart from it",
    FindingRole.HARMLESS: "slows nothing down here",
    FindingRole.DOUBTFUL: "not certain",
    FindingRole.REJECTED: "rejected",
}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~&!^$@]|(?<=:)//|(?<=[wW])\.)")
_NUMBERED = re.compile(r"^(\s*)(\d+)([.)])(?=\s|$)")


def to_text(diagnosis: Diagnosis, evidence: Evidence) -> str:
    """Lines for a terminal, each ended by a newline; no escape sequences, whatever the evidence holds."""
    lines = [
        f"{plain(diagnosis.service)}: {_STATUS[diagnosis.status]}, {diagnosis.at:%Y-%m-%d %H:%M:%S} UTC",
        plain(diagnosis.text),
    ]
    for title, part in (
        ("Chain, each because of the next", _chain(diagnosis)),
        ("Findings", _findings(diagnosis)),
        ("Not known", _missing(diagnosis)),
        ("Replicas", _placements(evidence)),
    ):
        if part:
            lines += ["", title, *(f"  {line}" for line in part)]
    return "\n".join(lines) + "\n"


def to_markdown(diagnosis: Diagnosis, evidence: Evidence) -> str:
    """CommonMark with GitHub's tables; text of the evidence is escaped, queries are code."""
    lines = [
        f"## {escaped(diagnosis.service)}: {_STATUS[diagnosis.status]}",
        "",
        escaped(diagnosis.text),
        "",
        f"Evidence of {diagnosis.at:%Y-%m-%d %H:%M:%S} UTC.",
    ]
    if diagnosis.chain:
        steps = [f"{number}. {escaped(link.text)}" for number, link in enumerate(diagnosis.chain, 1)]
        lines += ["", "### Chain, each because of the next", "", *steps]
    if diagnosis.findings:
        lines += ["", "### Findings", *_markdown_findings(diagnosis.findings)]
    if diagnosis.missing:
        lines += ["", "### Not known", "", "| signal | replicas | how to get it | query |", "| --- | --- | --- | --- |"]
        lines += [_markdown_missing(one) for one in diagnosis.missing]
    if evidence.placements:
        lines += ["", "### Replicas", "", *(f"- {escaped(line)}" for line in _placements(evidence))]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """`text` on one line, without characters that a terminal acts on or that are not seen; cut at 2000."""
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if shown.isprintable():
        return shown
    return "".join(one if one.isprintable() else _escape(one) for one in shown)


def escaped(text: str) -> str:
    """`text` as Markdown that shows exactly it: no markup, no links, no HTML."""
    shown = _MARKUP.sub(lambda found: "".join(f"\\{one}" for one in found[1]), plain(text))
    shown = _NUMBERED.sub(r"\1\2\\\3", shown)
    return re.sub(r"^(\s*)([-+=])", r"\1\\\2", shown)


def code(text: str) -> str:
    """`text` as inline code of Markdown; not in a table, whose cells end at a bar even within code."""
    return _code(plain(text))


def code_cell(text: str) -> str:
    """`text` as inline code in a cell of a table of GitHub's Markdown."""
    return _code(plain(text).replace("|", "\\|"))


def _code(shown: str) -> str:
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence} {shown} {fence}" if shown.startswith("`") or shown.endswith("`") else f"{fence}{shown}{fence}"


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")


def _chain(diagnosis: Diagnosis) -> list[str]:
    return [
        ("  " if number else "") + ("← " if number else "") + plain(link.text)
        for number, link in enumerate(diagnosis.chain)
    ]


def _findings(diagnosis: Diagnosis) -> list[str]:
    lines: list[str] = []
    for finding in diagnosis.findings:
        lines.append(plain(_headline(finding)))
        lines += [f"  {mark} {plain(text)}" for mark, text in _answers(finding)]
        lines += [f"  {plain(note)}" for note in finding.notes]
    return lines


def _headline(finding: Finding) -> str:
    parts = [str(finding.bottleneck)]
    parts += [_ROLE[finding.role]] if finding.role else []
    parts.append(_certainty(finding))
    if where := _where(finding):
        parts.append(where)
    return ", ".join(parts)


def _certainty(finding: Finding) -> str:
    shown = f"confidence {figure(finding.confidence)}"
    if finding.coverage is None or finding.agreement is None:
        return shown
    return f"{shown} (known {figure(finding.coverage, 'ratio')}, agrees {figure(finding.agreement, 'ratio')})"


def _where(finding: Finding) -> str:
    places = named(finding.instances or finding.nodes)
    gpus = f"GPU {named(finding.gpus)}" if finding.gpus else ""
    return " of ".join(part for part in (gpus, places) if part)


def named(places: Sequence[str]) -> str:
    """The first few places by name, the rest by their number."""
    shown = ", ".join(places[:_PLACES])
    return shown if len(places) <= _PLACES else f"{shown} and {len(places) - _PLACES} more"


def _answers(finding: Finding) -> Iterator[tuple[str, str]]:
    yield from (("+", text) for text in finding.agrees)
    yield from (("-", text) for text in finding.disagrees)
    yield from (("?", text) for text in finding.unknown)


def _missing(diagnosis: Diagnosis) -> list[str]:
    lines = []
    for one in diagnosis.missing:
        of = f" of {named(one.instances)}" if one.instances else ""
        lines.append(plain(f"{one.signal}{of}" if one.signal else one.query))
        if one.how:
            lines.append(f"  {plain(one.how)}")
    return lines


def _placements(evidence: Evidence) -> list[str]:
    placed = list(evidence.placements.items())
    lines = [plain(_placement(instance, one)) for instance, one in placed[:_LINES]]
    return lines if len(placed) <= _LINES else [*lines, f"and {len(placed) - _LINES} more"]


def _placement(instance: str, placed: Placement) -> str:
    parts = [f"{instance}: {'node ' + placed.node if placed.node else 'its node is not known'}"]
    if placed.gpus:
        whose = placed.gpus_from or (
            "" if placed.gpus_are_its_own else "all of its node: which are its own is not known"
        )
        parts.append(f"GPU {named(placed.gpus)}" + (f" ({whose})" if whose else ""))
    if placed.neighbours:
        parts.append(f"with {named(placed.neighbours)}")
    if placed.others:
        parts.append(f"and of other services {named(placed.others)}")
    return ", ".join(parts)


def _markdown_findings(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield from ("", f"**{escaped(str(finding.bottleneck))}**: {escaped(_headline(finding).partition(', ')[2])}", "")
        words = {"+": "agrees", "-": "disagrees", "?": "unknown"}
        yield from (f"- {words[mark]}: {escaped(text)}" for mark, text in _answers(finding))
        yield from (f"- {escaped(note)}" for note in finding.notes)


def _markdown_missing(one: Missing) -> str:
    cells = (
        code_cell(one.signal or one.query),
        escaped(named(one.instances)),
        escaped(one.how),
        code_cell(one.query),
    )
    return f"| {' | '.join(cells)} |"
