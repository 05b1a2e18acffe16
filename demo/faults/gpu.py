"""GPUs of a node over virtual time: what our exporter, or dcgm-exporter, says of them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from demo.faults.series import Key, Labels, Page

_MEMORY_BYTES = 80 * 2**30
_CLOCK_MAX_HERTZ = 1.98e9
_GENERATION, _LANES = 5, 16
_LINK_BYTES = _LANES * 1e9 * 2 ** (_GENERATION - 3)
# Xids that our exporter counts from zero on; others appear with their first event.
_FROM_ZERO = (31, 48, 63, 64, 74, 79, 94, 95, 119, 120)
# NVML's bits of clocks event reasons, by the name that our exporter gives them.
_REASONS = {
    "gpu_idle": 0x1,
    "sw_power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sw_thermal_slowdown": 0x20,
    "hw_thermal_slowdown": 0x40,
    "hw_power_brake_slowdown": 0x80,
}


@dataclass(frozen=True, slots=True)
class GpuState:
    """How one GPU is. Ratios 0-1; the share of time for which a reason holds the clocks down is under its name."""

    up: bool = True
    utilization: float = 0.85
    memory: float = 0.90
    memory_growth_per_hour: float = 0.0
    clock: float = 0.97
    power_watts: float = 520.0
    power_limit_watts: float = 700.0
    temperature: float = 64.0
    reasons: tuple[tuple[str, float], ...] = ()
    pcie: float = 0.05
    lanes: int = _LANES
    replays_per_second: float = 0.0
    nvlink_errors_per_second: float = 0.0
    xid: int | None = None
    uncorrected: int = 0
    remap_pending: bool = False
    remap_failure: bool = False
    dram: float = 0.45
    tensor: float = 0.40


@dataclass(frozen=True, slots=True)
class GpuLife:
    """States by the time from which they hold, seconds; the first from the start."""

    states: tuple[tuple[float, GpuState], ...] = ((0.0, GpuState()),)

    def at(self, seconds: float) -> tuple[GpuState, float]:
        """The state, and since when it has held."""
        since, state = [each for each in self.states if each[0] <= seconds][-1]
        return state, seconds - since


@dataclass(slots=True)
class _Counters:
    power: float = 812.0
    thermal: float = 3.0
    energy: float = 4.1e9
    replays: float = 2.0
    nvlink: float = 11.0
    uncorrected: float = 0.0
    xids: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One GPU at one scrape, with noise, before anybody names it."""

    gpu: str
    uuid: str
    state: GpuState
    memory: float
    utilization: float
    power: float
    temperature: float
    active: frozenset[str]
    counters: _Counters


def samples(life: GpuLife, index: int, node: str, *, scrapes: int, interval: float, seed: int) -> Iterator[Sample]:
    """The GPU at each scrape, by seed."""
    dice = random.Random(seed * 1009 + index)
    counters = _Counters()
    last: GpuState | None = None
    for step in range(scrapes):
        state, held = life.at(step * interval)
        counters = _counted(counters, state, last, interval)
        last = state
        busy = state.utilization > 0
        yield Sample(
            gpu=str(index),
            uuid=f"GPU-{node}-{index}",
            state=state,
            memory=min(0.999, state.memory + state.memory_growth_per_hour * held / 3600 + dice.uniform(0, 0.001)),
            utilization=min(1.0, max(0.0, state.utilization + dice.uniform(-0.05, 0.05))) if busy else 0.0,
            power=state.power_watts * dice.uniform(0.98, 1.02),
            temperature=state.temperature + dice.uniform(-1.5, 1.5),
            active=frozenset(name for name, share in state.reasons if dice.random() < share),
            counters=counters,
        )


def _counted(before: _Counters, state: GpuState, last: GpuState | None, interval: float) -> _Counters:
    shares = dict(state.reasons)
    thermal = max(shares.get("sw_thermal_slowdown", 0.0), shares.get("hw_thermal_slowdown", 0.0))
    began = last is not None and state is not last
    xids = dict(before.xids)
    if began and state.xid is not None:
        xids[state.xid] = xids.get(state.xid, 0) + 1
    return _Counters(
        power=before.power + shares.get("sw_power_cap", 0.0) * interval,
        thermal=before.thermal + thermal * interval,
        energy=before.energy + state.power_watts * interval,
        replays=before.replays + state.replays_per_second * interval,
        nvlink=before.nvlink + state.nvlink_errors_per_second * interval,
        uncorrected=before.uncorrected + (state.uncorrected if began else 0),
        xids=xids,
    )


