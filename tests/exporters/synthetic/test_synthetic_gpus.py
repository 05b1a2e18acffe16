"""Synthetic GPUs: the collector and page of real ones, figures that move and agree, the same for the same seed."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from exporters.catalog import GPU_FAMILIES, ClockEventReason, Kind
from exporters.gpu.collector import GpuCollector
from exporters.synthetic.gpus import DEVICES, SyntheticGpus
from exporters.synthetic.scenario import Scenario

# What an H100 SXM does not give.
ABSENT = {"gpu_fan_speed_ratio", "gpu_retired_pages_total", "gpu_retired_pages_pending"}
STALE_SECONDS = 10.0

Labels = tuple[str, ...]
Page = Mapping[str, Mapping[Labels, float]]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.25

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="node")
def _node(clock: Clock) -> Callable[..., Callable[[float], Page]]:
    """A node's GPU page at so many seconds after its start."""

    def make(scenario: Scenario = Scenario.HEALTHY, **options: Any) -> Callable[[float], Page]:
        source = SyntheticGpus(
            scenario, **{"seed": 1, "interval_seconds": 1.0, "processes": False, "timer": clock, **options}
        )
        collector = GpuCollector(source, stale_seconds=STALE_SECONDS, first_seconds=0, timer=clock)
        started = clock.seconds

        def page(seconds: float) -> Page:
            clock.seconds = started + seconds
            return {family.name: dict(samples) for family, samples in collector().families()}

        return page

    return make


def total(page: Page, family: str, *wanted: str) -> float:
    """Sum over the series that have these label values."""
    return sum(value for labels, value in page.get(family, {}).items() if set(wanted) <= set(labels))


def test_every_family_that_such_gpus_give_is_there(node: Callable[..., Any]) -> None:
    assert set(node(processes=True)(100)) == set(GPU_FAMILIES) - ABSENT
    assert "gpu_process_memory_bytes" not in node()(100)


@pytest.mark.parametrize("scenario", Scenario)
def test_figures_move_and_counters_never_fall(node: Callable[..., Any], scenario: Scenario) -> None:
    page = node(scenario)
    pages = [page(seconds) for seconds in (0, 7.5, 60, 61, 299, 301, 4000)]

    for before, after in itertools.pairwise(pages):
        for name, family in GPU_FAMILIES.items():
            if family.kind is Kind.COUNTER:
                for labels, value in before.get(name, {}).items():
                    assert after.get(name, {}).get(labels, math.inf) >= value, name
    powers = [tuple(each["gpu_power_watts"].values()) for each in pages]
    assert len(set(powers)) == len(powers)


def test_the_same_seed_gives_the_same_page_and_another_another(node: Callable[..., Any], clock: Clock) -> None:
    first, again, other = node(seed=7), node(seed=7), node(seed=8)

    assert first(123.5) == again(123.5)
    assert first(123.5) != other(123.5)
    clock.seconds += 2**20
    assert node(seed=7)(123.5) == again(123.5)


def test_figures_agree_with_each_other(node: Callable[..., Any]) -> None:
    page = node()(500.0)
    for (gpu, uuid, mig), size in page["gpu_memory_total_bytes"].items():
        parts = [page[f"gpu_memory_{part}_bytes"][gpu, uuid, mig] for part in ("used", "free", "reserved")]
        assert sum(parts) == size
        assert 0 < page["gpu_processes_memory_bytes"][gpu, uuid, mig] < parts[0]
    assert all(0 <= value <= 1 for value in page["gpu_utilization_ratio"].values())
    for labels, watts in page["gpu_power_watts"].items():
        assert 0 < watts < page["gpu_power_limit_watts"][labels]


def test_energy_is_the_integral_of_power(node: Callable[..., Any]) -> None:
    page = node(interval_seconds=0.01)
    steps = 2000
    powers = [page(60 * step / steps)["gpu_power_watts"] for step in range(steps + 1)]
    used = page(60.0)["gpu_energy_joules_total"]

    for labels, joules in used.items():
        watts = [power[labels] for power in powers]
        assert joules == pytest.approx(60 * sum(watts) / len(watts), rel=1e-3)


