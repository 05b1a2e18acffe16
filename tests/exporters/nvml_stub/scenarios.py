"""What the stub says: captured device states as data files that the C library reads.

A scenario is made from a page of nvidia_gpu_exporter (tests/data/captures/nvidia_gpu_exporter) and, for what nvidia-smi
does not print (energy, PCIe and NVLink traffic, temperature limits, MIG slices), from the SYNTHETIC figures below.

    python -m tests.exporters.nvml_stub.scenarios h100      prints one
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

CAPTURES = Path(__file__).parents[2] / "data" / "captures" / "nvidia_gpu_exporter"
UUID = "GPU-00000000-0000-0000-0000-{index:012d}"
SLICE_UUID = "MIG-00000000-0000-0000-0000-{index:012d}"

Values = Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Sections of `key=value`: `system`, `*` for every device, `0` for device 0, `0/1` for slice 1 of device 0."""

    sections: Mapping[str, Mapping[str, str]]

    def changed(self, section: str | int, values: Values) -> "Scenario":
        """The same with other values in one section; a value that is None takes the key away (then not supported)."""
        now = {**self.sections.get(str(section), {})}
        for key, value in values.items():
            if value is None:
                now.pop(key, None)
            else:
                now[key] = str(value)
        return replace(self, sections={**self.sections, str(section): now})

    def number(self, section: str | int, key: str, now: float) -> float:
        """What the library says at this time (Unix seconds): `5+3/s` is 5 at `epoch` and 3 more every second."""
        start, _, rate = self[section][key].partition("+")
        passed = now - float(self["system"]["epoch"]) if rate else 0
        return int(start, 0) + float(rate.removesuffix("/s") or 0) * passed

    def text(self) -> str:
        """The file that the library reads."""
        return "".join(
            f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in section.items())
            for name, section in self.sections.items()
        )

    def __getitem__(self, section: str | int) -> Mapping[str, str]:
        return self.sections[str(section)]

    @property
    def devices(self) -> int:
        """How many devices the driver counts."""
        return int(self["system"]["devices"])


class Capture:
    """One page: values by metric name without `nvidia_smi_`, and the labels of info series."""

    def __init__(self, name: str) -> None:
        text = (CAPTURES / f"{name}.prom").read_text(encoding="utf-8")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        mine = [s for s in samples if s.name.startswith("nvidia_smi_")]
        self.values = {s.name.removeprefix("nvidia_smi_"): s.value for s in mine if s.labels.keys() <= {"uuid"}}
        (self.info,) = (sample.labels for sample in samples if sample.name == "nvidia_smi_gpu_info")
        self.processes = {
            int(s.labels["pid"]): (s.labels["process_name"], int(s.value))
            for s in samples
            if s.name == "nvidia_smi_compute_app_used_memory_bytes"
        }


# Key of a device -> metric of the page, and how many of NVML's units its unit is.
FIGURES: Mapping[str, tuple[str, float]] = {
    "utilization_gpu_percent": ("utilization_gpu_ratio", 100),
    "utilization_memory_percent": ("utilization_memory_ratio", 100),
    "utilization_encoder_percent": ("utilization_encoder_ratio", 100),
    "utilization_decoder_percent": ("utilization_decoder_ratio", 100),
    "memory_total_bytes": ("memory_total_bytes", 1),
    "memory_reserved_bytes": ("memory_reserved_bytes", 1),
    "memory_used_bytes": ("memory_used_bytes", 1),
    "memory_free_bytes": ("memory_free_bytes", 1),
    "clock_mhz.graphics": ("clocks_current_graphics_clock_hz", 1e-6),
    "clock_mhz.sm": ("clocks_current_sm_clock_hz", 1e-6),
    "clock_mhz.memory": ("clocks_current_memory_clock_hz", 1e-6),
    "clock_mhz.video": ("clocks_current_video_clock_hz", 1e-6),
    "clock_max_mhz.graphics": ("clocks_max_graphics_clock_hz", 1e-6),
    "clock_max_mhz.sm": ("clocks_max_sm_clock_hz", 1e-6),
    "clock_max_mhz.memory": ("clocks_max_memory_clock_hz", 1e-6),
    "clock_reasons_supported": ("clocks_event_reasons_supported", 1),
    "clock_reasons": ("clocks_event_reasons_active", 1),
    "violation_ns.power": ("clocks_event_reasons_counters_sw_power_cap_seconds", 1e9),
    "violation_ns.sync_boost": ("clocks_event_reasons_counters_sync_boost_seconds", 1e9),
    "power_mw": ("power_draw_watts", 1e3),
    "power_limit_mw": ("enforced_power_limit_watts", 1e3),
    "power_default_limit_mw": ("power_default_limit_watts", 1e3),
    "temperature_celsius": ("temperature_gpu", 1),
    "temperature_margin_celsius": ("temperature_gpu_tlimit", 1),
    "temperature_memory_celsius": ("temperature_memory", 1),
    "pcie_generation": ("pcie_link_gen_current", 1),
    "pcie_generation_max": ("pcie_link_gen_max", 1),
    "pcie_width": ("pcie_link_width_current", 1),
    "pcie_width_max": ("pcie_link_width_max", 1),
    "ecc_mode": ("ecc_mode_current", 1),
    "ecc_mode_pending": ("ecc_mode_pending", 1),
    "ecc_errors.corrected.volatile": ("ecc_errors_corrected_volatile_total", 1),
    "ecc_errors.uncorrected.volatile": ("ecc_errors_uncorrected_volatile_total", 1),
    "ecc_errors.corrected.aggregate": ("ecc_errors_corrected_aggregate_total", 1),
    "ecc_errors.uncorrected.aggregate": ("ecc_errors_uncorrected_aggregate_total", 1),
    "remapped_rows.correctable": ("remapped_rows_correctable", 1),
    "remapped_rows.uncorrectable": ("remapped_rows_uncorrectable", 1),
    "remapped_rows.pending": ("remapped_rows_pending", 1),
    "remapped_rows.failure": ("remapped_rows_failure", 1),
    "performance_state": ("pstate", 1),
    "persistence_mode": ("persistence_mode", 1),
    "mig_mode": ("mig_mode_current", 1),
    "mig_mode_pending": ("mig_mode_pending", 1),
    "pci_device_id": ("pci_device_id", 1),
    "pci_subsystem_id": ("pci_sub_device_id", 1),
}

