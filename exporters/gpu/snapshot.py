"""What was read of the GPUs: immutable, so that scrapes need no lock."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporters.catalog.gpu import GpuReading
from exporters.errors import ExporterError


@dataclass(frozen=True, slots=True)
class Sample:
    """One value in base units; `labels` are label values in the family's order."""

    family: str
    value: float
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device is; facts that are not known are empty."""

    uuid: str
    name: str = ""
    compute_capability: str = ""
    pci_bus_id: str = ""


@dataclass(frozen=True, slots=True)
class MigSlice:
    """One slice of a GPU in MIG mode; `number` is its index on that GPU."""

    number: int
    uuid: str
    profile: str
    gpu_instance_id: str
    compute_instance_id: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """One reading of one device, finished `at` (monotonic seconds)."""

    at: float
    samples: tuple[Sample, ...]
    slices: tuple[MigSlice, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of a device since the exporter started; `xids` by label value."""

    errors: Mapping[GpuReading, int] = field(default_factory=dict)
    dropped: int = 0
    xids: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device and its last sample, if there ever was one; it is lost when it did not answer the last time."""

    index: int
    identity: Identity
    sample: DeviceSample | None
    lost: bool
    counts: Counts


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions of the driver and of what it brings; empty where not known."""

    driver: str = ""
    cuda: str = ""
    nvml: str = ""


@dataclass(frozen=True, slots=True)
class GpuSnapshot:
    """All devices `at` one time (monotonic seconds).

    `error` is why there is nothing newer: `NoData` on a machine without a driver or a device, `ReadError` when a
    driver that is there fails. Devices that were known before are then still listed, as lost.
    """

    at: float
    versions: Versions = field(default_factory=Versions)
    devices: tuple[DeviceState, ...] = ()
    error: ExporterError | None = None
