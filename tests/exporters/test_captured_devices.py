"""The real exporter on each captured device says what nvidia_gpu_exporter said of it, figure by figure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporters.nvml_stub.scenarios import CAPTURES, h100, h100_mig, h200_idle, h200_load, l40s, of_capture
from tests.exporters.nvml_stub.stub import NvmlStub
from tests.exporters.process import Exporter, exporters

pytestmark = pytest.mark.process

# Family and labels beside `gpu`, `uuid`, `mig` -> metric of nvidia_gpu_exporter without `nvidia_smi_`.
SAME = {
    "gpu_utilization_ratio": "utilization_gpu_ratio",
    "gpu_memory_busy_ratio": "utilization_memory_ratio",
    "gpu_encoder_utilization_ratio": "utilization_encoder_ratio",
    "gpu_decoder_utilization_ratio": "utilization_decoder_ratio",
    "gpu_memory_total_bytes": "memory_total_bytes",
    "gpu_memory_used_bytes": "memory_used_bytes",
    "gpu_memory_free_bytes": "memory_free_bytes",
    "gpu_memory_reserved_bytes": "memory_reserved_bytes",
    "gpu_processes": "compute_apps",
    "gpu_power_watts": "power_draw_watts",
    "gpu_power_limit_watts": "enforced_power_limit_watts",
    "gpu_power_default_limit_watts": "power_default_limit_watts",
    "gpu_temperature_celsius": "temperature_gpu",
    "gpu_memory_temperature_celsius": "temperature_memory",
    "gpu_sm_clock_hertz": "clocks_current_sm_clock_hz",
    "gpu_sm_clock_max_hertz": "clocks_max_sm_clock_hz",
    "gpu_memory_clock_hertz": "clocks_current_memory_clock_hz",
    "gpu_memory_clock_max_hertz": "clocks_max_memory_clock_hz",
    "gpu_performance_state": "pstate",
    "gpu_pcie_link_generation": "pcie_link_gen_current",
    "gpu_pcie_link_generation_max": "pcie_link_gen_max",
    "gpu_pcie_link_width": "pcie_link_width_current",
    "gpu_pcie_link_width_max": "pcie_link_width_max",
    "gpu_ecc_mode_enabled": "ecc_mode_current",
    "gpu_mig_mode_enabled": "mig_mode_current",
    "gpu_row_remap_pending": "remapped_rows_pending",
    "gpu_row_remap_failure": "remapped_rows_failure",
    "gpu_violation_seconds_total power": "clocks_event_reasons_counters_sw_power_cap_seconds",
    "gpu_violation_seconds_total sync_boost": "clocks_event_reasons_counters_sync_boost_seconds",
    "gpu_clock_event_active gpu_idle": "clocks_event_reasons_gpu_idle",
    "gpu_clock_event_active sw_power_cap": "clocks_event_reasons_sw_power_cap",
    "gpu_clock_event_active hw_slowdown": "clocks_event_reasons_hw_slowdown",
    "gpu_clock_event_active hw_thermal_slowdown": "clocks_event_reasons_hw_thermal_slowdown",
    "gpu_clock_event_active sw_thermal_slowdown": "clocks_event_reasons_sw_thermal_slowdown",
    "gpu_clock_event_active hw_power_brake_slowdown": "clocks_event_reasons_hw_power_brake_slowdown",
    **{
        f"gpu_ecc_errors_total {error} {lifetime}": f"ecc_errors_{error}_{lifetime}_total"
        for error in ("corrected", "uncorrected")
        for lifetime in ("volatile", "aggregate")
    },
}
FEWEST = 24  # of the figures above, an H100 in MIG mode has no more
SCENARIOS = {
    "nvidia-h100-80gb-hbm3__590.48.01__load": h100,
    "nvidia-h100-mig__590.48.01__load": h100_mig,
    "nvidia-h200__590.48.01__idle": h200_idle,
    "nvidia-h200__590.48.01__load": h200_load,
    "nvidia-l40s__595.80__load": l40s,
}


@pytest.fixture(name="start")
def _start() -> Iterator[Callable[..., Exporter]]:
    with exporters() as start:
        yield start


def captured(name: str) -> dict[str, float]:
    """Figures of the page by the metric's name without `nvidia_smi_`."""
    text = (CAPTURES / f"linux-x86_64__{name}.prom").read_text(encoding="utf-8")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {s.name.removeprefix("nvidia_smi_"): s.value for s in samples if s.labels.keys() <= {"uuid"}}


def exported(page: str) -> dict[str, float]:
    """Figures of whole GPUs by family and labels, as `SAME` has them."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {
        " ".join(
            [s.name, *(value for key, value in sorted(s.labels.items()) if key not in {"gpu", "uuid", "mig"})]
        ): s.value
        for s in samples
        if s.labels.get("gpu") == "0" and not s.labels.get("mig")
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_captured_device_is_exported_as_it_was_captured(
    nvml_stub: NvmlStub, start: Callable[..., Exporter], name: str
) -> None:
    nvml_stub.show(SCENARIOS[name]())
    page, ours = captured(name), exported(start("--collectors", "gpu", **nvml_stub.env).page())

    there = {mine for mine, theirs in SAME.items() if theirs in page}
    assert len(there) >= FEWEST
    assert {mine for mine in SAME if mine in ours} == there
    assert {mine: ours[mine] for mine in there} == pytest.approx({mine: page[SAME[mine]] for mine in there})


def test_every_capture_is_a_scenario() -> None:
    names = {path.stem.removeprefix("linux-x86_64__") for path in Path(CAPTURES).glob("*.prom")}
    assert names == SCENARIOS.keys()
    assert of_capture("linux-x86_64__nvidia-l40s__595.80__load", nvlink=False) == l40s()
