"""Signals of GPUs, recorded by the GPU sources (`rules/sources/optiinfra_gpu.yml`, `dcgm.yml`, …).

A whole GPU, also where it is cut into MIG slices: what only slices have is added up or, for activity, that of the
busiest. A source that cannot give a signal leaves it absent; `GIVEN` says which can, and a test holds them to it.
At most 31 series per GPU, the steps of its source and those of `score_signals.py` among them.
"""

from rules.catalog.signal import Signal

GPU_LABELS = ("node", "gpu", "uuid")

_SOURCES = (
    Signal("gpu:gpu_up", "", "1 when the driver reads the GPU, 0 when it counts it but it is lost or hangs."),
    Signal("gpu:gpu:info", "", "The product, and where it is told its compute capability, in labels; always 1."),
    # -- activity
    Signal("gpu:gpu_memory_used:ratio", "ratio", "Used over total device memory."),
    Signal("gpu:gpu_memory_free_bytes", "bytes", "Free device memory."),
    Signal("gpu:gpu_utilization:ratio", "ratio", "Share of time in which a kernel ran; never judged alone."),
    Signal("gpu:gpu_sm_active:ratio", "ratio", "Share of cycles in which an SM had a warp, mean of all SMs."),
    Signal("gpu:gpu_tensor_active:ratio", "ratio", "Share of cycles in which the tensor pipes were active."),
    Signal("gpu:gpu_dram_active:ratio", "ratio", "Share of cycles in which device memory moved data."),
    # -- clocks, power, heat
    Signal("gpu:gpu_sm_clock:ratio", "ratio", "SM clock over the highest of the device."),
    Signal("gpu:gpu_power_watts", "watts", "Power draw."),
    Signal("gpu:gpu_power_limit_watts", "watts", "Power limit that is enforced."),
    Signal("gpu:gpu_power_default_limit_watts", "watts", "Power limit that the device starts with."),
    Signal("gpu:gpu_energy_joules:rate5m", "watts", "Energy per second: the mean power draw."),
    Signal("gpu:gpu_temperature_celsius", "celsius", "Core temperature."),
    Signal("gpu:gpu_temperature_slowdown_celsius", "celsius", "Core temperature at which clocks are slowed down."),
    Signal("gpu:gpu_memory_temperature_celsius", "celsius", "Memory temperature."),
    Signal("gpu:gpu_throttled_power:ratio_rate5m", "ratio", "Share of time in which power held the clocks down."),
    Signal("gpu:gpu_throttled_thermal:ratio_rate5m", "ratio", "Share of time in which heat held the clocks down."),
    Signal("gpu:gpu_hw_slowdown:ratio_avg5m", "ratio", "Share of time with hardware slowdown: clocks halved or worse."),
    Signal("gpu:gpu_power_brake:ratio_avg5m", "ratio", "Share of time with the external power brake asserted."),
    # -- links
    Signal("gpu:gpu_pcie_busy:ratio", "ratio", "Busier PCIe direction over what the link can carry one way."),
    Signal("gpu:gpu_pcie_link_width:ratio", "ratio", "PCIe lanes in use over those that there are."),
    Signal("gpu:gpu_pcie_replays:rate5m", "replays", "PCIe packets sent again per second."),
    Signal("gpu:gpu_nvlink_bytes:rate5m", "bytes", "NVLink traffic per second, both directions."),
    Signal("gpu:gpu_nvlink_errors:increase1h", "errors", "NVLink CRC errors, replays and recoveries in an hour."),
    # -- faults
    Signal(
        "gpu:gpu_xid_faults:increase10m",
        "events",
        "Xid events in 10m but those that an application causes (13, 31, 43, 45, 68, 109) and 63, which the next reset "
        "repairs: gpu_row_remap_pending tells it.",
    ),
    Signal("gpu:gpu_ecc_uncorrected_errors:increase1h", "errors", "Memory errors not correctable in an hour."),
    Signal("gpu:gpu_row_remap_pending", "", "1 when memory is to be repaired at the next reset (rows or pages)."),
    Signal("gpu:gpu_row_remap_failure", "", "1 when a memory row could not be remapped: replace the device."),
)

_PROFILING = frozenset({"gpu:gpu_sm_active:ratio", "gpu:gpu_tensor_active:ratio", "gpu:gpu_dram_active:ratio"})
_ALL = frozenset(signal.name for signal in _SOURCES)

# Signals that a source can give, by the file that records them. DCGM's profiling counters need a data-centre GPU;
# nvidia_gpu_exporter gives energy and PCIe traffic only with its NVML backend.
GIVEN: dict[str, frozenset[str]] = {
    "optiinfra_gpu": _ALL - _PROFILING,
    "dcgm": _ALL - {"gpu:gpu_up"},
    "nvidia_gpu_exporter": _ALL
    - _PROFILING
    - {
        "gpu:gpu_up",
        "gpu:gpu_temperature_slowdown_celsius",
        "gpu:gpu_pcie_replays:rate5m",
        "gpu:gpu_nvlink_bytes:rate5m",
        "gpu:gpu_nvlink_errors:increase1h",
        "gpu:gpu_xid_faults:increase10m",
    },
}

GPU_SIGNALS = (
    *_SOURCES,
    Signal("gpu:bottleneck:evidence", "", "Condition of a bottleneck of a GPU; label `bottleneck`."),
)
