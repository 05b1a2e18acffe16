"""A sampler in this process and what scrapes get of it."""

import time
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from exporters.families import FamilySet
from exporters.gpu.collector import GpuCollector
from exporters.gpu.sampler import GpuSampler
from exporters.partial import PartialRead
from exporters.settings import GpuSettings
from tests.exporters.nvml_stub.scenarios import UUID
from tests.exporters.nvml_stub.stub import NvmlStub

GPU0 = ("0", UUID.format(index=0))
GPU1 = ("1", UUID.format(index=1))
Samples = dict[tuple[str, ...], float]
_PATIENCE_SECONDS = 30.0


class Clock:
    """The real one, which can be set forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class Gpus:
    """A sampler and its collector, fifty times as fast as shipped."""

    def __init__(self, stub: NvmlStub, clock: Clock, log: FilteringBoundLogger, *, processes: bool = False) -> None:
        self.stub = stub
        self.settings = GpuSettings(interval_seconds=0.02, slow_interval_seconds=0.04, processes=processes)
        self.sampler = GpuSampler(self.settings, timer=clock, log=log)
        self.failure = ""
        self._collect = GpuCollector(
            self.sampler, stale_seconds=self.settings.stale_seconds, first_seconds=30, timer=clock
        )

    def families(self) -> FamilySet:
        """What a scrape gets; `failure` says why it is not all."""
        self.failure = ""
        try:
            return self._collect()
        except PartialRead as error:
            self.failure = str(error)
            return error.families

    def scrape(self) -> Samples:
        """Values by family and label values."""
        return {
            (family.name, *labels): value
            for family, samples in self.families().families()
            for labels, value in samples.items()
        }

    def until(self, holds: Callable[[Samples], object]) -> Samples:
        """Scrape until something holds."""
        until = time.monotonic() + _PATIENCE_SECONDS
        samples = self.scrape()
        while not holds(samples):
            assert time.monotonic() < until, f"it never held; failure: {self.failure!r}; {len(samples)} samples"
            time.sleep(0.005)
            samples = self.scrape()
        return samples


def of(samples: Samples, gpu: tuple[str, str] = GPU0) -> dict[str, float]:
    """Samples of one whole device that have no other labels."""
    plain = {(name, *gpu): name for name, *_ in samples} | {(name, *gpu, ""): name for name, *_ in samples}
    return {plain[key]: value for key, value in samples.items() if key in plain}


def labelled(samples: Samples, family: str, gpu: tuple[str, str] = GPU0) -> dict[tuple[str, ...], float]:
    """Samples of one family of one device, by their other labels."""
    return {key[3:]: value for key, value in samples.items() if key[:3] == (family, *gpu)}


def errors(samples: Samples, gpu: tuple[str, str] = GPU0) -> dict[str, float]:
    """Errors of one device by reading, where there were any."""
    return {reading: count for (reading,), count in labelled(samples, "gpu_read_errors_total", gpu).items() if count}
