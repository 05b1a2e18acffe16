"""The whole GPU page: golden file, catalogue, promtool, and what a scrape costs the driver."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.catalog import GPU_FAMILIES, Kind
from exporters.page import PageWriter
from tests.exporters.gpu.sampled import Gpus, labelled
from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.scenarios import Scenario

GOLDEN = Path(__file__).parents[2] / "data" / "gpu" / "page.prom"
UNITS = ("_seconds", "_bytes", "_ratio", "_celsius", "_watts", "_joules", "_hertz", "_bytes_per_second")
# Counts and states have no unit.
UNITLESS = {
    "gpu_up", "gpu_read_errors_total", "gpu_values_dropped_total", "gpu_processes", "gpu_clock_event_active",
    "gpu_performance_state", "gpu_pcie_link_generation", "gpu_pcie_link_generation_max", "gpu_pcie_link_width",
    "gpu_pcie_link_width_max", "gpu_pcie_replays_total", "gpu_nvlink_up", "gpu_nvlink_errors_total",
    "gpu_ecc_mode_enabled", "gpu_ecc_errors_total", "gpu_remapped_rows_total", "gpu_row_remap_pending",
    "gpu_row_remap_failure", "gpu_retired_pages_total", "gpu_retired_pages_pending", "gpu_xid_events_total",
    "gpu_mig_mode_enabled",
}  # fmt: skip


def everything() -> Scenario:
    """An H100 in MIG mode, and an H100 with all that a device can have."""
    second = scenarios.h100(devices=2).changed(1, {"fans": 1, "fan_percent.0": 30, "events": "8:48"})
    second = second.changed(1, {"retired_pages.single_bit": 2, "retired_pages.double_bit": 0})
    second = second.changed(1, {"retired_pages.pending": 0, "violation_ns.app_clocks": 0})
    return Scenario({**scenarios.h100_mig().sections, "system": second["system"], "1": second[1]})


def write(gpu: Gpus) -> str:
    page = PageWriter().write([gpu.families()], openmetrics=False).decode()
    return re.sub(r"(?m)^(gpu_sample_age_seconds\{.*\}) .*$", r"\1 0.5", page)


@pytest.fixture(name="page")
def _page(gpus: Callable[..., Gpus]) -> str:
    gpu = gpus(everything(), processes=True)
    second = ("1", scenarios.UUID.format(index=1))
    gpu.until(lambda samples: labelled(samples, "gpu_xid_events_total", second).get(("48",)))
    gpu.until(lambda samples: labelled(samples, "gpu_xid_events_total"))
    return write(gpu)


def test_the_page_is_the_golden_one(page: str) -> None:
    if os.environ.get("REGEN"):
        GOLDEN.write_text(page, encoding="utf-8")

    assert page == GOLDEN.read_text(encoding="utf-8")


def test_what_is_emitted_is_catalogued_and_what_is_catalogued_is_emitted(page: str) -> None:
    emitted = {line.split("{")[0] for line in page.splitlines() if not line.startswith("#")}

    assert emitted == set(GPU_FAMILIES)


def test_no_family_is_printed_twice_and_no_series_either(page: str) -> None:
    lines = page.splitlines()
    families = Counter(line for line in lines if line.startswith("# TYPE"))
    series = Counter(line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#"))

    assert max(families.values()) == max(series.values()) == 1


def test_promtool_finds_nothing_to_say(page: str) -> None:
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False, timeout=30
    )

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("name", sorted(GPU_FAMILIES))
def test_a_name_says_its_kind_and_its_base_unit(name: str) -> None:
    family = GPU_FAMILIES[name]

    assert name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert name.endswith("_info") == (family.kind is Kind.INFO)
    assert family.labels[:2] == ("gpu", "uuid")
    if family.kind is not Kind.INFO:
        plain = name.removesuffix("_total").removesuffix("_max")
        assert plain.endswith(UNITS) != (name in UNITLESS)


def test_a_node_of_eight_gpus_has_a_page_of_bounded_size(gpus: Callable[..., Gpus]) -> None:
    page = write(gpus(scenarios.eight_gpus()))

    assert sum(not line.startswith("#") for line in page.splitlines()) < 8 * 130


def test_a_scrape_asks_the_driver_nothing(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.eight_gpus())
    gpu.scrape()
    gpu.sampler.stop()  # from here on, any call fails: the session is closed

    assert write(gpu).count("gpu_power_watts{") == 8
