"""What captured devices say arrives in base units; what they do not say is absent."""

from collections.abc import Callable
from typing import Any

import pytest

from exporters.catalog import ClockEventReason
from tests.exporters.gpu.sampled import GPU0, GPU1, Gpus, errors, labelled, of
from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.scenarios import UUID
from tests.exporters.nvml_stub.stub import NvmlStub


def test_an_h100_under_load_is_read_in_base_units(gpus: Callable[..., Gpus]) -> None:
    found = of(gpus(scenarios.h100()).scrape())
    age = found.pop("gpu_sample_age_seconds")

    assert 0 <= age < 10
    assert found == {
        "gpu_up": 1,
        "gpu_values_dropped_total": 0,
        "gpu_utilization_ratio": 1.0,
        "gpu_memory_busy_ratio": 0.11,
        "gpu_encoder_utilization_ratio": 0,
        "gpu_decoder_utilization_ratio": 0,
        "gpu_memory_total_bytes": 85520809984,
        "gpu_memory_used_bytes": 20780679168,
        "gpu_memory_free_bytes": 64238911488,
        "gpu_memory_reserved_bytes": 502267904,
        "gpu_processes": 3,
        "gpu_processes_memory_bytes": 20759707648,
        "gpu_sm_clock_hertz": 1980e6,
        "gpu_sm_clock_max_hertz": 1980e6,
        "gpu_memory_clock_hertz": 2619e6,
        "gpu_memory_clock_max_hertz": 2619e6,
        "gpu_performance_state": 0,
        "gpu_power_watts": 631.95,
        "gpu_power_limit_watts": 700,
        "gpu_power_default_limit_watts": 700,
        "gpu_energy_joules_total": 123456789.012,
        "gpu_temperature_celsius": 59,
        "gpu_temperature_slowdown_celsius": 87,
        "gpu_temperature_shutdown_celsius": 93,
        "gpu_memory_temperature_celsius": 54,
        "gpu_pcie_receive_bytes_per_second": 250000 * 1024,
        "gpu_pcie_transmit_bytes_per_second": 1500000 * 1024,
        "gpu_pcie_link_generation": 5,
        "gpu_pcie_link_generation_max": 5,
        "gpu_pcie_link_width": 16,
        "gpu_pcie_link_width_max": 16,
        "gpu_pcie_replays_total": 0,
        "gpu_nvlink_receive_bytes_total": 18000000 * 1024,
        "gpu_nvlink_transmit_bytes_total": 36000000 * 1024,
        "gpu_ecc_mode_enabled": 1,
        "gpu_row_remap_pending": 0,
        "gpu_row_remap_failure": 0,
        "gpu_mig_mode_enabled": 0,
    }


def test_facts_are_labels_of_an_info_family(gpus: Callable[..., Gpus]) -> None:
    samples = gpus(scenarios.h100()).scrape()

    facts = ("NVIDIA H100 80GB HBM3", "590.48.01", "13.1", "13.590.48.01", "9.0", "00000000:00:09.0")
    assert labelled(samples, "gpu_info") == {facts: 1}


def test_an_l40s_has_no_nvlink_and_no_memory_temperature_and_decodes(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.l40s())
    samples, device = gpu.scrape(), gpu.stub.scenario[0]
    found = of(samples)

    assert not {name for name, *_ in samples if "nvlink" in name}
    assert "gpu_memory_temperature_celsius" not in found
    assert found["gpu_encoder_utilization_ratio"] == int(device["utilization_encoder_percent"]) / 100
    assert found["gpu_decoder_utilization_ratio"] == int(device["utilization_decoder_percent"]) / 100
    assert found["gpu_pcie_link_width_max"] == int(device["pcie_width_max"])


@pytest.mark.parametrize("scenario", [scenarios.h200_idle, scenarios.h200_load])
def test_h200s_are_read_as_nvidia_smi_reads_them(gpus: Callable[..., Gpus], scenario: Callable[[], Any]) -> None:
    gpu = gpus(scenario())
    found, said = of(gpu.scrape()), gpu.stub.scenario[0]

    assert found["gpu_power_watts"] == int(said["power_mw"]) / 1000
    assert found["gpu_memory_total_bytes"] == int(said["memory_total_bytes"])
    assert found["gpu_sm_clock_hertz"] == int(said["clock_mhz.sm"]) * 1e6
    assert found["gpu_processes"] == len([one for one in said["processes.compute"].split(",") if one])