# SYNTHETIC from here on.
TRAFFIC = {"energy_mj": "123456789012", "pcie_kb_per_second.tx": "1500000", "pcie_kb_per_second.rx": "250000"}
NVLINK = {"nvlinks": "18", "nvlink_kib.tx": "36000000", "nvlink_kib.rx": "18000000"}
FAULTS = {"pcie_replays": "0", "violation_ns.board_limit": "0", "violation_ns.low_utilization": "0"}
FAULTS |= {"violation_ns.reliability": "0", "event_types": "0x1b"}  # ECC, Xid, clock, not P-state


def _device(capture: Capture, index: int, *, nvlink: bool) -> dict[str, str]:
    """One device's section; what the page does not have is not supported."""
    values = capture.values
    found = {key: str(round(values[name] * factor)) for key, (name, factor) in FIGURES.items() if name in values}
    thermal = sum(values[f"clocks_event_reasons_counters_{kind}_thermal_slowdown_seconds"] for kind in ("sw", "hw"))
    limit = int(values["temperature_gpu"] + values["temperature_gpu_tlimit"])
    domain, bus, device = capture.info["pci_bus_id"].split(":")
    return {
        "uuid": UUID.format(index=index),
        "name": capture.info["name"],
        "serial": capture.info["serial"],
        "minor": str(index),
        "pci_bus_id": f"{domain}:{int(bus, 16) + index:02X}:{device}",
        "compute_capability": capture.info["compute_cap"],
        **found,
        "violation_ns.thermal": str(round(thermal * 1e9)),
        # A data-centre board slows down 2 degrees above the limit that nvidia-smi counts from, and stops at 8.
        "temperature_limit_celsius.slowdown": str(limit + 2),
        "temperature_limit_celsius.shutdown": str(limit + 8),
        "temperature_limit_celsius.gpu_max": str(limit),
        "temperature_tlimit_celsius.slowdown": "-2",
        "temperature_tlimit_celsius.shutdown": "-8",
        "temperature_tlimit_celsius.gpu_max": "0",
        "processes.compute": ",".join(f"{pid}:{used}" for pid, (_, used) in capture.processes.items()),
        "processes.graphics": "",
        "processes.mps": "",
        **TRAFFIC,
        **(NVLINK if nvlink else {}),
        **FAULTS,
    }


def of_capture(name: str, *, devices: int = 1, nvlink: bool = True) -> Scenario:
    """The captured device, `devices` times; those after the first have other identities, power and temperature."""
    capture = Capture(name)
    cuda = capture.info["cuda_version"].split(".")
    system = {
        "driver_version": capture.info["driver_version"],
        "nvml_version": f"{cuda[0]}.{capture.info['driver_version']}",
        "cuda_version": str(int(cuda[0]) * 1000 + int(cuda[1]) * 10),
        "devices": str(devices),
        **{f"process_name.{pid}": process for pid, (process, _) in capture.processes.items()},
    }
    sections = {str(index): _device(capture, index, nvlink=nvlink) for index in range(devices)}
    for index, section in enumerate(sections.values()):
        section["power_mw"] = str(int(section["power_mw"]) - 1000 * index)
        section["temperature_celsius"] = str(int(section["temperature_celsius"]) - index)
    return Scenario({"system": system, **sections})


def beside(*nodes: Scenario) -> Scenario:
    """All their devices in one node, with the driver of the first; no MIG slices."""
    devices = [node[index] for node in nodes for index in range(node.devices)]
    system = {**nodes[0]["system"], "devices": str(len(devices))}
    again = {str(i): {**each, "uuid": UUID.format(index=i), "minor": str(i)} for i, each in enumerate(devices)}
    return Scenario({"system": system, **again})


def h100(devices: int = 1) -> Scenario:
    """H100 under load."""
    return of_capture("linux-x86_64__nvidia-h100-80gb-hbm3__590.48.01__load", devices=devices)


