"""A diagnosis as text and as Markdown: it says everything, and nothing of the evidence becomes markup."""

import re
from collections.abc import Callable

import pytest

from recommender.diagnosis import diagnose, to_markdown, to_text
from recommender.diagnosis.text import code, code_cell, escaped, plain
from recommender.model import Evidence, Placement
from rules.catalog import Bottleneck
from tests.recommender.brain_core.test_diagnosis_classes import CASES

Builder = Callable[..., Evidence]
Signals = Callable[[str], dict[str, float]]
R1 = "10.0.0.1:8000"
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "a\nb\r\nc\u2028d",
    "\u202egpj.exe",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "`code` ``` # heading | cell | **bold** @team https://evil.example www.evil.example",
    "$(rm -rf /) {{ template }} %s %n",
)


def limited(evidence_of: Builder, signals: Signals, **changes: object) -> Evidence:
    shown = signals("saturated") | CASES[Bottleneck.ADMISSION_LIMITED][0]
    holds = (Bottleneck.ADMISSION_LIMITED, Bottleneck.QUEUE_BUILDUP, Bottleneck.HOST_CPU_SATURATION)
    busy = {"node:host_cpu_busy:ratio": 0.97, "gpu:gpu_utilization:ratio": 0.95, "replica:llm_ttft_seconds:p95_5m": 0.4}
    return evidence_of(shown | busy, holds, instances=(R1,)).model_copy(update=changes)


def test_the_text_says_what_why_how_certain_and_what_was_rejected(evidence_of: Builder, signals: Signals) -> None:
    evidence = limited(evidence_of, signals, placements={R1: Placement(node="gpu-1", gpus=("gpu-1/0",))})
    shown = to_text(diagnose(evidence), evidence).splitlines()
    assert shown[0] == "chat: diagnosed, 2026-03-01 12:00:00 UTC"
    assert shown[1].startswith(f"chat: the batch limit keeps requests waiting on {R1}: batch limit in use 100 %")
    assert "    ← the batch limit keeps requests waiting on 10.0.0.1:8000" in shown
    assert "  admission_limited, root, confidence 0.875 (known 100 %, agrees 87.5 %), 10.0.0.1:8000" in shown
    assert "    - host CPU 97 %, at or above 80 % (that would be host CPUs that hold the engine back)" in shown
    assert any(line.startswith("  host_cpu_saturation, rejected, confidence 0") for line in shown)
    assert any(line.startswith("    Rejected, it looks like a busy host whose engine keeps") for line in shown)
    assert any(line.startswith("  10.0.0.1:8000: node gpu-1, GPU gpu-1/0") for line in shown)


def test_the_text_names_what_is_missing_and_how_to_get_it(evidence_of: Builder) -> None:
    evidence = evidence_of({"replica:llm_up": 1.0})
    shown = to_text(diagnose(evidence), evidence)
    assert "chat: not enough evidence" in shown
    assert "\n  replica:llm_requests_running:avg2m of 10.0.0.1:8000, 10.0.0.2:8000, 10.0.0.3:8000\n" in shown
    assert "docs/engines.md lists what each tells" in shown


def test_the_markdown_has_the_same_parts(evidence_of: Builder, signals: Signals) -> None:
    evidence = limited(evidence_of, signals, placements={R1: Placement(node="gpu-1")})
    shown = to_markdown(diagnose(evidence), evidence)
    assert shown.startswith("## chat: diagnosed\n")
    assert "2. the batch limit keeps requests waiting on 10.0.0.1:8000" in shown
    assert "**admission\\_limited**: root, confidence 0.875" in shown
    assert "- disagrees: host CPU 97 %, at or above 80 %" in shown
    assert "- 10.0.0.1:8000: node gpu-1" in shown
    bare = evidence_of({"replica:llm_up": 1.0})
    assert "| `replica:llm_requests_running:avg2m` | 10.0.0.1:8000, 10.0.0.2:8000" in to_markdown(diagnose(bare), bare)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_change_the_names_and_nothing_else(evidence_of: Builder, signals: Signals, hostile: str) -> None:
    good, bad = (renamed(limited(evidence_of, signals), name) for name in ("good", hostile))
    expected, found = diagnose(good), diagnose(bad)
    assert [(one.bottleneck, one.role, one.confidence) for one in found.findings] == [
        (one.bottleneck, one.role, one.confidence) for one in expected.findings
    ]
    text, markdown = to_text(found, bad), to_markdown(found, bad)
    assert text.count("\n") == to_text(expected, good).count("\n")
    assert markdown.count("\n") == to_markdown(expected, good).count("\n")
    assert all(one.isprintable() or one == "\n" for one in text + markdown)
    assert re.search(r"(?<!\\)[<\[\]]", markdown) is None
    for markup in ("https://evil", "www.evil", "**bold**", " @team"):
        assert markup not in markdown


def renamed(evidence: Evidence, name: str) -> Evidence:
    """The same evidence of a service, a replica and a node that are called `name`."""
    readings = {
        name: {s: one.model_copy(update={"instance": name}) for s, one in evidence.replica_readings[R1].items()}
    }
    held = tuple(one.model_copy(update={"instances": tuple(name for _ in one.instances)}) for one in evidence.confirmed)
    placements = {name: Placement(node=name, gpus=(f"{name}/0", f"{name}/1"), gpus_are_its_own=False, others=(name,))}
    return evidence.model_copy(
        update={"service": name, "replica_readings": readings, "confirmed": held, "placements": placements}
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("a\x1b[31mb\nc", "a\\x1b[31mb\\nc"),
        ("\u202eabc\u200b", "\\u202eabc\\u200b"),
        ("x" * 3000, "x" * 2000 + "…"),
    ],
)
def test_plain_text_is_one_line_without_what_a_terminal_acts_on(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1. first", "1\\. first"),
        ("- item", "\\- item"),
        ("a_b*c", "a\\_b\\*c"),
        ("http://x", "http:\\/\\/x"),
        ("www.x", "www\\.x"),
        ("<b>&amp;", "\\<b\\>\\&amp;"),
    ],
)
def test_escaped_text_shows_itself(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b", "`a|b`"), ("a\nb", "`a\\nb`")]
)
def test_code_ends_where_it_should(text: str, shown: str) -> None:
    assert code(text) == shown


def test_a_bar_in_the_code_of_a_table_ends_no_cell() -> None:
    assert code_cell("a|b") == "`a\\|b`"
