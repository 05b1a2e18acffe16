"""Building blocks of the generated expressions."""

from exporters.catalog import Reduce, Source
from rules import promql


def test_a_selector_matches_one_value_exactly_and_several_as_alternatives() -> None:
    assert promql.selector("x", {}) == "x"
    assert promql.selector("x", {"a": ("b",)}, "1m") == 'x{a="b"}[1m]'
    assert promql.selector("x", {"a": ("b", "c"), "d": ("e",)}) == 'x{a=~"b|c",d="e"}'


def test_what_a_selector_matches_is_taken_literally() -> None:
    assert promql.selector("x", {"a": ('say "b"\\c',)}) == r'x{a="say \"b\"\\c"}'
    assert promql.selector("x", {"a": ("1.5", "b")}) == r'x{a=~"1\\.5|b"}'


def test_an_engines_series_come_in_both_spellings_and_in_the_canonical_unit() -> None:
    source = Source("e:time_ms_total", scale=0.001)
    assert promql.engine_series(source, "", "1m") == [
        "rate(e:time_ms_total[1m]) * 0.001",
        "rate(e_time_ms_total[1m]) * 0.001",
    ]
    assert promql.aggregate(Reduce.MAX, ("a", "b"), "x") == "max by (a, b) (x)"
