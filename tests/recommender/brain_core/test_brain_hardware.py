"""Bottlenecks of GPUs and hosts: what confirms them, what speaks against them, and that each ends in a plan."""

from collections.abc import Callable

import pytest

from recommender.diagnosis import diagnose
from recommender.model import DiagnosisStatus, Evidence
from recommender.playbooks import PlanContext
from rules.catalog import Bottleneck
from tests.recommender.brain_core.explained import assert_ends_in_advice, assert_spoken_against, assert_unknown

Builder = Callable[..., Evidence]
Contexts = Callable[..., PlanContext]
Signals = Callable[[str], dict[str, float]]

# Signals that confirm a bottleneck, and those of its nearest look-alike.
CASES: dict[Bottleneck, tuple[dict[str, float], dict[str, float]]] = {
    Bottleneck.DISK_SATURATION: (
        {"node:host_disk_busy:ratio": 1.0, "node:host_io_pressure_full:ratio_rate2m": 0.4},
        {
            "node:host_disk_busy:ratio": 1.0,  # a disk that serves many requests at once
            "node:host_io_pressure_full:ratio_rate2m": 0.0,
            "node:host_disk_await_seconds": 0.001,
        },
    ),
    Bottleneck.ENGINE_THREAD_SATURATION: (
        {"node:host_engine_busiest_thread:ratio_rate2m": 0.99, "gpu:gpu_utilization:ratio": 0.3},
        {"node:host_engine_busiest_thread:ratio_rate2m": 0.99, "gpu:gpu_utilization:ratio": 0.95},
    ),
    Bottleneck.FILESYSTEM_FULL: (
        {"node:host_filesystem_available:ratio": 0.04},
        {"node:host_filesystem_available:ratio": 0.5},
    ),
    Bottleneck.HOST_MEMORY_PRESSURE: (
        {"node:host_memory_available:ratio": 0.6, "node:host_oom_kills:increase30m": 1.0},  # it is free again
        {
            "node:host_memory_available:ratio": 0.6,
            "node:host_memory_pressure_some:ratio_rate2m": 0.0,
            "node:host_memory_pressure_full:ratio_rate2m": 0.0,
            "node:host_oom_kills:increase30m": 0.0,
        },
    ),
    Bottleneck.INTERCONNECT_SATURATION: (
        {"gpu:gpu_pcie_busy:ratio": 0.9},
        {"gpu:gpu_pcie_busy:ratio": 0.9, "replica:llm_requests_running:avg2m": 0.0},  # weights are loaded
    ),
    Bottleneck.NETWORK_SATURATION: (
        {"node:host_network_utilization:ratio": 0.95, "node:host_network_errors:ratio": 0.0},
        {"node:host_network_utilization:ratio": 0.4, "node:host_network_errors:ratio": 0.001},
    ),
    Bottleneck.GPU_FAULT: (
        {"gpu:gpu_up": 1.0, "gpu:gpu_xid_faults:increase10m": 1.0},
        {
            "gpu:gpu_up": 1.0,
            "gpu:gpu_xid_faults:increase10m": 0.0,  # it was the program's
            "gpu:gpu_ecc_uncorrected_errors:increase1h": 0.0,
            "gpu:gpu_row_remap_failure": 0.0,
        },
    ),
    Bottleneck.GPU_LINK_DEGRADED: (
        {"gpu:gpu_pcie_link_width:ratio": 0.5},
        {
            "gpu:gpu_pcie_link_width:ratio": 1.0,
            "gpu:gpu_pcie_replays:rate5m": 0.01,
            "gpu:gpu_nvlink_errors:increase1h": 0.0,
        },
    ),
    Bottleneck.GPU_REPAIR_PENDING: (
        {"gpu:gpu_row_remap_pending": 1.0},
        {"gpu:gpu_row_remap_pending": 0.0, "gpu:gpu_row_remap_failure": 0.0},
    ),
    Bottleneck.GPU_POWER_BRAKE: (
        {"gpu:gpu_power_brake:ratio_avg5m": 0.2, "gpu:gpu_hw_slowdown:ratio_avg5m": 0.2},
        {"gpu:gpu_power_brake:ratio_avg5m": 0.0, "gpu:gpu_hw_slowdown:ratio_avg5m": 0.2},
    ),
    Bottleneck.GPU_POWER_LIMIT: (
        {"gpu:gpu_throttled_power:ratio_rate5m": 0.9, "gpu:gpu_throttled_thermal:ratio_rate5m": 0.0},
        {"gpu:gpu_throttled_power:ratio_rate5m": 0.9, "gpu:gpu_throttled_thermal:ratio_rate5m": 0.5},
    ),
    Bottleneck.GPU_THERMAL_THROTTLE: (
        {"gpu:gpu_throttled_thermal:ratio_rate5m": 0.3, "gpu:gpu_power_brake:ratio_avg5m": 0.0},
        {"gpu:gpu_throttled_thermal:ratio_rate5m": 0.0, "gpu:gpu_hw_slowdown:ratio_avg5m": 0.05},
    ),
}


