"""Building blocks of the generated expressions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.catalog import Reduce
from rules import promql


def test_a_selector_matches_one_value_exactly_and_several_as_alternatives() -> None:
    assert promql.selector("x", {}) == "x"
    assert promql.selector("x", {"a": ("b",)}, "1m") == 'x{a="b"}[1m]'
    assert promql.selector("x", {"a": ("b", "c"), "d": ("e",)}) == 'x{a=~"b|c",d="e"}'


def test_what_a_selector_matches_is_taken_literally() -> None:
    assert promql.selector("x", {"a": ('say "b"\\c',)}) == r'x{a="say \"b\"\\c"}'
    assert promql.selector("x", {"a": ("1.5", "b")}) == r'x{a=~"1\\.5|b"}'


def test_a_star_stands_for_whatever_follows() -> None:
    assert promql.selector("x", {"a": ("storage*",)}) == 'x{a=~"storage.*"}'
    assert promql.selector("x", {"a": ("host", "storage*", "")}) == 'x{a=~"host|storage.*|"}'


def test_an_aggregation_of_several_lines_is_indented() -> None:
    assert promql.aggregate(Reduce.MAX, ("a", "b"), "x") == "max by (a, b) (x)"
    assert promql.aggregate(Reduce.MIN, ("a",), "x\nor\ny") == "min by (a) (\n  x\n  or\n  y\n)"


def test_the_model_is_the_engines_label_or_the_targets() -> None:
    assert promql.model_of("x", "model_name") == 'label_replace(x, "model", "$1", "model_name", "(.*)")'
    assert promql.model_of("x", "model") == promql.model_of("x", None) == "x"


# As written by Go and C++, by Python, and by Prometheus 3: a bound in milliseconds, and in seconds.
BOUNDS = {
    "5": "0.005",
    "0.5": "0.0005",
    "500": "0.5",
    "500.0": "0.5",
    "2000": "2.0",
    "2000.0": "2.0",
    "2500": "2.5",
    "12345.75": "12.34575",
    "100000": "100.0",
    "+Inf": "+Inf",
}


@pytest.mark.parametrize("written", BOUNDS)
def test_bounds_in_milliseconds_become_bounds_in_seconds(
    promtool: Callable[..., str], tmp_path: Path, written: str
) -> None:
    test = {
        "expr": promql.thousandth_bounds("x"),
        "eval_time": "0s",
        "exp_samples": [{"labels": f'x{{le="{BOUNDS[written]}"}}', "value": 1}],
    }
    series = [{"series": f'x{{le="{written}"}}', "values": "1"}]
    path = tmp_path / "bounds.yml"
    path.write_text(json.dumps({"tests": [{"input_series": series, "promql_expr_test": [test]}]}), encoding="utf-8")
    promtool("test", "rules", path)


def test_series_side_by_side_are_kept_apart_for_a_sum(promtool: Callable[..., str], tmp_path: Path) -> None:
    test = {
        "expr": f"sum by (a) ({promql.together(['x', 'y', 'z'])})",
        "eval_time": "0s",
        "exp_samples": [{"labels": '{a="1"}', "value": 3}, {"labels": '{a="2"}', "value": 4}],
    }
    series = [
        {"series": name, "values": value} for name, value in {'x{a="1"}': "1", 'y{a="1"}': "2", 'z{a="2"}': "4"}.items()
    ]
    path = tmp_path / "together.yml"
    path.write_text(json.dumps({"tests": [{"input_series": series, "promql_expr_test": [test]}]}), encoding="utf-8")
    promtool("test", "rules", path)
