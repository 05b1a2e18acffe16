"""GPU families, as NVML gives them.

`gpu` is NVML's device index as a string, `uuid` the device's lasting identity; what describes a device goes to
`gpu_info` and is joined. What a device does not support is absent, never zero.
"""

from enum import StrEnum

from exporters.catalog.family import Family, Kind


class ClockEventReason(StrEnum):
    """Why a device's clocks are not at their highest: the closed set of `gpu_clock_event_active{reason}` values."""

    GPU_IDLE = "gpu_idle"
    APPLICATIONS_CLOCKS_SETTING = "applications_clocks_setting"
    SW_POWER_CAP = "sw_power_cap"
    HW_SLOWDOWN = "hw_slowdown"
    SYNC_BOOST = "sync_boost"
    SW_THERMAL_SLOWDOWN = "sw_thermal_slowdown"
    HW_THERMAL_SLOWDOWN = "hw_thermal_slowdown"
    HW_POWER_BRAKE_SLOWDOWN = "hw_power_brake_slowdown"
    DISPLAY_CLOCK_SETTING = "display_clock_setting"


_L = ("gpu", "uuid")


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, text, (*_L, *labels))


def _counter(name: str, text: str) -> Family:
    return Family(name, Kind.COUNTER, text, _L)


_ALL = (
    Family(
        "gpu_info",
        Kind.INFO,
        "Device facts; always 1. What the driver does not tell is empty.",
        (*_L, "name", "driver_version", "cuda_version", "compute_capability", "pci_bus_id"),
    ),
    _gauge("gpu_up", "1 when the device answered, 0 when the driver counts it but cannot read it."),
    _gauge(
        "gpu_utilization_ratio", "Share of the last sample period in which a kernel ran, 0 to 1; not how busy it was."
    ),
    _gauge(
        "gpu_memory_busy_ratio", "Share of the last sample period in which device memory was read or written, 0 to 1."
    ),
    _gauge("gpu_memory_total_bytes", "Device memory, reserved part included."),
    _gauge("gpu_memory_used_bytes", "Device memory allocated, reserved part excluded."),
    _gauge("gpu_memory_free_bytes", "Device memory not allocated."),
    _gauge("gpu_memory_reserved_bytes", "Device memory that driver and firmware keep for themselves."),
    _gauge("gpu_power_watts", "Power draw of the board."),
    _gauge("gpu_power_limit_watts", "Power limit that is enforced, the lowest of all limiters."),
    _counter("gpu_energy_joules_total", "Energy used since the driver was loaded."),
    _gauge("gpu_temperature_celsius", "Temperature of the GPU die."),
    _gauge("gpu_sm_clock_hertz", "SM clock now."),
    _gauge("gpu_sm_clock_max_hertz", "Highest SM clock of the device."),
    _gauge("gpu_memory_clock_hertz", "Memory clock now."),
    _gauge("gpu_memory_clock_max_hertz", "Highest memory clock of the device."),
    _gauge(
        "gpu_clock_event_active", "1 while a reason holds the clocks down, else 0; supported reasons only.", "reason"
    ),
    _counter("gpu_ecc_corrected_errors_total", "Memory errors corrected since the driver was loaded."),
    _counter("gpu_ecc_uncorrected_errors_total", "Memory errors not correctable since the driver was loaded."),
    _counter("gpu_pcie_replays_total", "PCIe packets sent again."),
    _gauge("gpu_processes", "Processes with a compute context on the device."),
)

GPU_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
