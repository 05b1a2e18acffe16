"""NVML calls as figures. Where a driver lacks a call, the one that it had before is used."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pynvml as nvml

from exporters.catalog.gpu import ClockEventReason
from exporters.gpu.units import BYTES, STATE, Call, Figure, Given, Handle, Raw, Unit

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
_ALL_LINKS = 0xFFFF_FFFF  # scope of a field that is summed over the device's NVLinks
# Members of nvmlValue_t by nvmlValueType_t.
_VALUE_MEMBERS = {
    nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    nvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    nvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}
_MEMORY = tuple(Figure(f"gpu_memory_{part}_bytes", BYTES) for part in ("total", "used", "free", "reserved"))


def newest(handle: Handle, call: Callable[[Handle], _T], older: Callable[[Handle], _T]) -> _T:
    """Call a function, or the one that drivers before it have instead."""
    try:
        return call(handle)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_ArgumentVersionMismatch):
        return older(handle)


def one(family: str, unit: Unit, call: Callable[..., Raw], *arguments: int, labels: tuple[str, ...] = ()) -> Call:
    """Make a figure of a call that gives one number."""
    figure = Figure(family, unit, labels)
    return lambda handle: [(figure, call(handle, *arguments))]


def several(call: Callable[[Handle], Sequence[Raw]], *figures: Figure) -> Call:
    """Make figures of a call that gives several numbers in their order; numbers without a figure are left out."""
    return lambda handle: list(zip(figures, call(handle), strict=False))


def field(field_id: int, *, scope: int = 0) -> Callable[[Handle], Raw]:
    """Make a call of one field of `nvmlDeviceGetFieldValues`."""

    def read(handle: Handle) -> Raw:
        (found,) = nvml.nvmlDeviceGetFieldValues(handle, [(field_id, scope)])
        if found.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(found.nvmlReturn)
        member = _VALUE_MEMBERS.get(found.valueType)
        if member is None:  # a type that came after this list
            raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
        number: Raw = getattr(found.value, member)
        return number

    return read


def links_field(field_id: int) -> Callable[[Handle], Raw]:
    """Make a call of one field that is summed over all NVLinks."""
    return field(field_id, scope=_ALL_LINKS)


def utilization(handle: Handle) -> tuple[int, int]:
    """Percent of time with a kernel, and with memory traffic."""
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return rates.gpu, rates.memory


def memory(handle: Handle) -> Given:
    """Total, used, free, reserved; without reserved, which is then part of used, on drivers before 510."""
    now = newest(
        handle,
        lambda device: nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2),
        nvml.nvmlDeviceGetMemoryInfo,
    )
    found = (now.total, now.used, now.free)
    return list(zip(_MEMORY, (*found, now.reserved) if hasattr(now, "reserved") else found, strict=False))


def temperature(handle: Handle) -> int:
    """Celsius of the die."""
    sensor = nvml.NVML_TEMPERATURE_GPU
    found: int = newest(
        handle,
        lambda device: nvml.nvmlDeviceGetTemperatureV(device, sensor),
        lambda device: nvml.nvmlDeviceGetTemperature(device, sensor),
    )
    return found


def clock_events(supported: int) -> Call:
    """One figure for each reason that a device supports."""
    figures = [
        (Figure("gpu_clock_event_active", STATE, (reason.value,)), bit)
        for reason, bit in REASON_BITS.items()
        if supported & bit
    ]

    def read(handle: Handle) -> Given:
        active = newest(
            handle, nvml.nvmlDeviceGetCurrentClocksEventReasons, nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        )
        return [(figure, int(bool(active & bit))) for figure, bit in figures]

    return read


def violation_time(handle: Handle, policy: int) -> int:
    """Nanoseconds for which a policy held the clocks down."""
    found: int = nvml.nvmlDeviceGetViolationStatus(handle, policy).violationTime
    return found


def retired_pages(handle: Handle, cause: int) -> int:
    """How many pages were retired."""
    return len(nvml.nvmlDeviceGetRetiredPages(handle, cause))


def ecc_mode(handle: Handle) -> int:
    """1 when ECC is on now; what it will be after a reset is left out."""
    now, _ = nvml.nvmlDeviceGetEccMode(handle)
    return int(now)


def encoder(handle: Handle) -> int:
    """Percent."""
    percent, _ = nvml.nvmlDeviceGetEncoderUtilization(handle)
    return int(percent)


def decoder(handle: Handle) -> int:
    """Percent."""
    percent, _ = nvml.nvmlDeviceGetDecoderUtilization(handle)
    return int(percent)
