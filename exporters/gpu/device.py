"""Reads one device: which readings it has, which are due, whether it is in MIG mode."""

from collections.abc import Callable, Mapping

import pynvml as nvml

from exporters.catalog.gpu import GpuReading
from exporters.gpu.errors import LOST, UNSUPPORTED
from exporters.gpu.facts import identity
from exporters.gpu.mig import MigSlices, mig_mode
from exporters.gpu.parts import PARTS
from exporters.gpu.processes import NameOf, processes
from exporters.gpu.readings import READINGS, Pace, Reading
from exporters.gpu.snapshot import DeviceSample, Identity, MigSlice, Sample
from exporters.gpu.taking import Readings
from exporters.gpu.tally import Tally
from exporters.gpu.units import Handle

_RARE_PER_SLOW = 12


class DeviceReader:
    """Reads one device in one session with the driver.

    What the device supports is found out at the first reading, and anew when its MIG mode changes.
    """

    def __init__(
        self,
        index: int,
        handle: Handle,
        facts: Identity,
        tally: Tally,
        *,
        slow_every: int,
        name_of: NameOf | None,
        timer: Callable[[], float],
    ) -> None:
        """Slow readings are taken each `slow_every`-th time; `timer` gives monotonic seconds."""
        self.identity = facts
        self.tally = tally
        self._index = index
        self._handle = handle
        self._slow_every = slow_every
        self._name_of = name_of
        self._timer = timer
        self._mig: bool | None = None
        self._slices: tuple[MigSlice, ...] = ()
        self._start_anew()

    def read(self) -> DeviceSample:
        """Take what is due. Raises the NVML error when the device or the driver is lost."""
        pace = self._due()
        if pace >= Pace.SLOW:
            self._look_at_mig()
            pace = self._due()
            self._find_parts()
        if not self._readings.take(self._handle, pace):
            raise nvml.NVMLError(nvml.NVML_ERROR_GPU_IS_LOST)  # it says no such thing, but answers nothing
        if self._mig and pace >= Pace.SLOW:
            self._slices = self._mig_slices.read(self._handle)
        self._times += 1
        labels = (str(self._index), self.identity.uuid)
        mode = () if self._mig is None else (Sample("gpu_mig_mode_enabled", float(self._mig), labels),)
        return DeviceSample(self._timer(), (*mode, *self._readings.samples), self._slices)

    @property
    def without(self) -> Mapping[str, str]:
        """Why a reading is left out, by its name."""
        return self._readings.without

    @property
    def odd(self) -> Mapping[str, str]:
        """Figures that had a value that cannot be true, and the last such value."""
        return self._readings.odd

    def _due(self) -> Pace:
        slow, odd = divmod(self._times, self._slow_every)
        if odd:
            return Pace.FAST
        return Pace.SLOW if slow % _RARE_PER_SLOW else Pace.RARE

    def _look_at_mig(self) -> None:
        self.tally.asking = GpuReading.MIG
        try:
            mode = mig_mode(self._handle)
        except LOST:
            raise
        except nvml.NVMLError:
            self.tally.error(GpuReading.MIG)
            return
        if mode != self._mig:
            self._start_anew()
        self._mig = mode
        if not mode:
            self._slices = ()

    def _start_anew(self) -> None:
        of_processes = Reading(GpuReading.PROCESSES, Pace.SLOW, "gpu_processes", processes(self._name_of))
        self._readings = Readings((*READINGS, of_processes), self.tally, gpu=self._index, uuid=self.identity.uuid)
        self._mig_slices = MigSlices(self._index, self.tally, self._name_of)
        self._parts = list(PARTS)
        self._times = 0

    def _find_parts(self) -> None:
        """Find fans, links and reasons; what could not be asked for is asked for again the next time."""
        unknown = []
        for topic, part in self._parts:
            self.tally.asking = topic
            try:
                self._readings.add(list(part(self._handle)))
            except LOST:
                raise
            except UNSUPPORTED as error:
                self._readings.without[topic.value] = str(error)
            except nvml.NVMLError:
                self.tally.error(topic)
                unknown.append((topic, part))
        self._parts = unknown


def open_device(
    index: int, meet: Callable[[str], Tally], *, slow_every: int, name_of: NameOf | None, timer: Callable[[], float]
) -> DeviceReader:
    """Reach a device; `meet` is told its uuid and gives its counters. Raises the NVML error when it is not reached."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    uuid = nvml.nvmlDeviceGetUUID(handle)
    tally = meet(uuid)
    facts = identity(handle, uuid)
    return DeviceReader(index, handle, facts, tally, slow_every=slow_every, name_of=name_of, timer=timer)