def test_each_clock_event_reason_that_a_device_supports_is_a_series_of_zero_or_one(gpus: Callable[..., Gpus]) -> None:
    supported = scenarios.throttled().changed(2, {"clock_reasons_supported": 0xFF})
    samples = gpus(supported).scrape()
    active = {
        gpu: {reason for (reason,), value in labelled(samples, "gpu_clock_event_active", gpu).items() if value}
        for gpu in (GPU0, GPU1)
    }

    assert set(labelled(samples, "gpu_clock_event_active")) == {(reason.value,) for reason in ClockEventReason}
    assert active == {GPU0: {"sw_power_cap"}, GPU1: {"sw_thermal_slowdown", "hw_thermal_slowdown"}}
    third = labelled(samples, "gpu_clock_event_active", ("2", UUID.format(index=2)))
    assert third["hw_slowdown",] == third["hw_power_brake_slowdown",] == 1
    assert ("display_clock_setting",) not in third


def test_violation_times_are_seconds_by_policy(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.h100().changed(0, {"violation_ns.power": 7_500_000_000, "violation_ns.thermal": 250_000_000})
    found = labelled(gpus(scenario).scrape(), "gpu_violation_seconds_total")

    assert (found["power",], found["thermal",]) == (7.5, 0.25)
    assert {policy for (policy,) in found} == {
        "power", "thermal", "sync_boost", "board_limit", "low_utilization", "reliability"
    }  # fmt: skip


def test_errors_of_memory_rows_and_pages_are_counted_by_kind(gpus: Callable[..., Gpus]) -> None:
    samples = gpus(scenarios.ecc()).scrape()

    assert labelled(samples, "gpu_ecc_errors_total") == {
        ("corrected", "volatile"): 12,
        ("corrected", "aggregate"): 40,
        ("uncorrected", "volatile"): 2,
        ("uncorrected", "aggregate"): 5,
    }
    assert labelled(samples, "gpu_remapped_rows_total") == {("corrected",): 3, ("uncorrected",): 1}
    first, second = of(samples, GPU0), of(samples, GPU1)
    assert (first["gpu_row_remap_pending"], first["gpu_row_remap_failure"]) == (1, 1)
    assert first["gpu_pcie_replays_total"] == 17
    assert "gpu_row_remap_failure" not in second
    assert "gpu_retired_pages_pending" not in first
    assert labelled(samples, "gpu_retired_pages_total", GPU1) == {("single_bit",): 4, ("double_bit",): 1}
    assert second["gpu_retired_pages_pending"] == 1


def test_nvlinks_are_up_or_down_and_their_errors_are_summed(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.h100().changed(
        0, {"nvlinks": 4, "nvlink_state.2": 0, "nvlink_errors.0.replay": 3, "nvlink_errors.3.replay": 4}
    )
    samples = gpus(scenario).scrape()

    assert labelled(samples, "gpu_nvlink_up") == {("0",): 1, ("1",): 1, ("2",): 0, ("3",): 1}
    assert labelled(samples, "gpu_nvlink_errors_total") == {
        ("replay",): 7,
        ("recovery",): 0,
        ("crc_flit",): 0,
        ("crc_data",): 0,
    }


def test_each_fan_has_its_speed_which_may_exceed_1(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.l40s().changed(0, {"fans": 2, "fan_percent.0": 45, "fan_percent.1": 104})
    found = labelled(gpus(scenario).scrape(), "gpu_fan_speed_ratio")

    assert found == {("0",): 0.45, ("1",): 1.04}


def test_values_move_with_the_device(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gpu.stub.show(scenarios.h100().changed(0, {"power_mw": 123000, "power_limit_mw": 450000}))

    gpu.until(lambda samples: samples["gpu_power_watts", *GPU0] == 123)
    gpu.until(lambda samples: samples["gpu_power_limit_watts", *GPU0] == 450)  # a slow reading


def test_drivers_that_lack_the_new_calls_are_read_with_the_old_ones(
    gpus: Callable[..., Gpus], old_nvml_library: Any, nvml_stub: NvmlStub
) -> None:
    nvml_stub.library = old_nvml_library
    samples = gpus(scenarios.h100()).scrape()
    found = of(samples)

    assert found["gpu_temperature_celsius"] == 59
    assert found["gpu_memory_used_bytes"] == 20780679168 + 502267904
    assert "gpu_memory_reserved_bytes" not in found
    assert found["gpu_processes"] == 3
    assert labelled(samples, "gpu_clock_event_active")["gpu_idle",] == 0


def test_what_a_device_does_not_support_is_asked_once_and_logged_once(
    gpus: Callable[..., Gpus], events: list[Any]
) -> None:
    gpu = gpus(scenarios.l40s().changed(0, {"energy_mj": None}))
    first = gpu.scrape()
    gpu.stub.show(scenarios.l40s())  # were it asked again, it would answer
    now = gpu.until(lambda samples: samples["gpu_sample_age_seconds", *GPU0] < 0.02)

    assert ("gpu_energy_joules_total", *GPU0) not in first
    assert ("gpu_energy_joules_total", *GPU0) not in now
    found = [event["without"] for event in events if event["event"] == "gpu_found"]
    assert len(found) == 1
    assert found[0]["gpu_energy_joules_total"] == "Not Supported"
    assert found[0]["nvlink"] == "Not Supported"
    assert errors(now) == {}
