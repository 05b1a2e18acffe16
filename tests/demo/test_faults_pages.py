"""What happens to pages on their way to Prometheus, and how promtool is told of it."""

import pytest

from demo.faults.perturb import ClockStep, CoarseBuckets, CounterReset, Down, Frozen, Growing, Lagging, Missed, Without
from demo.faults.series import Page, Pages, Recording, Target

COUNTER, GAUGE = ("x_total", ()), ("llm_requests_running", ())
UP = ("llm_up", ())
TARGET = Target("llm-probe", "a:1", service="s")


def pages(*counts: float) -> Pages:
    return tuple({COUNTER: count, GAUGE: 2.0, UP: 1.0} for count in counts)


def column(found: Pages, key: tuple[str, tuple[()]]) -> list[float | None]:
    return [page.get(key) if page else None for page in found]


def notation(found: Pages, name: str) -> str:
    (text,) = [one["values"] for one in Recording(TARGET, found).input_series() if one["series"].startswith(name + "{")]
    return text


def test_a_missed_scrape_makes_every_series_stale_and_the_target_down() -> None:
    found = Missed((1,))(pages(1, 2, 3))
    assert notation(found, "x_total") == "1 stale 3"
    assert notation(found, "up") == "1 0 1"


def test_a_series_that_comes_later_has_a_gap_before_it() -> None:
    later: tuple[Page, ...] = ({UP: 1.0}, {UP: 1.0, COUNTER: 4.0})
    assert notation(later, "x_total") == "_ 4"


def test_a_target_that_comes_later_has_no_up_before_it() -> None:
    found = {one["series"].partition("{")[0]: one["values"] for one in Recording(TARGET, pages(1, 2), 3).input_series()}
    assert (found["up"], found["x_total"]) == ("_x3 1 1", "_x3 1 2")


def test_target_labels_win_over_those_of_the_page() -> None:
    own = ({("x", (("instance", "mine"),)): 1.0},)
    (_, series) = Recording(TARGET, own).input_series()
    assert series["series"] == 'x{instance="a:1",job="llm-probe",service="s"}'


def test_a_restart_starts_counters_at_zero_and_leaves_gauges() -> None:
    found = CounterReset(2)(pages(5, 7, 8, 10))
    assert column(found, COUNTER) == [5, 7, 1, 3]
    assert column(found, GAUGE) == [2, 2, 2, 2]


def test_an_engine_that_is_away_leaves_the_prober_with_llm_up_zero() -> None:
    found = Down(1, 3)(pages(5, 7, 8, 10))
    assert column(found, UP) == [1, 0, 0, 1]
    assert column(found, COUNTER) == [5, None, None, 5]


def test_an_engine_that_is_scraped_directly_is_silent_while_it_is_away() -> None:
    direct = tuple({COUNTER: count} for count in (5.0, 7.0, 8.0))
    assert Down(1, 2)(direct)[1] is None


def test_a_frozen_engine_shows_the_same_page_for_ever() -> None:
    found = Frozen(1)(pages(1, 2, 3, 4))
    assert column(found, COUNTER) == [1, 2, 2, 2]


def test_an_idle_engine_cannot_be_frozen_with_requests() -> None:
    idle = tuple({GAUGE: 0.0} for _ in range(3))
    with pytest.raises(ValueError, match="nothing to freeze"):
        Frozen(1)(idle)


def test_a_lagging_target_tells_old_figures() -> None:
    assert column(Lagging(2)(pages(1, 2, 3, 4)), COUNTER) == [None, None, 1, 2]


def test_a_clock_set_forward_gives_observations_in_the_last_bucket() -> None:
    family = "t_seconds"
    low, high = (family + "_bucket", (("le", "1"),)), (family + "_bucket", (("le", "+Inf"),))
    page = {low: 4.0, high: 5.0, (family + "_sum", ()): 3.0, (family + "_count", ()): 5.0}
    (_, after) = ClockStep(1, 3600.0, 2, (family,))((page, page))
    assert after is not None
    assert (after[low], after[high]) == (4, 7)
    assert after[family + "_sum", ()] == 7203
    assert after[family + "_count", ()] == 7


def test_what_is_left_out_is_left_out_of_every_page() -> None:
    assert column(Without(("x_",))(pages(1, 2)), COUNTER) == [None, None]


def test_coarse_buckets_keep_the_named_bounds_and_the_last() -> None:
    bounds = ("0.1", "1.0", "10.0", "+Inf")
    page = {("h_bucket", (("le", bound),)): float(n) for n, bound in enumerate(bounds)}
    (found,) = CoarseBuckets("h", (1.0,))((page,))
    assert found is not None
    assert [dict(labels)["le"] for _, labels in found] == ["1.0", "+Inf"]


def test_a_counter_of_its_own_grows_from_its_scrape_on() -> None:
    assert column(Growing(("extra", ()), 1, 2.0)(pages(0, 0, 0, 0)), ("extra", ())) == [0, 0, 30, 60]
