"""Fields of DCGM that `rules/sources/dcgm.yml` reads, in the format of dcgm-exporter's counters file.

Names, units and what a field means: NVIDIA/DCGM `dcgmlib/dcgm_fields.h` and dcgm-exporter `etc/default-counters.csv`.
The name of a metric is the text in the counters file; the exporter's own files use the old names, and so does ours.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counter:
    """One line of the file; `also` are other names of the field, which the rules read as well."""

    field: str
    kind: str
    help: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Counters under a heading."""

    title: str
    counters: tuple[Counter, ...]


def _gauge(field: str, text: str, *also: str) -> Counter:
    return Counter(f"DCGM_FI_{field}", "gauge", text, tuple(f"DCGM_FI_{name}" for name in also))


def _counter(field: str, text: str, *also: str) -> Counter:
    return Counter(f"DCGM_FI_{field}", "counter", text, tuple(f"DCGM_FI_{name}" for name in also))


DCGM_SECTIONS = (
    Section(
        "Activity",
        (
            _gauge("DEV_GPU_UTIL", "GPU utilization (in %).", "DEV_GPU_UTIL_RATIO"),
            _gauge("PROF_SM_ACTIVE", "Ratio of cycles an SM has at least 1 warp assigned.", "PROF_SM_UTIL_RATIO"),
            _gauge("PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles the tensor pipes are active.", "PROF_TENSOR_UTIL_RATIO"),
            _gauge("PROF_DRAM_ACTIVE", "Ratio of cycles device memory moves data.", "PROF_DRAM_UTIL_RATIO"),
        ),
    ),
    Section(
        "Memory",
        (
            _gauge("DEV_FB_FREE", "Framebuffer memory free (in MiB)."),
            _gauge("DEV_FB_USED", "Framebuffer memory used (in MiB)."),
            _gauge("DEV_FB_RESERVED", "Framebuffer memory reserved (in MiB)."),
        ),
    ),
    Section(
        "Clocks",
        (
            _gauge("DEV_SM_CLOCK", "SM clock frequency (in MHz)."),
            _gauge("DEV_MAX_SM_CLOCK", "Highest SM clock frequency (in MHz)."),
            _gauge(
                "DEV_CLOCKS_EVENT_REASONS",
                "Why the clocks are held down (bitmap of NVML's clocks event reasons).",
                "DEV_CLOCK_THROTTLE_REASONS",
            ),
            _counter("DEV_POWER_VIOLATION", "Throttling duration due to power constraints (in ns)."),
            _counter("DEV_THERMAL_VIOLATION", "Throttling duration due to thermal constraints (in ns)."),
        ),
    ),
    Section(
        "Power",
        (
            _gauge("DEV_POWER_USAGE", "Power draw (in W).", "DEV_BOARD_POWER_WATTS"),
            _gauge(
                "DEV_ENFORCED_POWER_LIMIT",
                "Power limit that is enforced (in W).",
                "DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS",
            ),
            _gauge("DEV_POWER_MGMT_LIMIT_DEF", "Default power limit (in W).", "DEV_BOARD_POWER_LIMIT_DEFAULT_WATTS"),
            _counter("DEV_TOTAL_ENERGY_CONSUMPTION", "Total energy consumption since boot (in mJ)."),
        ),
    ),
    Section(
        "Temperature",
        (
            _gauge("DEV_GPU_TEMP", "GPU temperature (in C).", "DEV_GPU_TEMP_CELSIUS"),
            _gauge("DEV_SLOWDOWN_TEMP", "GPU temperature of slowdown (in C).", "DEV_GPU_TEMP_SLOWDOWN_CELSIUS"),
            _gauge("DEV_MEMORY_TEMP", "Memory temperature (in C).", "DEV_MEMORY_TEMP_CELSIUS"),
        ),
    ),
    Section(
        "PCIe",
        (
            _gauge("PROF_PCIE_TX_BYTES", "Data sent over PCIe (in bytes per second)."),
            _gauge("PROF_PCIE_RX_BYTES", "Data received over PCIe (in bytes per second)."),
            _gauge("DEV_PCIE_LINK_GEN", "PCIe generation of the link now."),
            _gauge("DEV_PCIE_LINK_WIDTH", "PCIe lanes of the link now."),
            _gauge("DEV_PCIE_MAX_LINK_WIDTH", "Most PCIe lanes of the link."),
            _counter("DEV_PCIE_REPLAY_COUNTER", "Total number of PCIe retries.", "DEV_PCIE_REPLAY_TOTAL"),
        ),
    ),
    Section(
        "NVLink",
        (
            _gauge("PROF_NVLINK_TX_BYTES", "Data sent over NVLink (in bytes per second)."),
            _gauge("PROF_NVLINK_RX_BYTES", "Data received over NVLink (in bytes per second)."),
            _gauge(
                "DEV_NVLINK_BANDWIDTH_TOTAL", "NVLink traffic of all lanes (in MB/s).", "DEV_NVLINK_THROUGHPUT_TOTAL"
            ),
            *(
                _counter(
                    f"DEV_NVLINK_{kind}_ERROR_COUNT_TOTAL",
                    f"Total number of NVLink {text}.",
                    f"DEV_NVLINK_{kind}_ERROR_TOTAL",
                )
                for kind, text in (
                    ("CRC_FLIT", "flow-control CRC errors"),
                    ("CRC_DATA", "data CRC errors"),
                    ("REPLAY", "retries"),
                    ("RECOVERY", "recovery errors"),
                )
            ),
        ),
    ),
    Section(
        "Faults",
        (
            _gauge("DEV_XID_ERRORS", "Value of the last XID error encountered.", "DEV_XID_ERROR"),
            Counter("DCGM_EXP_XID_ERRORS_COUNT", "gauge", "XID errors within the exporter's time window."),
            _counter("DEV_ECC_DBE_VOL_TOTAL", "Total number of double-bit volatile ECC errors."),
            _gauge("DEV_ROW_REMAP_PENDING", "Whether rows wait for remapping at the next reset."),
            _gauge("DEV_ROW_REMAP_FAILURE", "Whether remapping of rows has failed.", "DEV_ROW_REMAP_FAILED"),
            _gauge("DEV_RETIRED_PENDING", "Pages pending retirement.", "DEV_PAGE_RETIRED_PENDING"),
        ),
    ),
    Section("Labels", (Counter("DCGM_FI_DRIVER_VERSION", "label", "Driver Version"),)),
)

DCGM_COUNTERS = tuple(counter for section in DCGM_SECTIONS for counter in section.counters)
