"""Takes the readings of one device or slice, and finds out which of them it supports."""

from collections.abc import Iterable

import pynvml as nvml

from exporters.catalog.gpu import GPU_FAMILIES
from exporters.gpu.errors import LOST, UNSUPPORTED
from exporters.gpu.readings import Pace, Reading
from exporters.gpu.snapshot import Sample
from exporters.gpu.tally import Tally
from exporters.gpu.units import Handle

_OF_SLICES = frozenset(name for name, family in GPU_FAMILIES.items() if "mig" in family.labels)


class Readings:
    """Readings and their last samples.

    A reading that is not supported when it is first taken is left out from then on (`without` says why). One that
    worked before and fails is unknown until it works again.
    """

    def __init__(self, readings: Iterable[Reading], tally: Tally, *, gpu: int, uuid: str, mig: str = "") -> None:
        """Samples are labelled with `gpu`, `uuid` and, where the family has it, `mig`."""
        self._labels = (str(gpu), uuid)
        self._mig = (mig,)
        self._readings = list(readings)
        self._tally = tally
        self._worked: set[str] = set()
        self._samples: dict[str, tuple[Sample, ...]] = {}
        self.without: dict[str, str] = {}
        self.odd: dict[str, str] = {}

    def add(self, readings: Iterable[Reading]) -> None:
        """Take more readings."""
        self._readings += readings

    def take(self, handle: Handle, pace: Pace) -> int:
        """Take the readings of this pace and of faster ones; give how many answered.

        Raises the NVML error when the device or the driver is lost.
        """
        answered = 0
        for reading in [reading for reading in self._readings if reading.pace <= pace]:
            self._tally.asking = reading.topic
            try:
                self._samples[reading.name] = self._ask(handle, reading)
            except LOST:
                raise
            except nvml.NVMLError as error:
                self._failed(reading, error)
            else:
                self._worked.add(reading.name)
                answered += 1
        return answered

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that are known."""
        return tuple(sample for samples in self._samples.values() for sample in samples)

    def _ask(self, handle: Handle, reading: Reading) -> tuple[Sample, ...]:
        samples = []
        for figure, raw in reading.call(handle):
            value = figure.unit.value(raw)
            if value is None:
                self._tally.dropped()
                self.odd[str(figure)] = f"NVML gave {raw:#x}" if isinstance(raw, int) else f"NVML gave {raw}"
            else:
                mig = self._mig if figure.family in _OF_SLICES else ()
                samples.append(Sample(figure.family, value, (*self._labels, *mig, *figure.labels)))
        return tuple(samples)

    def _failed(self, reading: Reading, error: nvml.NVMLError) -> None:
        self._samples.pop(reading.name, None)
        if reading.name not in self._worked and isinstance(error, UNSUPPORTED):
            self._readings.remove(reading)
            self.without[reading.name] = str(error)
        else:
            self._tally.error(reading.topic)
