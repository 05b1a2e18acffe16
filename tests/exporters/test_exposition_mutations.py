"""Pages that were damaged: the reader says what the reference parser says, or counts the line. See the oracle."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.exposition import Reader
from tests.helpers.exposition_oracle import disagreement, reference_line

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
LINES = sorted(
    {
        line
        for path in CAPTURES.rglob("*.prom")
        for line in path.read_text(encoding="utf-8").splitlines()[::40]
        if line and line[0] != "#"
    }
)
WANTED = frozenset({line.partition("{")[0].partition(" ")[0] for line in LINES} | {"h", "a_total"})
READER = Reader(WANTED, cache_size=64)
PIECES = [
    "{", "}", '="', '"', '",', ",", "=", "\\", '\\"', "\\n", "\n", "\r\n", "\t", " ", "  ", "#", " # {", "_", "1",
    "-", "+Inf", "NaN", "1e5", "0x1", "1_0", " 1700000000000", " 1.5", "é", "\u2003", "\x0b", "\x85", "\x1c",
    "__name__", 'le="1"', "h", "٣",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Some lines of real pages, with pieces put in, taken out and doubled."""
    text = "".join(line + "\n" for line in draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(PIECES))
        text = draw(st.sampled_from([text[:at] + piece + text[at:], text[:at] + text[end:], text[:end] + text[at:]]))
    return text


@given(mutated())
def test_of_damaged_pages_only_what_the_reference_reads_is_read_and_the_rest_is_counted(text: str) -> None:
    assert disagreement(READER, text, WANTED) is None


@given(st.lists(st.sampled_from([*PIECES, "h", "h", "a_total", " 1\n", "{}", '{a="b"} 2\n'])).map("".join))
def test_whatever_is_put_together_is_read_as_by_the_reference_or_counted(text: str) -> None:
    assert disagreement(READER, text, WANTED) is None


@pytest.mark.parametrize(
    "line",
    [
        'h{__name__="x"} 1',
        'h{__reserved="x"} 1',
        "h 1\x0b2",
        "h 1\u20032",
        "h\x0b1",
        "h{}\x1c1",
        "h 1\x85",
        "h ٣",
        "h 1 ٣",
        "h " + "9" * 400,
        "h " + "9" * 5000,
        "h 1 " + "9" * 5000,
        "h 1 +5",
        "h infinity",
        "h nan",
        "h +nan",
        "h  \t 1 \t 2 ",
        'h{a="\\x\\\\n"} 1',
        'h{a="b"}1',
        'h{a="b",} 1',
        'h{a="b"} 1 }',
        'h {a="b"} 1',
        "h{ } 1",
        "h{,} 1",
        'h# {a="b"} 1',  # found by fuzz/exposition_fuzz.py
        'h 5 {a="b"} 1',
        'h 5 # {a="b"} 1',
    ],
)
def test_a_line_that_was_once_in_doubt_is_read_as_by_the_reference_or_counted(line: str) -> None:
    assert disagreement(READER, line, WANTED) is None


@pytest.mark.parametrize("line", ["h 1 2 3", "h 1 1.5", 'h{,a="b"} 1', 'h{"a"="b"} 1', f'h{{a="{"x" * 5000}"}} 1'])
def test_what_the_reference_reads_and_the_format_does_not_have_is_counted(line: str) -> None:
    assert reference_line(line) is not None
    assert READER.read(line).skipped == 1


@pytest.mark.parametrize("line", ['{"h",a="b"} 1', "\u2003h 1", 'h\r{a="b"} 1'])
def test_what_does_not_begin_with_a_wanted_name_is_passed_over(line: str) -> None:
    assert reference_line(line) is not None
    assert READER.read(line) == Reader([]).read("")
