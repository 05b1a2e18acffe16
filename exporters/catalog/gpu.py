"""GPU families, as NVML gives them.

`gpu` is NVML's device index as a string, `uuid` the device's lasting identity; what describes a device goes to
`gpu_info` and is joined. A MIG slice is a device of its own: `gpu` is that of the GPU it is cut from, `uuid` its own,
`mig` its number on that GPU; on a whole GPU `mig` is empty, which Prometheus takes for absent. What a device does not
support is absent, never zero.
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


class GpuReading(StrEnum):
    """What was read: the closed set of `gpu_read_errors_total{reading}` values."""

    CLOCK_EVENTS = "clock_events"
    CLOCKS = "clocks"
    CODEC = "codec"
    ECC = "ecc"
    ENERGY = "energy"
    EVENTS = "events"
    FANS = "fans"
    IDENTITY = "identity"
    MEMORY = "memory"
    MIG = "mig"
    NVLINK = "nvlink"
    PCIE = "pcie"
    PERFORMANCE_STATE = "performance_state"
    POWER = "power"
    PROCESSES = "processes"
    REMAPPED_ROWS = "remapped_rows"
    RETIRED_PAGES = "retired_pages"
    TEMPERATURE = "temperature"
    UTILIZATION = "utilization"
    VIOLATIONS = "violations"


_L = ("gpu", "uuid")
_SLICE = (*_L, "mig")


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, text, (*_L, *labels))


def _slice(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, text, (*_SLICE, *labels))


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, text, (*_L, *labels))


_EXPORTER = (
    Family(
        "gpu_info",
        Kind.INFO,
        "Device facts; always 1. What the driver does not tell is empty.",
        (*_L, "name", "driver_version", "cuda_version", "nvml_version", "compute_capability", "pci_bus_id"),
    ),
    _gauge("gpu_up", "1 when the device answers, 0 when the driver counts it but it is lost or hangs."),
    _gauge("gpu_sample_age_seconds", "Time since the device was last read; its values are withheld when it hangs."),
    _counter("gpu_read_errors_total", "Readings that failed or hung, though the device supports them.", "reading"),
    _counter("gpu_values_dropped_total", "Values that were dropped because they are out of range, as 4294967295 is."),
)
_ACTIVITY = (
    _gauge(
        "gpu_utilization_ratio", "Share of the last sample period in which a kernel ran, 0 to 1; not how busy it was."
    ),
    _gauge(
        "gpu_memory_busy_ratio", "Share of the last sample period in which device memory was read or written, 0 to 1."
    ),
    _gauge("gpu_encoder_utilization_ratio", "Utilization of the video encoder, 0 to 1."),
    _gauge("gpu_decoder_utilization_ratio", "Utilization of the video decoder, 0 to 1."),
    _slice("gpu_memory_total_bytes", "Device memory, reserved part included."),
    _slice("gpu_memory_used_bytes", "Device memory allocated, reserved part excluded."),
    _slice("gpu_memory_free_bytes", "Device memory not allocated."),
    _slice("gpu_memory_reserved_bytes", "Device memory that driver and firmware keep for themselves."),
    _slice("gpu_processes", "Processes that hold a compute or graphics context."),
    _slice("gpu_processes_memory_bytes", "Device memory that processes hold; absent when that of one is not known."),
    _slice("gpu_process_memory_bytes", "Device memory that a process holds; off by default.", "pid", "process"),
)
_CLOCKS_POWER_HEAT = (
    _gauge("gpu_sm_clock_hertz", "SM clock now."),
    _gauge("gpu_sm_clock_max_hertz", "Highest SM clock of the device."),
    _gauge("gpu_memory_clock_hertz", "Memory clock now."),
    _gauge("gpu_memory_clock_max_hertz", "Highest memory clock of the device."),
    _gauge(
        "gpu_clock_event_active", "1 while a reason holds the clocks down, else 0; supported reasons only.", "reason"
    ),
    _gauge("gpu_performance_state", "Performance state: 0 is the highest, 15 the lowest."),
    _counter("gpu_violation_seconds_total", "Time for which a policy held the clocks down.", "policy"),
    _gauge("gpu_power_watts", "Power draw of the board."),
    _gauge("gpu_power_limit_watts", "Power limit that is enforced, the lowest of all limiters."),
    _gauge("gpu_power_default_limit_watts", "Power limit that the device starts with."),
    _counter("gpu_energy_joules_total", "Energy used since the driver was loaded."),
    _gauge("gpu_temperature_celsius", "Temperature of the GPU die."),
    _gauge("gpu_temperature_slowdown_celsius", "Temperature of the die at which its clocks are slowed down."),
    _gauge("gpu_temperature_shutdown_celsius", "Temperature of the die at which the device shuts down."),
    _gauge("gpu_memory_temperature_celsius", "Temperature of the device memory."),
    _gauge("gpu_fan_speed_ratio", "Intended fan speed over the highest; some fans may exceed 1.", "fan"),
)
_LINKS = (
    _gauge("gpu_pcie_receive_bytes_per_second", "Data received over PCIe in a sample of 20 ms."),
    _gauge("gpu_pcie_transmit_bytes_per_second", "Data sent over PCIe in a sample of 20 ms."),
    _gauge("gpu_pcie_link_generation", "PCIe generation that the link runs at now; it falls when idle."),
    _gauge("gpu_pcie_link_generation_max", "Highest PCIe generation of device and slot."),
    _gauge("gpu_pcie_link_width", "PCIe lanes that the link uses now."),
    _gauge("gpu_pcie_link_width_max", "Most PCIe lanes of device and slot."),
    _counter("gpu_pcie_replays_total", "PCIe packets sent again."),
    _gauge("gpu_nvlink_up", "1 when an NVLink is active, 0 when not.", "link"),
    _counter("gpu_nvlink_receive_bytes_total", "Data received over all NVLinks, without protocol."),
    _counter("gpu_nvlink_transmit_bytes_total", "Data sent over all NVLinks, without protocol."),
    _counter("gpu_nvlink_errors_total", "Errors on all NVLinks: replay, recovery, crc_flit, crc_data.", "kind"),
)
_HEALTH = (
    _gauge("gpu_ecc_mode_enabled", "1 when ECC is on, 0 when off."),
    _counter(
        "gpu_ecc_errors_total",
        "Memory errors, corrected or uncorrected: since the driver was loaded (volatile) or ever (aggregate).",
        "error",
        "lifetime",
    ),
    _counter("gpu_remapped_rows_total", "Memory rows remapped because of corrected or uncorrected errors.", "error"),
    _gauge("gpu_row_remap_pending", "1 when a row is to be remapped at the next reset, else 0."),
    _gauge("gpu_row_remap_failure", "1 when remapping a row has failed, else 0: the device is to be replaced."),
    _counter("gpu_retired_pages_total", "Memory pages retired: single_bit, double_bit.", "cause"),
    _gauge("gpu_retired_pages_pending", "1 when pages are to be retired at the next reset, else 0."),
    _counter(
        "gpu_xid_events_total",
        "Xid errors that the driver reported since the exporter started; codes from 1 to 255, else other.",
        "xid",
    ),
    _gauge("gpu_mig_mode_enabled", "1 when the device is in MIG mode, 0 when not."),
    Family(
        "gpu_mig_info",
        Kind.INFO,
        "A MIG slice; always 1. uuid is the slice's own, parent_uuid that of its GPU.",
        (*_SLICE, "parent_uuid", "profile", "gpu_instance_id", "compute_instance_id"),
    ),
)

GPU_FAMILIES: dict[str, Family] = {
    family.name: family for family in (*_EXPORTER, *_ACTIVITY, *_CLOCKS_POWER_HEAT, *_LINKS, *_HEALTH)
}
