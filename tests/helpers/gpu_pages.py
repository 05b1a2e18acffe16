"""Pages of dcgm-exporter and nvidia_gpu_exporter that say the same as an NVML scenario.

nvidia_gpu_exporter's are a captured page with the scenario's figures in it. dcgm-exporter's are SYNTHETIC: the counters
that `optiinfra export dcgm` asks for, in DCGM's units, with the labels and rounding of dcgm-exporter.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from rules.catalog.dcgm import DCGM_COUNTERS
from tests.exporters.nvml_stub.scenarios import CAPTURES, FIGURES, Scenario

# What no NVML call says: DCGM's profiling counters.
PROFILING = {"PROF_SM_ACTIVE": 0.81, "PROF_PIPE_TENSOR_ACTIVE": 0.34, "PROF_DRAM_ACTIVE": 0.62}
_MIB = 1 << 20


class Device:
    """A device of a scenario at a time (Unix seconds)."""

    def __init__(self, scenario: Scenario, index: int, now: float) -> None:
        self.keys = scenario[index]
        self._scenario, self._index, self._now = scenario, index, now

    def __call__(self, key: str, *, ago: float = 0) -> float:
        """A figure. Raises KeyError where it is not supported."""
        return self._scenario.number(self._index, key, self._now - ago)

    def nvlink_errors(self, kind: str) -> float:
        """Of all links, none where nothing is said. Raises KeyError without NVLink."""
        if "nvlinks" not in self.keys:
            raise KeyError(kind)
        pattern = re.compile(rf"nvlink_errors\.\d+\.{kind}")
        return sum(float(value) for key, value in self.keys.items() if pattern.fullmatch(key))

    def nvlink_megabytes_per_second(self) -> int:
        """As DCGM computes it: KiB of an interval over its seconds and 1000."""
        kib = sum(self(f"nvlink_kib.{way}") - self(f"nvlink_kib.{way}", ago=1) for way in ("tx", "rx"))
        return int(kib / 1000)

    @property
    def xids(self) -> list[int]:
        """Codes of the events so far."""
        return [int(event.partition(":")[2]) for event in self.keys.get("events", "").split(",") if event]


# Field without `DCGM_FI_` -> its value in DCGM's unit.
_FIELDS: Mapping[str, Callable[[Device], float]] = {
    "DEV_GPU_UTIL": lambda gpu: gpu("utilization_gpu_percent"),
    "DEV_FB_FREE": lambda gpu: gpu("memory_free_bytes") // _MIB,
    "DEV_FB_USED": lambda gpu: gpu("memory_used_bytes") // _MIB,
    "DEV_FB_RESERVED": lambda gpu: gpu("memory_reserved_bytes") // _MIB,
    "DEV_SM_CLOCK": lambda gpu: gpu("clock_mhz.sm"),
    "DEV_MAX_SM_CLOCK": lambda gpu: gpu("clock_max_mhz.sm"),
    "DEV_CLOCKS_EVENT_REASONS": lambda gpu: gpu("clock_reasons"),
    "DEV_POWER_VIOLATION": lambda gpu: gpu("violation_ns.power"),
    "DEV_THERMAL_VIOLATION": lambda gpu: gpu("violation_ns.thermal"),
    "DEV_POWER_USAGE": lambda gpu: gpu("power_mw") / 1000,
    "DEV_ENFORCED_POWER_LIMIT": lambda gpu: gpu("power_limit_mw") / 1000,
    "DEV_POWER_MGMT_LIMIT_DEF": lambda gpu: gpu("power_default_limit_mw") / 1000,
    "DEV_TOTAL_ENERGY_CONSUMPTION": lambda gpu: gpu("energy_mj"),
    "DEV_GPU_TEMP": lambda gpu: gpu("temperature_celsius"),
    "DEV_SLOWDOWN_TEMP": lambda gpu: gpu("temperature_limit_celsius.slowdown"),
    "DEV_MEMORY_TEMP": lambda gpu: gpu("temperature_memory_celsius"),
    "PROF_PCIE_TX_BYTES": lambda gpu: gpu("pcie_kb_per_second.tx") * 1024,
    "PROF_PCIE_RX_BYTES": lambda gpu: gpu("pcie_kb_per_second.rx") * 1024,
    "DEV_PCIE_LINK_GEN": lambda gpu: gpu("pcie_generation"),
    "DEV_PCIE_LINK_WIDTH": lambda gpu: gpu("pcie_width"),
    "DEV_PCIE_MAX_LINK_WIDTH": lambda gpu: gpu("pcie_width_max"),
    "DEV_PCIE_REPLAY_COUNTER": lambda gpu: gpu("pcie_replays"),
    "DEV_NVLINK_BANDWIDTH_TOTAL": lambda gpu: gpu.nvlink_megabytes_per_second(),
    "DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL": lambda gpu: gpu.nvlink_errors("crc_flit"),
    "DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL": lambda gpu: gpu.nvlink_errors("crc_data"),
    "DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL": lambda gpu: gpu.nvlink_errors("replay"),
    "DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL": lambda gpu: gpu.nvlink_errors("recovery"),
    "DEV_ECC_DBE_VOL_TOTAL": lambda gpu: gpu("ecc_errors.uncorrected.volatile"),
    "DEV_ROW_REMAP_PENDING": lambda gpu: gpu("remapped_rows.pending"),
    "DEV_ROW_REMAP_FAILURE": lambda gpu: gpu("remapped_rows.failure"),
}


def dcgm_page(scenario: Scenario, now: float, *, uuid: Callable[[str], str], renamed: bool) -> str:
    """A page with old names and `Hostname`, or with those of DCGM 4.6 and `hostname`.

    The renamed one has no counted Xids, only the last code, as with dcgm-exporter's own counters file.
    """
    newer = {counter.field: (*counter.also, counter.field)[0] for counter in DCGM_COUNTERS}
    newer["DCGM_FI_DEV_CLOCKS_EVENT_REASONS"] = "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"  # its other name is an older one
    host = "hostname" if renamed else "Hostname"
    lines = []
    for index in range(scenario.devices):
        gpu = Device(scenario, index, now)
        labels = f'gpu="{index}",UUID="{uuid(gpu.keys["uuid"])}",pci_bus_id="{gpu.keys["pci_bus_id"]}",'
        labels += f'device="nvidia{index}",modelName="{gpu.keys["name"]}",{host}="dcgm-{int(renamed)}"'
        values = {**PROFILING, **dict(_supported(gpu))}
        for name, value in values.items():
            field = f"DCGM_FI_{name}"
            lines.append(f"{newer[field] if renamed else field}{{{labels}}} {value}")
        last = gpu.xids[-1] if gpu.xids else 0
        field = "DCGM_FI_DEV_XID_ERROR" if renamed else "DCGM_FI_DEV_XID_ERRORS"
        lines.append(f'{field}{{{labels},err_code="{last}",err_msg="-"}} {last}')
        if not renamed:
            counted = {f',xid="{xid}"': count for xid, count in Counter(gpu.xids).items()} or {"": 0}
            lines += [f"DCGM_EXP_XID_ERRORS_COUNT{{{labels}{xid}}} {count}" for xid, count in counted.items()]
    return "\n".join(lines) + "\n"


def _supported(gpu: Device) -> Iterator[tuple[str, float]]:
    """What the device gives; dcgm-exporter leaves the others out."""
    for name, value in _FIELDS.items():
        with contextlib.suppress(KeyError):
            yield name, value(gpu)


# NVML's bits under nvidia-smi's names.
_REASONS = {"sw_power_cap": 0x4, "hw_slowdown": 0x8, "sw_thermal_slowdown": 0x20, "hw_thermal_slowdown": 0x40}
_REASONS |= {"hw_power_brake_slowdown": 0x80}


def _smi_values(gpu: Device) -> Mapping[str, float]:
    """Metric without `nvidia_smi_` -> value, for what a scenario sets."""
    values = {name: gpu(key) / factor for key, (name, factor) in FIGURES.items() if key in gpu.keys}
    values |= {f"clocks_event_reasons_{name}": bool(int(gpu("clock_reasons")) & bit) for name, bit in _REASONS.items()}
    # NVML has one time for both thermal reasons.
    thermal = "clocks_event_reasons_counters_{}_thermal_slowdown_seconds"
    return values | {thermal.format("sw"): gpu("violation_ns.thermal") / 1e9, thermal.format("hw"): 0}


def smi_page(captures: Sequence[str], scenario: Scenario, now: float, *, uuid: Callable[[str], str]) -> str:
    """Each device's captured page, its figures the scenario's; with the metrics of the NVML backend."""
    lines = []
    for index, capture in enumerate(captures):
        gpu = Device(scenario, index, now)
        mine, values = uuid(gpu.keys["uuid"]).removeprefix("GPU-"), _smi_values(gpu)
        for line in (CAPTURES / f"{capture}.prom").read_text(encoding="utf-8").splitlines():
            if not line.startswith("nvidia_smi_") or "uuid=" not in line:
                continue
            name = line[: line.index("{")].removeprefix("nvidia_smi_")
            found = re.sub(r'uuid="[^"]*"', f'uuid="{mine}"', line).replace('index="0"', f'index="{index}"')
            lines.append(f"{found.rpartition(' ')[0]} {float(values[name])!r}" if name in values else found)
        lines.append(f'nvidia_smi_energy_joules_total{{uuid="{mine}"}} {gpu("energy_mj") / 1000}')
        for way in ("tx", "rx"):
            rate = gpu(f"pcie_kb_per_second.{way}") * 1024
            lines.append(f'nvidia_smi_pcie_throughput_{way}_bytes_per_second{{uuid="{mine}"}} {rate}')
    return "\n".join(lines) + "\n"
