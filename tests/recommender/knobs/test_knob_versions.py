"""Versions of engines: what is newer, and what surely lies within bounds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.knobs.version import parse, surely_within

ORDERED = [
    "0.1.2.dev3",
    "0.1.2a1",
    "0.1.2b2",
    "0.1.2rc1.dev4+g1a2b3c4",
    "0.1.2rc1",
    "0.1.2rc2",
    "0.1.2",
    "0.1.2.post1",
    "0.1.10",
    "0.5.23",
    "0.5.23.post1",
    "0.19.0",
    "0.20.0rc1",
    "0.20.0",
    "0.32.0+cu128",
    "v3.3.6-dev0",
    "v3.3.6",
    "v3.3.7",
]


def test_releases_are_in_order() -> None:
    told = [version for text in ORDERED if (version := parse(text)) is not None]
    assert len(told) == len(ORDERED)
    assert all(older < newer for older, newer in itertools.combinations(told, 2))


@pytest.mark.parametrize(("one", "other"), [("0.20", "0.20.0"), ("v1.2", "1.2.0+local"), ("1.0RC1", "1.0.0-rc.1")])
def test_spellings_of_one_version_are_equal(one: str, other: str) -> None:
    assert parse(one) == parse(other)


def test_builds_are_counted_by_themselves() -> None:
    assert parse("b11434") == parse("b11434-1a2b3c4")
    assert surely_within("b11500-aabbccd", "b11434", None)
    assert not surely_within("b9999", "b11434", None)
    assert not surely_within("0.32.0", "b11434", None)
    with pytest.raises(TypeError, match="a build cannot be compared with a release"):
        assert parse("b1") < parse("1.0")  # type: ignore[operator] - both are versions


@pytest.mark.parametrize(
    "text",
    [None, "", "unknown", "main", "3f2a1b9c", "latest", "0.1.dev1+gabc", "1.2.3; rm -rf /", "9" * 400, "\uff11.\uff12"],
)
def test_what_is_no_version_is_within_no_bound(text: str | None) -> None:
    assert not surely_within(text, "0.0.1", None)
    assert not surely_within(text, None, "999")
    assert surely_within(text, None, None)


@pytest.mark.parametrize(
    ("version", "within"),
    [("0.13.0", True), ("0.19.0", True), ("0.12.9", False), ("0.19.1", False), ("0.13.0rc1", False)],
)
def test_both_bounds_count(version: str, within: bool) -> None:
    assert surely_within(version, "0.13.0", "0.19.0") is within


@given(st.text(max_size=30))
def test_any_text_is_a_version_or_none(text: str) -> None:
    version = parse(text)
    assert version is None or version == parse(text)
