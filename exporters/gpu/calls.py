"""NVML calls, and the figures that each gives.

Units follow nvml.h: milliwatts, millijoules, MHz, percent. Where a driver lacks a call, the one that it had before is
used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import pynvml as nvml

from exporters.catalog import ClockEventReason

Handle: TypeAlias = Any  # pynvml has no types
Raw: TypeAlias = Sequence[int]
_T = TypeVar("_T")

REASON_BITS = {
    ClockEventReason.GPU_IDLE: nvml.nvmlClocksEventReasonGpuIdle,
    ClockEventReason.APPLICATIONS_CLOCKS_SETTING: nvml.nvmlClocksEventReasonApplicationsClocksSetting,
    ClockEventReason.SW_POWER_CAP: nvml.nvmlClocksEventReasonSwPowerCap,
    ClockEventReason.HW_SLOWDOWN: nvml.nvmlClocksEventReasonHwSlowdown,
    ClockEventReason.SYNC_BOOST: nvml.nvmlClocksEventReasonSyncBoost,
    ClockEventReason.SW_THERMAL_SLOWDOWN: nvml.nvmlClocksEventReasonSwThermalSlowdown,
    ClockEventReason.HW_THERMAL_SLOWDOWN: nvml.nvmlClocksEventReasonHwThermalSlowdown,
    ClockEventReason.HW_POWER_BRAKE_SLOWDOWN: nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    ClockEventReason.DISPLAY_CLOCK_SETTING: nvml.nvmlClocksEventReasonDisplayClockSetting,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One NVML call and the figures that it gives."""

    figures: tuple[str, ...]
    call: Callable[[Handle], Raw]
    to_base_unit: Callable[[int], float] = float


def newest(handle: Handle, call: Callable[[Handle], _T], older: Callable[[Handle], _T]) -> _T:
    """Call a function, or the one that drivers before it have instead."""
    try:
        return call(handle)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_ArgumentVersionMismatch):
        return older(handle)


def _one(call: Callable[..., int], *arguments: int) -> Callable[[Handle], Raw]:
    return lambda handle: (call(handle, *arguments),)


def _utilization(handle: Handle) -> Raw:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return rates.gpu, rates.memory


def _memory(handle: Handle) -> Raw:
    """Total, used, free, reserved; without reserved, which is then part of used, on drivers before 510."""
    now = newest(
        handle,
        lambda device: nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2),
        nvml.nvmlDeviceGetMemoryInfo,
    )
    figures = (now.total, now.used, now.free)
    return (*figures, now.reserved) if hasattr(now, "reserved") else figures


def _temperature(handle: Handle) -> Raw:
    sensor = nvml.NVML_TEMPERATURE_GPU
    return (
        newest(
            handle,
            lambda device: nvml.nvmlDeviceGetTemperatureV(device, sensor),
            lambda device: nvml.nvmlDeviceGetTemperature(device, sensor),
        ),
    )


def _processes(handle: Handle) -> Raw:
    return (len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)),)


def _from_milli(raw: int) -> float:
    return raw / 1000


def _from_mega(raw: int) -> float:
    return raw * 1_000_000


def _from_percent(raw: int) -> float:
    return raw / 100


_ECC = nvml.nvmlDeviceGetTotalEccErrors
READINGS = (
    Reading(("utilization_ratio", "memory_busy_ratio"), _utilization, _from_percent),
    Reading(("memory_total_bytes", "memory_used_bytes", "memory_free_bytes", "memory_reserved_bytes"), _memory),
    Reading(("power_watts",), _one(nvml.nvmlDeviceGetPowerUsage), _from_milli),
    Reading(("power_limit_watts",), _one(nvml.nvmlDeviceGetEnforcedPowerLimit), _from_milli),
    Reading(("energy_joules",), _one(nvml.nvmlDeviceGetTotalEnergyConsumption), _from_milli),
    Reading(("temperature_celsius",), _temperature),
    Reading(("sm_clock_hertz",), _one(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM), _from_mega),
    Reading(("sm_clock_max_hertz",), _one(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM), _from_mega),
    Reading(("memory_clock_hertz",), _one(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM), _from_mega),
    Reading(("memory_clock_max_hertz",), _one(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_MEM), _from_mega),
    Reading(("ecc_corrected_errors",), _one(_ECC, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_VOLATILE_ECC)),
    Reading(("ecc_uncorrected_errors",), _one(_ECC, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)),
    Reading(("pcie_replays",), _one(nvml.nvmlDeviceGetPcieReplayCounter)),
    Reading(("processes",), _processes),
)