def test_one_of_the_gpus_is_cut_into_slices(node: Callable[..., Any]) -> None:
    page = node()(10)

    assert list(page["gpu_mig_mode_enabled"].values()) == [0.0] * (DEVICES - 1) + [1.0]
    assert {labels[4] for labels in page["gpu_mig_info"]} == {"3g.40gb", "4g.40gb"}
    assert {labels[2] for labels in page["gpu_memory_used_bytes"]} == {"", "0", "1"}


def test_their_name_says_that_they_are_not_real(node: Callable[..., Any]) -> None:
    assert all("synthetic" in labels[2] for labels in node()(0)["gpu_info"])


def test_healthy_gpus_have_no_trouble(node: Callable[..., Any]) -> None:
    page = node()(10_000)

    assert total(page, "gpu_up") == DEVICES
    for family in ("gpu_clock_event_active", "gpu_xid_events_total", "gpu_ecc_errors_total", "gpu_read_errors_total"):
        assert page[family]
        assert total(page, family) == 0, family


def test_throttled_gpus_lose_clock_and_say_why(node: Callable[..., Any]) -> None:
    page, healthy = node(Scenario.THROTTLED)(600), node()(600)
    slow = {labels[0] for labels, value in page["gpu_sm_clock_hertz"].items() if value < 1.95e9}

    assert slow == {"0", "1", "2"}
    assert total(page, "gpu_clock_event_active", ClockEventReason.SW_POWER_CAP) == 3
    assert total(page, "gpu_clock_event_active", ClockEventReason.HW_THERMAL_SLOWDOWN) == 1
    assert total(page, "gpu_violation_seconds_total", "power") == pytest.approx(3 * 0.6 * 600)
    assert total(healthy, "gpu_violation_seconds_total") == 0
    assert min(healthy["gpu_sm_clock_hertz"].values()) > 1.95e9


def test_memory_errors_come_with_remapped_rows_and_xids(node: Callable[..., Any]) -> None:
    page = node(Scenario.ECC)(600)

    assert total(page, "gpu_ecc_errors_total", "corrected", "volatile") == 120
    assert total(page, "gpu_ecc_errors_total", "uncorrected", "volatile") == 10
    assert total(page, "gpu_remapped_rows_total", "uncorrected") == 10
    assert total(page, "gpu_row_remap_pending") == 1
    assert total(page, "gpu_xid_events_total", "94") == 10


def test_a_gpu_with_xids_falls_off_the_bus_in_the_end(node: Callable[..., Any]) -> None:
    page = node(Scenario.XID)
    before, after = page(299), page(400)

    assert (total(before, "gpu_up"), total(after, "gpu_up")) == (DEVICES, DEVICES - 1)
    assert (total(before, "gpu_xid_events_total", "79"), total(after, "gpu_xid_events_total", "79")) == (0, 1)
    assert total(before, "gpu_xid_events_total", "31") == 4
    assert {labels[0] for labels in after["gpu_power_watts"]} == {"0", "2", "3"}


def test_a_gpu_that_hangs_ages_and_its_values_are_withheld(node: Callable[..., Any]) -> None:
    page = node(Scenario.HUNG)
    before, soon, later = page(20), page(35), page(100)

    assert (total(before, "gpu_up"), total(soon, "gpu_up"), total(later, "gpu_up")) == (DEVICES, DEVICES, DEVICES - 1)
    ages = {labels[0]: age for labels, age in later["gpu_sample_age_seconds"].items()}
    assert (ages["2"], ages["0"]) == (70, 0)
    assert {labels[0] for labels in later["gpu_power_watts"]} == {"0", "1", "3"}
    assert total(later, "gpu_read_errors_total", "pcie") == 1