def h100_mig() -> Scenario:
    """H100 in MIG mode under load: no utilization of the whole; two SYNTHETIC slices share its captured memory."""
    whole = of_capture("linux-x86_64__nvidia-h100-mig__590.48.01__load")
    free, used = (int(whole[0][f"memory_{part}_bytes"]) for part in ("free", "used"))
    processes = whole[0]["processes.compute"].split(",")
    for slot in range(2):
        mine = processes[slot::2]
        whole = whole.changed(
            f"0/{slot}",
            {
                "uuid": SLICE_UUID.format(index=slot),
                "name": f"{whole[0]['name']} MIG 3g.40gb",
                "gpu_instance": slot + 1,
                "compute_instance": 0,
                "multiprocessors": 60,
                "gpu_slices": 3,
                "compute_slices": 3,
                "memory_mib": 40448,
                "memory_total_bytes": (free + used) // 2,
                "memory_used_bytes": used // 2,
                "memory_free_bytes": free // 2,
                "memory_reserved_bytes": 0,
                "ecc_errors.uncorrected.volatile": 0,
                "ecc_errors.corrected.volatile": 0,
                "processes.compute": ",".join(f"{process}:{slot + 1}:0" for process in mine),
            },
        )
    return whole


def h200_idle() -> Scenario:
    """H200 without work."""
    return of_capture("linux-x86_64__nvidia-h200__590.48.01__idle")


def h200_load() -> Scenario:
    """H200 under load."""
    return of_capture("linux-x86_64__nvidia-h200__590.48.01__load")


def l40s() -> Scenario:
    """L40S that encodes video: no NVLink, no memory temperature."""
    return of_capture("linux-x86_64__nvidia-l40s__595.80__load", nvlink=False)


def eight_gpus() -> Scenario:
    """A node of eight H100s under load."""
    return h100(devices=8)


def realistic(scenario: Scenario) -> Scenario:
    """Calls that take their time: PCIe sampling 20 ms, others microseconds."""
    return scenario.changed("*", {"sleep_us.*": 5, "sleep_us.nvmlDeviceGetPcieThroughput": 20000})


def throttled() -> Scenario:
    """Device 0 at its power cap 60 % of the time, device 1 too hot 40 %, device 2 with its power brake on."""
    return (
        h100(devices=3)
        .changed(0, {"clock_reasons": 0x4, "clock_mhz.sm": 1200, "power_mw": 699000})
        .changed(0, {"violation_ns.power": "7000000000+600000000/s"})
        .changed(
            1, {"clock_reasons": 0x60, "clock_mhz.sm": 900, "temperature_celsius": 87, "temperature_margin_celsius": -2}
        )
        .changed(1, {"violation_ns.thermal": "1000000000+400000000/s"})
        .changed(2, {"clock_reasons": 0x88, "clock_mhz.sm": 990, "power_mw": 350000})
    )


def ecc() -> Scenario:
    """Device 0 with errors and a failed row remap; device 1 as boards before A100: retired pages, no row remap."""
    rows = dict.fromkeys(f"remapped_rows.{kind}" for kind in ("correctable", "uncorrectable", "pending", "failure"))
    return (
        h100(devices=2)
        .changed(0, {"ecc_errors.corrected.volatile": 12, "ecc_errors.uncorrected.volatile": 2})
        .changed(0, {"ecc_errors.corrected.aggregate": 40, "ecc_errors.uncorrected.aggregate": 5})
        .changed(0, {"remapped_rows.correctable": 3, "remapped_rows.uncorrectable": 1})
        .changed(0, {"remapped_rows.pending": 1, "remapped_rows.failure": 1, "pcie_replays": 17})
        .changed(1, {**rows, "retired_pages.single_bit": 4, "retired_pages.double_bit": 1})
        .changed(1, {"retired_pages.pending": 1})
    )


def xid() -> Scenario:
    """Device 0 fell off the bus after a double-bit error, device 1 had a contained error; both are told as events."""
    return h100(devices=2).changed(0, {"events": "8:48,8:79"}).changed(1, {"events": "8:94"})


def sentinels() -> Scenario:
    """Success with all bits set, as NVML writes "not available"."""
    ones = ("power_mw", "utilization_gpu_percent", "clock_mhz.sm", "temperature_memory_celsius", "pcie_replays")
    long_ones = ("energy_mj", "ecc_errors.corrected.volatile", "violation_ns.power")
    return h100().changed(0, {**dict.fromkeys(ones, "0xFFFFFFFF"), **dict.fromkeys(long_ones, "0xFFFFFFFFFFFFFFFF")})


def lost() -> Scenario:
    """Device 1 of two falls off the bus after twenty calls."""
    return h100(devices=2).changed(1, {"lost_after": 20})


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    make.__name__: make
    for make in (h100, h100_mig, h200_idle, h200_load, l40s, eight_gpus, throttled, ecc, xid, sentinels, lost)
}

if __name__ == "__main__":
    sys.stdout.write(SCENARIOS[sys.argv[1]]().text())
