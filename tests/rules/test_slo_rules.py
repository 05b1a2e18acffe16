"""The rules of objectives are generated, committed, and computed from one table of windows."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from rules.catalog import HISTOGRAMS, OBJECTIVES, SERVICE_BUCKETS, SOURCE_COUNTERS, THRESHOLDS, source_windows
from rules.catalog.slos import AVAILABILITY, BURN_WINDOWS, LATENCY_SLOS, PERIOD_DAYS, BurnWindow
from rules.cli import build
from rules.slo import INTERVAL_SECONDS, SLO_FILE, slo_rules

LOOK_BACK_SECONDS = 300  # Prometheus's default: an older sample is none
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    return sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def test_the_committed_file_is_what_the_table_gives() -> None:
    assert SLO_FILE.read_text(encoding="utf-8") == slo_rules(), "run: optiinfra build rules"


def test_a_stale_file_fails_the_check(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(build, ["--out", str(tmp_path)]).exit_code == 0
    (tmp_path / "slo.yml").write_text("groups: []\n")
    assert "slo.yml differ" in run(build, ["--out", str(tmp_path), "--check"]).output


@pytest.mark.parametrize(
    ("window", "factor"),
    [*zip(BURN_WINDOWS, (14.4, 6, 3, 1), strict=True)],
    ids=[window.long for window in BURN_WINDOWS],
)
def test_a_factor_is_the_budget_spent_over_the_time_it_took(window: BurnWindow, factor: float) -> None:
    assert window.factor == factor == THRESHOLDS[window.threshold].default
    assert window.factor * window.long_hours / (PERIOD_DAYS * 24) == pytest.approx(window.budget_share)


def test_a_short_window_is_a_twelfth_of_its_long_one() -> None:
    assert {seconds(window.long) / seconds(window.short) for window in BURN_WINDOWS} == {12}
    assert all(seconds(window.long) == window.long_hours * 3600 for window in BURN_WINDOWS)


def test_no_group_is_evaluated_so_seldom_that_its_series_are_not_found() -> None:
    groups = yaml.safe_load(slo_rules())["groups"]
    intervals = {group["name"]: seconds(group["interval"]) for group in groups}
    assert intervals["slo"] == INTERVAL_SECONDS
    assert all(interval < LOOK_BACK_SECONDS for interval in intervals.values())


def test_what_is_counted_is_recorded_over_5m_and_every_objective_exists() -> None:
    for slo in LATENCY_SLOS:
        assert slo.histogram in HISTOGRAMS
        assert slo.histogram in SERVICE_BUCKETS
        assert {slo.bound, slo.budget} <= OBJECTIVES.keys()
    for stem in (AVAILABILITY.events, AVAILABILITY.errors):
        assert stem in SOURCE_COUNTERS
        assert "5m" in source_windows(stem)
    assert AVAILABILITY.budget in OBJECTIVES