@pytest.mark.parametrize("bottleneck", CASES)
def test_an_alert_of_hardware_ends_in_an_explained_plan(
    signals: Signals, evidence_of: Builder, context: Contexts, bottleneck: Bottleneck
) -> None:
    evidence = evidence_of(signals("steady") | CASES[bottleneck][0], (bottleneck,))
    assert_ends_in_advice(evidence, bottleneck, context(max_num_seqs=16))


@pytest.mark.parametrize("bottleneck", CASES)
def test_the_look_alike_of_hardware_trouble_is_not_acted_on(
    signals: Signals, evidence_of: Builder, bottleneck: Bottleneck
) -> None:
    assert_spoken_against(evidence_of(signals("steady") | CASES[bottleneck][1], (bottleneck,)), bottleneck)


@pytest.mark.parametrize("bottleneck", CASES)
def test_hardware_of_which_nothing_is_known_is_not_acted_on(
    signals: Signals, evidence_of: Builder, bottleneck: Bottleneck
) -> None:
    assert_unknown(evidence_of(signals("steady"), (bottleneck,)), bottleneck)


def test_nvlink_that_is_full_is_told_as_the_pcie_link_is(signals: Signals, evidence_of: Builder) -> None:
    shown = signals("saturated") | {"gpu:gpu_nvlink_bytes:rate5m": 7e11, "gpu:gpu_pcie_busy:ratio": 0.1}
    diagnosis = diagnose(evidence_of(shown, (Bottleneck.INTERCONNECT_SATURATION,)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.INTERCONNECT_SATURATION
    assert "busiest NVLink" in diagnosis.text


def test_a_hot_gpu_goes_before_the_batch_limit(signals: Signals, evidence_of: Builder) -> None:
    shown = signals("saturated") | {"replica:llm_admission_fullness:ratio_avg2m": 1.0}
    shown |= CASES[Bottleneck.GPU_THERMAL_THROTTLE][0]
    diagnosis = diagnose(evidence_of(shown, (Bottleneck.ADMISSION_LIMITED, Bottleneck.GPU_THERMAL_THROTTLE)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.GPU_THERMAL_THROTTLE


def test_a_danger_explains_no_symptom_and_hides_no_cause(signals: Signals, evidence_of: Builder) -> None:
    risk, symptom = Bottleneck.GPU_REPAIR_PENDING, Bottleneck.HIGH_LATENCY
    shown = signals("saturated") | CASES[risk][0] | {"replica:llm_admission_fullness:ratio_avg2m": 1.0}
    slow = diagnose(evidence_of(shown, (symptom, risk)), frozenset({symptom}))
    assert slow.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    asked = diagnose(evidence_of(shown, (symptom, risk)), frozenset({risk}))
    assert asked.root is not None
    assert asked.root.bottleneck is risk
    assert "Because of it" not in asked.text
    both = diagnose(evidence_of(shown, (symptom, Bottleneck.ADMISSION_LIMITED, risk)), frozenset({risk}))
    assert both.root is not None
    assert both.root.bottleneck is Bottleneck.ADMISSION_LIMITED
