"""Pages of dcgm-exporter and nvidia_gpu_exporter that say the same as an NVML scenario.

nvidia_gpu_exporter's are a captured page with the scenario's figures in it. dcgm-exporter's are SYNTHETIC: the counters
that `optiinfra export dcgm` asks for, in DCGM's units, with the labels and rounding of dcgm-exporter.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from rules.catalog.dcgm import DCGM_COUNTERS
from tests.exporters.nvml_stub.scenarios import CAPTURES, FIGURES, Scenario

# What no NVML call says: DCGM's profiling counters.
PROFILING = {"PROF_SM_ACTIVE": 0.81, "PROF_PIPE_TENSOR_ACTIVE": 0.34, "PROF_DRAM_ACTIVE": 0.62}
_MIB = 1 << 20

Figure = Callable[[str], float]


def _of(scenario: Scenario, index: int, now: float) -> Figure:
    """Gives a figure of a device; raises KeyError where it is not supported."""
    return lambda key: scenario.number(index, key, now)


def _nvlink_errors(scenario: Scenario, index: int, kind: str) -> float:
    pattern = re.compile(rf"nvlink_errors\.\d+\.{kind}")
    return sum(float(value) for key, value in scenario[index].items() if pattern.fullmatch(key))


def _nvlink_megabytes_per_second(scenario: Scenario, index: int, now: float) -> float:
    """As DCGM computes it: KiB of an interval over its seconds and 1000."""
    figure, before = _of(scenario, index, now), _of(scenario, index, now - 1)
    return sum(figure(f"nvlink_kib.{way}") - before(f"nvlink_kib.{way}") for way in ("tx", "rx")) / 1000


def _xids(scenario: Scenario, index: int) -> list[int]:
    return [int(event.partition(":")[2]) for event in scenario[index].get("events", "").split(",") if event]


def _dcgm_fields(scenario: Scenario, index: int, now: float) -> Iterator[tuple[str, float]]:
    """Value by field, without `DCGM_FI_`; what dcgm-exporter prints as an integer is one."""
    figure = _of(scenario, index, now)
    yield "DEV_GPU_UTIL", figure("utilization_gpu_percent")
    yield "DEV_MEM_COPY_UTIL", figure("utilization_memory_percent")
    for part in ("free", "used", "reserved"):
        yield f"DEV_FB_{part.upper()}", figure(f"memory_{part}_bytes") // _MIB
    yield "DEV_SM_CLOCK", figure("clock_mhz.sm")
    yield "DEV_MAX_SM_CLOCK", figure("clock_max_mhz.sm")
    yield "DEV_CLOCKS_EVENT_REASONS", figure("clock_reasons")
    yield "DEV_POWER_VIOLATION", figure("violation_ns.power")
    yield "DEV_THERMAL_VIOLATION", figure("violation_ns.thermal")
    yield "DEV_POWER_USAGE", figure("power_mw") / 1000
    yield "DEV_ENFORCED_POWER_LIMIT", figure("power_limit_mw") / 1000
    yield "DEV_POWER_MGMT_LIMIT_DEF", figure("power_default_limit_mw") / 1000
    yield "DEV_TOTAL_ENERGY_CONSUMPTION", figure("energy_mj")
    yield "DEV_GPU_TEMP", figure("temperature_celsius")
    yield "DEV_SLOWDOWN_TEMP", figure("temperature_limit_celsius.slowdown")
    yield "DEV_MEMORY_TEMP", figure("temperature_memory_celsius")
    yield "PROF_PCIE_TX_BYTES", figure("pcie_kb_per_second.tx") * 1024
    yield "PROF_PCIE_RX_BYTES", figure("pcie_kb_per_second.rx") * 1024
    yield "DEV_PCIE_LINK_GEN", figure("pcie_generation")
    yield "DEV_PCIE_LINK_WIDTH", figure("pcie_width")
    yield "DEV_PCIE_MAX_LINK_WIDTH", figure("pcie_width_max")
    yield "DEV_PCIE_REPLAY_COUNTER", figure("pcie_replays")
    yield "DEV_NVLINK_BANDWIDTH_TOTAL", int(_nvlink_megabytes_per_second(scenario, index, now))
    for kind in ("crc_flit", "crc_data", "replay", "recovery"):
        yield f"DEV_NVLINK_{kind.upper()}_ERROR_COUNT_TOTAL", _nvlink_errors(scenario, index, kind)
    yield "DEV_ECC_DBE_VOL_TOTAL", figure("ecc_errors.uncorrected.volatile")
    yield "DEV_ROW_REMAP_PENDING", figure("remapped_rows.pending")
    yield "DEV_ROW_REMAP_FAILURE", figure("remapped_rows.failure")
    yield from PROFILING.items()


def dcgm_page(scenario: Scenario, now: float, *, uuid: Callable[[str], str], renamed: bool) -> str:
    """A page with old names and `Hostname`, or with those of DCGM 4.6 and `hostname`.

    The renamed one has no counted Xids, only the last code, as with dcgm-exporter's own counters file.
    """
    newer = {counter.field: (*counter.also, counter.field)[0] for counter in DCGM_COUNTERS}
    newer["DCGM_FI_DEV_CLOCKS_EVENT_REASONS"] = "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"  # its other name is an older one
    host = "hostname" if renamed else "Hostname"
    lines = []
    for index in range(scenario.devices):
        device = scenario[index]
        labels = f'gpu="{index}",UUID="{uuid(device["uuid"])}",pci_bus_id="{device["pci_bus_id"]}",'
        labels += f'device="nvidia{index}",modelName="{device["name"]}",{host}="dcgm-{int(renamed)}"'
        for name, value in _dcgm_fields(scenario, index, now):
            field = f"DCGM_FI_{name}"
            lines.append(f"{newer[field] if renamed else field}{{{labels}}} {value}")
        xids = _xids(scenario, index)
        last = xids[-1] if xids else 0
        field = "DCGM_FI_DEV_XID_ERROR" if renamed else "DCGM_FI_DEV_XID_ERRORS"
        lines.append(f'{field}{{{labels},err_code="{last}",err_msg="-"}} {last}')
        if not renamed:
            counted = {f',xid="{xid}"': count for xid, count in Counter(xids).items()} or {"": 0}
            lines += [f"DCGM_EXP_XID_ERRORS_COUNT{{{labels}{xid}}} {count}" for xid, count in counted.items()]
    return "\n".join(lines) + "\n"


# NVML's bits under nvidia-smi's names.
_REASONS = {"sw_power_cap": 0x4, "hw_slowdown": 0x8, "sw_thermal_slowdown": 0x20, "hw_thermal_slowdown": 0x40}
_REASONS |= {"hw_power_brake_slowdown": 0x80}


def _smi_values(scenario: Scenario, index: int, now: float) -> Mapping[str, float]:
    """Metric without `nvidia_smi_` -> value, for what a scenario sets."""
    figure = _of(scenario, index, now)
    values = {name: figure(key) / factor for key, (name, factor) in FIGURES.items() if key in scenario[index]}
    values |= {
        f"clocks_event_reasons_{name}": bool(int(figure("clock_reasons")) & bit) for name, bit in _REASONS.items()
    }
    # NVML has one time for both thermal reasons.
    thermal = "clocks_event_reasons_counters_{}_thermal_slowdown_seconds"
    return values | {thermal.format("sw"): figure("violation_ns.thermal") / 1e9, thermal.format("hw"): 0}


def smi_page(capture: str, scenario: Scenario, now: float, *, uuid: Callable[[str], str]) -> str:
    """The captured page once for each device, its figures the scenario's; with the two metrics of the NVML backend."""
    text = (CAPTURES / f"{capture}.prom").read_text(encoding="utf-8")
    captured = [line for line in text.splitlines() if line.startswith("nvidia_smi_") and "uuid=" in line]
    lines = []
    for index in range(scenario.devices):
        mine = uuid(scenario[index]["uuid"]).removeprefix("GPU-")
        values = _smi_values(scenario, index, now)
        for line in captured:
            name = line[: line.index("{")].removeprefix("nvidia_smi_")
            found = re.sub(r'uuid="[^"]*"', f'uuid="{mine}"', line).replace('index="0"', f'index="{index}"')
            lines.append(f"{found.rpartition(' ')[0]} {float(values[name])!r}" if name in values else found)
        figure = _of(scenario, index, now)
        lines.append(f'nvidia_smi_energy_joules_total{{uuid="{mine}"}} {figure("energy_mj") / 1000}')
        for way in ("tx", "rx"):
            rate = figure(f"pcie_kb_per_second.{way}") * 1024
            lines.append(f'nvidia_smi_pcie_throughput_{way}_bytes_per_second{{uuid="{mine}"}} {rate}')
    return "\n".join(lines) + "\n"
