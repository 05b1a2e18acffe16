"""MIG: whether a device is cut into slices, and what each slice gives."""

from dataclasses import dataclass

import pynvml as nvml

from exporters.catalog.gpu import GpuReading
from exporters.gpu.calls import memory
from exporters.gpu.errors import LOST, UNSUPPORTED
from exporters.gpu.facts import text
from exporters.gpu.processes import NameOf, processes
from exporters.gpu.readings import Pace, Reading
from exporters.gpu.snapshot import MigSlice
from exporters.gpu.taking import Readings
from exporters.gpu.tally import Tally
from exporters.gpu.units import Handle


def mig_mode(handle: Handle) -> bool | None:
    """Whether the device is in MIG mode now; None where it knows no MIG."""
    try:
        now, _ = nvml.nvmlDeviceGetMigMode(handle)
    except UNSUPPORTED:
        return None
    return bool(now == nvml.NVML_DEVICE_MIG_ENABLE)


@dataclass(frozen=True, slots=True)
class _Known:
    """What does not change while a slice exists, and its readings."""

    profile: str
    gpu_instance_id: str
    compute_instance_id: str
    readings: Readings


class MigSlices:
    """The slices of one device. They come and go while the device works."""

    def __init__(self, gpu: int, tally: Tally, name_of: NameOf | None) -> None:
        self._gpu = gpu
        self._tally = tally
        self._name_of = name_of
        self._known: dict[str, _Known] = {}

    def read(self, device: Handle) -> tuple[MigSlice, ...]:
        """Read every slice. Raises the NVML error when the device or the driver is lost."""
        self._tally.asking = GpuReading.MIG
        try:
            most = nvml.nvmlDeviceGetMaxMigDeviceCount(device)
        except LOST:
            raise
        except nvml.NVMLError:
            self._tally.error(GpuReading.MIG)
            return ()
        found = [one for number in range(most) if (one := self._numbered(device, number)) is not None]
        there = {one.uuid for one in found}
        self._known = {uuid: known for uuid, known in self._known.items() if uuid in there}
        return tuple(found)

    def _numbered(self, device: Handle, number: int) -> MigSlice | None:
        try:
            return self._slice(nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, number), number)
        except nvml.NVMLError_NotFound:
            return None  # there is none of this number
        except LOST:
            raise
        except nvml.NVMLError:
            self._tally.error(GpuReading.MIG)
            return None

    def _slice(self, handle: Handle, number: int) -> MigSlice:
        uuid = nvml.nvmlDeviceGetUUID(handle)
        known = self._known.get(uuid)
        if known is None:
            known = self._known[uuid] = self._meet(handle, uuid, number)
        known.readings.take(handle, Pace.RARE)
        return MigSlice(
            number=number,
            uuid=uuid,
            profile=known.profile,
            gpu_instance_id=known.gpu_instance_id,
            compute_instance_id=known.compute_instance_id,
            samples=known.readings.samples,
        )

    def _meet(self, handle: Handle, uuid: str, number: int) -> _Known:
        readings = (
            Reading(GpuReading.MEMORY, Pace.SLOW, "gpu_memory_bytes", memory),
            Reading(GpuReading.PROCESSES, Pace.SLOW, "gpu_processes", processes(self._name_of)),
        )
        return _Known(
            profile=text(_profile, handle),
            gpu_instance_id=text(nvml.nvmlDeviceGetGpuInstanceId, handle),
            compute_instance_id=text(nvml.nvmlDeviceGetComputeInstanceId, handle),
            readings=Readings(readings, self._tally, gpu=self._gpu, uuid=uuid, mig=str(number)),
        )


def _profile(handle: Handle) -> str:
    """Give `1g.10gb`, `1c.2g.20gb`: what a slice's name ends with ("NVIDIA H100 80GB HBM3 MIG 1g.10gb")."""
    return str(nvml.nvmlDeviceGetName(handle).rpartition(" MIG ")[2])
