"""What the GPU collector reads.

Figures are in base units; `None` is what a device, its driver or a MIG setting does not give.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from exporters.catalog import ClockEventReason


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device is; facts that are not known are empty."""

    name: str = ""
    compute_capability: str = ""
    pci_bus_id: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a device does, each figure under the name of its family without `gpu_` and `_total`.

    Errors and replays count from when the driver was loaded.
    """

    utilization_ratio: float | None = None
    memory_busy_ratio: float | None = None
    memory_total_bytes: float | None = None
    memory_used_bytes: float | None = None
    memory_free_bytes: float | None = None
    memory_reserved_bytes: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    energy_joules: float | None = None
    temperature_celsius: float | None = None
    sm_clock_hertz: float | None = None
    sm_clock_max_hertz: float | None = None
    memory_clock_hertz: float | None = None
    memory_clock_max_hertz: float | None = None
    ecc_corrected_errors: float | None = None
    ecc_uncorrected_errors: float | None = None
    pcie_replays: float | None = None
    processes: float | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One reading of one device.

    `clock_events` holds the reasons that the device can report. `unread` says why a reading is missing, by its name.
    """

    index: int
    uuid: str
    identity: Identity
    figures: Figures
    clock_events: Mapping[ClockEventReason, bool] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LostDevice:
    """A device that the driver counts but cannot read; `uuid` is empty where even that is not known."""

    index: int
    uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class GpuSnapshot:
    """All devices at one time."""

    driver_version: str
    cuda_version: str
    devices: tuple[Device, ...]
    lost: tuple[LostDevice, ...] = ()


class GpuReader(Protocol):
    """Source of GPU readings."""

    def read(self) -> GpuSnapshot:
        """Read every device.

        Raises `NoData` on a machine without a driver or a device, `ReadError` when a driver that is there fails.
        """