def ours(sample: Sample) -> Page:
    """Families of exporters/catalog/gpu.py."""
    labels: Labels = (("gpu", sample.gpu), ("uuid", sample.uuid))
    state, counters = sample.state, sample.counters
    page: dict[Key, float] = {("gpu_up", labels): float(state.up)}
    if not state.up:
        return page
    values = {
        "gpu_utilization_ratio": sample.utilization,
        "gpu_memory_total_bytes": _MEMORY_BYTES,
        "gpu_memory_used_bytes": sample.memory * _MEMORY_BYTES,
        "gpu_memory_free_bytes": (1 - sample.memory) * _MEMORY_BYTES,
        "gpu_sm_clock_hertz": state.clock * _CLOCK_MAX_HERTZ,
        "gpu_sm_clock_max_hertz": _CLOCK_MAX_HERTZ,
        "gpu_power_watts": sample.power,
        "gpu_power_limit_watts": state.power_limit_watts,
        "gpu_power_default_limit_watts": 700.0,
        "gpu_energy_joules_total": counters.energy,
        "gpu_temperature_celsius": sample.temperature,
        "gpu_temperature_slowdown_celsius": 90.0,
        "gpu_pcie_receive_bytes_per_second": state.pcie * _LINK_BYTES,
        "gpu_pcie_transmit_bytes_per_second": 0.4 * state.pcie * _LINK_BYTES,
        "gpu_pcie_link_generation": _GENERATION,
        "gpu_pcie_link_generation_max": _GENERATION,
        "gpu_pcie_link_width": state.lanes,
        "gpu_pcie_link_width_max": _LANES,
        "gpu_pcie_replays_total": round(counters.replays),
        "gpu_row_remap_pending": float(state.remap_pending),
        "gpu_row_remap_failure": float(state.remap_failure),
    }
    page |= {(name, labels): float(value) for name, value in values.items()}
    for reason in _REASONS:
        page["gpu_clock_event_active", _with(labels, "reason", reason)] = float(reason in sample.active)
    page["gpu_violation_seconds_total", _with(labels, "policy", "power")] = counters.power
    page["gpu_violation_seconds_total", _with(labels, "policy", "thermal")] = counters.thermal
    page["gpu_nvlink_errors_total", _with(labels, "kind", "crc_flit")] = round(counters.nvlink)
    lifetime = (*_with(labels, "error", "uncorrected"), ("lifetime", "volatile"))
    page["gpu_ecc_errors_total", lifetime] = counters.uncorrected
    for xid, times in (dict.fromkeys(_FROM_ZERO, 0) | counters.xids).items():
        page["gpu_xid_events_total", _with(labels, "xid", str(xid))] = times
    return page


def dcgm(sample: Sample) -> Page:
    """Counters that `optiinfra export dcgm` asks dcgm-exporter for, under DCGM's old names."""
    labels: Labels = (("UUID", sample.uuid), ("gpu", sample.gpu), ("modelName", "NVIDIA H100 80GB HBM3"))
    state, counters = sample.state, sample.counters
    if not state.up:
        return {}
    mebibytes = _MEMORY_BYTES / 2**20
    values = {
        "FB_USED": sample.memory * mebibytes,
        "FB_FREE": (1 - sample.memory) * mebibytes,
        "FB_RESERVED": 0.0,
        "GPU_UTIL": round(sample.utilization * 100),
        "SM_CLOCK": state.clock * _CLOCK_MAX_HERTZ / 1e6,
        "MAX_SM_CLOCK": _CLOCK_MAX_HERTZ / 1e6,
        "POWER_USAGE": sample.power,
        "ENFORCED_POWER_LIMIT": state.power_limit_watts,
        "POWER_MGMT_LIMIT_DEF": 700.0,
        "GPU_TEMP": sample.temperature,
        "SLOWDOWN_TEMP": 90.0,
        "CLOCKS_EVENT_REASONS": float(sum(_REASONS[name] for name in sample.active)),
        "POWER_VIOLATION": counters.power * 1e9,
        "THERMAL_VIOLATION": counters.thermal * 1e9,
        "PCIE_LINK_WIDTH": state.lanes,
        "PCIE_MAX_LINK_WIDTH": _LANES,
        "PCIE_LINK_GEN": _GENERATION,
        "PCIE_REPLAY_COUNTER": round(counters.replays),
        "XID_ERRORS": float(max(counters.xids, default=0)),
        "ECC_DBE_VOL_TOTAL": counters.uncorrected,
        "ROW_REMAP_PENDING": float(state.remap_pending),
        "ROW_REMAP_FAILURE": float(state.remap_failure),
        "NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL": round(counters.nvlink),
        "NVLINK_CRC_DATA_ERROR_COUNT_TOTAL": 0.0,
        "NVLINK_REPLAY_ERROR_COUNT_TOTAL": 0.0,
        "NVLINK_RECOVERY_ERROR_COUNT_TOTAL": 0.0,
    }
    page: dict[Key, float] = {(f"DCGM_FI_DEV_{name}", labels): float(value) for name, value in values.items()}
    return {**page, **profiling(sample)}


def profiling(sample: Sample) -> Page:
    """DCGM's profiling counters, which NVML has not: a site may run dcgm-exporter for them alone."""
    labels: Labels = (("UUID", sample.uuid), ("gpu", sample.gpu), ("modelName", "NVIDIA H100 80GB HBM3"))
    state = sample.state
    if not state.up:
        return {}
    return {
        ("DCGM_FI_DEV_SM_CLOCK", labels): state.clock * _CLOCK_MAX_HERTZ / 1e6,
        ("DCGM_FI_PROF_SM_ACTIVE", labels): sample.utilization * 0.9,
        ("DCGM_FI_PROF_DRAM_ACTIVE", labels): state.dram,
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", labels): state.tensor,
        ("DCGM_FI_PROF_PCIE_RX_BYTES", labels): state.pcie * _LINK_BYTES,
        ("DCGM_FI_PROF_PCIE_TX_BYTES", labels): 0.4 * state.pcie * _LINK_BYTES,
    }


def _with(labels: Labels, name: str, value: str) -> Labels:
    return (*labels, (name, value))
