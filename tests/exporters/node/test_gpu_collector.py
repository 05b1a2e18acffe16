"""GPU snapshots become families; what is unknown stays out."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from structlog.typing import FilteringBoundLogger

from exporters.catalog import GPU_FAMILIES, ClockEventReason
from exporters.errors import ReadError
from exporters.gpu.collector import FIGURES, GpuCollector, render
from exporters.gpu.reader import Device, Figures, GpuSnapshot, LostDevice

ValueOf = Callable[..., float | None]
H100 = {"gpu": "0", "uuid": "GPU-00000000-0000-0000-0000-000000000000"}


def test_every_figure_has_a_family_and_every_family_a_source() -> None:
    assert set(FIGURES) == {figure.name for figure in fields(Figures)}
    assert set(GPU_FAMILIES) - set(FIGURES.values()) == {"gpu_info", "gpu_up", "gpu_clock_event_active"}


def test_facts_are_labels_of_an_info_family(snapshot: GpuSnapshot, value_of: ValueOf) -> None:
    facts = {
        "name": "NVIDIA H100 80GB HBM3",
        "driver_version": "590.48.01",
        "cuda_version": "13.1",
        "compute_capability": "9.0",
        "pci_bus_id": "00000000:00:09.0",
    }

    assert value_of(render(snapshot).metrics(), "gpu_info", **H100, **facts) == 1


def test_a_figure_that_is_not_known_has_no_sample(snapshot: GpuSnapshot, h100: Device, value_of: ValueOf) -> None:
    partial = replace(h100, figures=Figures(power_watts=0.0))
    metrics = render(replace(snapshot, devices=(partial,))).metrics()

    assert value_of(metrics, "gpu_power_watts", **H100) == 0
    assert {metric.name for metric in metrics} == {"gpu", "gpu_up", "gpu_power_watts", "gpu_clock_event_active"}


def test_each_clock_event_reason_is_a_series_of_zero_or_one(snapshot: GpuSnapshot, value_of: ValueOf) -> None:
    metrics = render(snapshot).metrics()
    active = {
        reason: value_of(metrics, "gpu_clock_event_active", **H100, reason=reason.value) for reason in ClockEventReason
    }

    assert active == {reason: float(reason is ClockEventReason.SW_POWER_CAP) for reason in ClockEventReason}


def test_a_lost_device_is_down_and_the_others_are_read(
    snapshot: GpuSnapshot, gpu_of: Callable[..., Any], log: FilteringBoundLogger, value_of: ValueOf, events: list[Any]
) -> None:
    lost = replace(snapshot, lost=(LostDevice(1, "", "GPU is lost"),))
    collect = GpuCollector(gpu_of(lost), log=log)
    for _ in range(2):
        metrics = collect().metrics()

    assert value_of(metrics, "gpu_up", gpu="1", uuid="") == 0
    assert value_of(metrics, "gpu_up", **H100) == 1
    assert [event for event in events if event["event"] == "gpu_lost"] == [
        {"event": "gpu_lost", "log_level": "warning", "gpu": 1, "uuid": "", "error": "GPU is lost"}
    ]


def test_what_a_device_does_not_support_is_logged_once(
    snapshot: GpuSnapshot, h100: Device, gpu_of: Callable[..., Any], log: FilteringBoundLogger, events: list[Any]
) -> None:
    unsupported = replace(snapshot, devices=(replace(h100, unread={"pcie_replays": "Not Supported"}),))
    collect = GpuCollector(gpu_of(unsupported), log=log)
    for _ in range(3):
        collect()

    assert [event["without"] for event in events] == [{"pcie_replays": "Not Supported"}]


def test_a_failing_reader_fails_the_collector(gpu_of: Callable[..., Any], log: FilteringBoundLogger) -> None:
    with pytest.raises(ReadError):
        GpuCollector(gpu_of(ReadError("NVML: Unknown Error")), log=log)()
