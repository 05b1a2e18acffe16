"""The sizing model against the simulated engine: a part of the grid that `python -m bench.sizing_bench` holds whole."""

from functools import cache

import pytest

from bench.sizing_bench import INSIDE_LIMIT, KV_LIMIT, THROUGHPUT_LIMIT, Line, compare, inside, summary, table
from bench.sizing_grid import Case, grid

CASES = {case.name: case for case in grid()}
# One or two of each kind, among them those that are hardest to tell.
PART = (
    "slots 4, clients 12",
    "slots 16, clients 40",
    "slots 64, clients 48",
    "arrivals, a third",
    "arrivals, two thirds",
    "arrivals, too many",
    "budget 256, prompts 800",
    "budget 512, prompts 1500",
    "budget 512, answers of 20",
    "budget = slots",
    "KV, answers over prompts",
    "KV, prompts over answers",
    "KV, holds 4 requests",
    "KV, costly prompts",
    "shared 512, 4 groups",
    "shared 256, KV full",
    "A100, clients 48",
    "slow, 6 slots, full",
)


def test_the_grid_has_at_least_50_configurations_of_different_names() -> None:
    assert len(grid()) >= 50
    assert len(CASES) == len(grid())


@cache
def played(name: str) -> Line:
    return compare(CASES[name])


@pytest.mark.parametrize("name", PART)
def test_the_model_tells_throughput_within_15_and_kv_tokens_within_3_percent(name: str) -> None:
    line = played(name)
    assert abs(line.throughput_error) <= THROUGHPUT_LIMIT, line
    assert abs(line.kv_error) <= KV_LIMIT, line


def test_nine_in_ten_of_what_is_measured_lie_inside_the_predicted_range() -> None:
    for name, share in inside([played(name) for name in PART]).items():
        assert share >= INSIDE_LIMIT, name


def test_the_table_has_a_row_for_each_configuration_and_the_summary_names_what_misses() -> None:
    line = compare(Case("short", CASES["slots 1, clients 1"].load, slots=1, requests=60))
    wrong = Line(Case("wrong", line.case.load), line.measured, line.predicted, line.ranges)
    object.__setattr__(wrong.measured, "kv_tokens", 2 * line.predicted.kv_tokens)
    rows = list(table([line, wrong], markdown=True))
    assert len(rows) == 2 + 2
    assert "missed: wrong" in list(summary([wrong]))
