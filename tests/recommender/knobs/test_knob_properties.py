"""For every knob of every engine and any value: what is parsed is legal, what is written is read back."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.knobs import Knob, KnobType, engines, load
from recommender.knobs.version import surely_within

KNOBS = [(engine, knob) for engine in engines() for knob in load(engine).knobs]
knobs = st.sampled_from([knob for _, knob in KNOBS])
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["fp8", "auto", "none", "8", "1e3", "-1", "5m", "32k", "1,2,4", "true", "off", "nan", "inf"])
    | st.lists(st.integers(), max_size=3)
)
versions = st.sampled_from(
    [None, "", "unknown", "b11434", "b9", "0.13.0", "0.19.0", "0.20.0rc1", "0.5.23", "v3.3.7"]
) | (st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 30)).map(lambda v: ".".join(map(str, v))))


def legal(knob: Knob, value: Any) -> bool:
    match knob.type:
        case KnobType.BOOL:
            return isinstance(value, bool)
        case KnobType.CHOICE:
            return value in knob.choices
        case _:
            assert knob.minimum is not None
            assert knob.maximum is not None
            whole = knob.type is KnobType.FLOAT or isinstance(value, int)
            return not isinstance(value, bool) and whole and knob.minimum <= value <= knob.maximum


@given(knobs, anything)
def test_what_is_parsed_is_legal(knob: Knob, value: Any) -> None:
    for read in (knob.parse(value), knob.from_engine(value)):
        assert read is None or legal(knob, read)


@given(knobs, st.floats() | st.integers(-10, 10**13))
def test_what_is_sized_is_zero_or_legal_and_not_above(knob: Knob, value: float) -> None:
    if knob.type is KnobType.INT:
        sized = knob.legal_at_or_below(value)
        assert sized == 0 or (legal(knob, sized) and (sized <= value or math.isnan(value)))
        if sized and knob.scale > 1:
            assert knob.from_engine(knob.to_engine(sized)) == sized


@pytest.mark.parametrize(
    "knob", [knob for _, knob in KNOBS if knob.words], ids=[f"{engine}-{k.name}" for engine, k in KNOBS if k.words]
)
def test_every_word_is_written_and_read_back(knob: Knob) -> None:
    words = [word == "true" for word in knob.words] if knob.type is KnobType.BOOL else list(knob.words)
    for word in words:
        if not knob.is_unset(word):
            written = knob.to_engine(word)
            assert knob.from_engine(written) == word
            assert knob.from_engine(str(written).lower() if isinstance(written, bool) else str(written)) == word


@given(st.data())
def test_every_number_is_written_and_read_back_but_for_a_part_of_the_engines_unit(data: st.DataObject) -> None:
    knob = data.draw(knobs.filter(lambda one: one.type in {KnobType.INT, KnobType.FLOAT}))
    assert knob.minimum is not None
    assert knob.maximum is not None
    strategy = st.integers(int(knob.minimum), int(knob.maximum))
    value: float = data.draw(st.floats(knob.minimum, knob.maximum) if knob.type is KnobType.FLOAT else strategy)
    written = knob.to_engine(value)
    for told in (written, str(written)):
        back = knob.from_engine(told)
        assert isinstance(back, int | float)
        assert value - knob.scale < back <= value if knob.engine_type == "int" else back == value
        assert knob.to_engine(back) == written


@given(st.sampled_from(engines()), versions)
def test_a_version_gets_only_what_it_surely_knows(engine: str, version: str | None) -> None:
    whole, narrowed = load(engine), load(engine).at(version)
    by_bounds = {(knob.name, knob.since, knob.until): knob for knob in whole.knobs}
    for knob in narrowed.knobs:
        full = by_bounds[knob.name, knob.since, knob.until]
        assert surely_within(version, full.since, full.until)
        assert all(surely_within(version, full.values_since.get(word), None) for word in knob.choices)
        for default in knob.defaults:
            assert any(
                surely_within(version, each.since, each.until) and each.value == default.value for each in full.defaults
            )
        value = knob.default_on()
        assert value is None or legal(full, value)
    assert len(narrowed.knobs) == sum(surely_within(version, knob.since, knob.until) for knob in whole.knobs)
