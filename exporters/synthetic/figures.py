"""Figures of an H100 SXM under load, as its NVML gives them: what that device lacks (fans, pages to retire) is absent.

Ranges are those of a real one that serves an LLM; relations hold (energy is the integral of power, memory adds up).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from exporters.catalog import GPU_FAMILIES, ClockEventReason
from exporters.gpu.parts import LINK_ERRORS
from exporters.gpu.readings import ECC_ERRORS, ECC_LIFETIMES, POLICIES
from exporters.gpu.snapshot import MigSlice, Sample
from exporters.synthetic.load import Load
from exporters.synthetic.scenario import Trouble

_MIB = 2**20
_MEMORY_BYTES = 81559 * _MIB
_RESERVED_BYTES = 479 * _MIB
_LIMIT_WATTS = 700.0
_IDLE_WATTS, _BUSY_WATTS = 110.0, 540.0
_CAPPED_WATTS, _CAPPED_SWING_WATTS = 697.0, 2.0
_NVLINKS = 18
_NVLINK_BYTES_PER_SECOND = 40e9
_MEGAHERTZ = 1e6
_CLOCK_STEP_MEGAHERTZ = 15
_SM_MEGAHERTZ, _MEMORY_MEGAHERTZ = 1980, 2619
# Seconds between errors in a device that has them.
_CORRECTED_EVERY, _UNCORRECTED_EVERY = 5, 60
_SLICES = ((0, "3g.40gb", 40192 * _MIB, 1), (1, "4g.40gb", 40192 * _MIB, 2))


@dataclass(frozen=True, slots=True)
class Figure:
    """One value; `labels` are those after the labels that say of which device or slice it is."""

    family: str
    value: float
    labels: tuple[str, ...] = ()

    def of(self, gpu: int, uuid: str, mig: str = "") -> Sample:
        """As the sample of a GPU or, where `mig` is its number, of a slice."""
        where = (str(gpu), uuid, mig) if "mig" in GPU_FAMILIES[self.family].labels else (str(gpu), uuid)
        return Sample(self.family, self.value, (*where, *self.labels))


@dataclass(frozen=True, slots=True)
class Moment:
    """A device at one time, in seconds from the start."""

    seconds: float
    load: Load
    trouble: Trouble
    index: int
    mig: bool

    @property
    def busy(self) -> float:
        """Load now, 0 to 1."""
        return self.load.at(self.seconds)

    def times(self, every: float) -> int:
        """How often something that happens `every` so many seconds has happened."""
        return int(self.seconds // every)


def device_figures(now: Moment, *, processes: bool) -> Iterator[Figure]:
    """What the device itself gives; `processes`: also what each of its processes holds."""
    yield Figure("gpu_mig_mode_enabled", float(now.mig))
    if not now.mig:  # NVML gives neither for a device that is cut into slices
        yield Figure("gpu_utilization_ratio", round(now.busy, 2))
        yield Figure("gpu_memory_busy_ratio", round(0.6 * now.busy, 2))
        yield Figure("gpu_decoder_utilization_ratio", 0.0)
        yield Figure("gpu_encoder_utilization_ratio", 0.0)
    yield from _memory(now.busy, _MEMORY_BYTES, 4000 + now.index, processes=processes and not now.mig)
    yield from _power_and_heat(now)
    yield from _clocks(now)
    yield from _links(now)
    yield from _health(now)


def slices(now: Moment, uuids: tuple[str, ...], *, processes: bool) -> tuple[MigSlice, ...]:
    """The slices that a device in MIG mode is cut into."""
    if not now.mig:
        return ()
    return tuple(
        MigSlice(
            number=number,
            uuid=uuid,
            profile=profile,
            gpu_instance_id=str(instance),
            compute_instance_id="0",
            samples=tuple(
                figure.of(now.index, uuid, str(number))
                for figure in _memory(now.busy, size, 5000 + number, processes=processes)
            ),
        )
        for (number, profile, size, instance), uuid in zip(_SLICES, uuids, strict=True)
    )


def slice_count() -> int:
    """How many slices a device in MIG mode has."""
    return len(_SLICES)


def _memory(busy: float, total: int, pid: int, *, processes: bool) -> Iterator[Figure]:
    """Weights and a KV cache that fills with the load; one process holds all."""
    used = int((total - _RESERVED_BYTES) * (0.78 + 0.17 * busy)) // _MIB * _MIB
    held = used - 600 * _MIB
    yield Figure("gpu_memory_total_bytes", total)
    yield Figure("gpu_memory_reserved_bytes", _RESERVED_BYTES)
    yield Figure("gpu_memory_used_bytes", used)
    yield Figure("gpu_memory_free_bytes", total - _RESERVED_BYTES - used)
    yield Figure("gpu_processes", 1.0)
    yield Figure("gpu_processes_memory_bytes", held)
    if processes:
        yield Figure("gpu_process_memory_bytes", held, (str(pid), "synthetic"))


def _power_and_heat(now: Moment) -> Iterator[Figure]:
    lowest, swing = (_CAPPED_WATTS, _CAPPED_SWING_WATTS) if now.trouble.power_capped else (_IDLE_WATTS, _BUSY_WATTS)
    heat = (84.0, 4.0) if now.trouble.hot else (30.0, 35.0)
    yield Figure("gpu_power_watts", round(lowest + swing * now.busy, 3))
    yield Figure("gpu_energy_joules_total", round(lowest * now.seconds + swing * now.load.until(now.seconds), 3))
    yield Figure("gpu_power_limit_watts", _LIMIT_WATTS)
    yield Figure("gpu_power_default_limit_watts", _LIMIT_WATTS)
    yield Figure("gpu_temperature_celsius", round(heat[0] + heat[1] * now.busy))
    yield Figure("gpu_memory_temperature_celsius", round(heat[0] + heat[1] * now.busy) + 8)
    yield Figure("gpu_temperature_slowdown_celsius", 87.0)
    yield Figure("gpu_temperature_shutdown_celsius", 92.0)


def _clocks(now: Moment) -> Iterator[Figure]:
    active = set()
    if now.trouble.power_capped:
        active.add(ClockEventReason.SW_POWER_CAP)
    if now.trouble.hot:
        active |= {ClockEventReason.HW_SLOWDOWN, ClockEventReason.HW_THERMAL_SLOWDOWN}
    lost = (400 * now.trouble.power_capped + 300 * now.trouble.hot) * now.busy
    clock = (_SM_MEGAHERTZ - lost) // _CLOCK_STEP_MEGAHERTZ * _CLOCK_STEP_MEGAHERTZ
    yield Figure("gpu_sm_clock_hertz", clock * _MEGAHERTZ)
    yield Figure("gpu_sm_clock_max_hertz", _SM_MEGAHERTZ * _MEGAHERTZ)
    yield Figure("gpu_memory_clock_hertz", _MEMORY_MEGAHERTZ * _MEGAHERTZ)
    yield Figure("gpu_memory_clock_max_hertz", _MEMORY_MEGAHERTZ * _MEGAHERTZ)
    yield Figure("gpu_performance_state", 0.0)
    for reason in ClockEventReason:
        yield Figure("gpu_clock_event_active", float(reason in active), (reason.value,))
    held = {"power": 0.6 * now.trouble.power_capped, "thermal": 0.4 * now.trouble.hot}
    for policy in POLICIES:
        yield Figure("gpu_violation_seconds_total", round(held.get(policy, 0.0) * now.seconds, 9), (policy,))


def _links(now: Moment) -> Iterator[Figure]:
    yield Figure("gpu_pcie_receive_bytes_per_second", round(1.2e9 * now.busy))
    yield Figure("gpu_pcie_transmit_bytes_per_second", round(0.3e9 * now.busy))
    yield Figure("gpu_pcie_link_generation", 5.0)
    yield Figure("gpu_pcie_link_generation_max", 5.0)
    yield Figure("gpu_pcie_link_width", 16.0)
    yield Figure("gpu_pcie_link_width_max", 16.0)
    yield Figure("gpu_pcie_replays_total", 0.0)
    if now.mig:  # slices do not use NVLinks
        return
    moved = now.load.until(now.seconds) * _NVLINK_BYTES_PER_SECOND // 1024 * 1024
    yield Figure("gpu_nvlink_receive_bytes_total", moved)
    yield Figure("gpu_nvlink_transmit_bytes_total", moved)
    for link in range(_NVLINKS):
        yield Figure("gpu_nvlink_up", 1.0, (str(link),))
    for kind in LINK_ERRORS:
        yield Figure("gpu_nvlink_errors_total", 0.0, (kind,))


def _health(now: Moment) -> Iterator[Figure]:
    errors = {
        "corrected": now.times(_CORRECTED_EVERY) if now.trouble.ecc_errors else 0,
        "uncorrected": uncorrected(now),
    }
    yield Figure("gpu_ecc_mode_enabled", 1.0)
    for error in ECC_ERRORS:
        for lifetime in ECC_LIFETIMES:
            yield Figure("gpu_ecc_errors_total", errors[error], (error, lifetime))
    yield Figure("gpu_remapped_rows_total", 0.0, ("corrected",))
    yield Figure("gpu_remapped_rows_total", errors["uncorrected"], ("uncorrected",))
    yield Figure("gpu_row_remap_pending", float(errors["uncorrected"] > 0))
    yield Figure("gpu_row_remap_failure", 0.0)


def uncorrected(now: Moment) -> int:
    """Uncorrected memory errors so far."""
    return now.times(_UNCORRECTED_EVERY) if now.trouble.ecc_errors else 0
