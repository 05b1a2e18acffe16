"""GPU snapshot to families."""

from collections.abc import Callable, Iterable
from typing import Protocol

from exporters.catalog import GPU_FAMILIES
from exporters.errors import ReadError
from exporters.families import FamilySet
from exporters.gpu.snapshot import DeviceState, GpuSnapshot, MigSlice, Sample, Versions
from exporters.partial import PartialRead


class GpuSource(Protocol):
    """Where snapshots come from."""

    def wait_for_first(self, timeout_seconds: float) -> bool:
        """Wait until there is a first snapshot."""

    def snapshot(self) -> GpuSnapshot:
        """Give what is known now."""


class GpuCollector:
    """Renders the last snapshot: a scrape asks the driver nothing."""

    def __init__(
        self, source: GpuSource, *, stale_seconds: float, first_seconds: float, timer: Callable[[], float]
    ) -> None:
        """Values that are older than `stale_seconds` are withheld.

        Scrapes wait for the first snapshot until `first_seconds` from now; `timer` gives monotonic seconds.
        """
        self._source = source
        self._stale_seconds = stale_seconds
        self._first_until = timer() + first_seconds
        self._timer = timer

    def __call__(self) -> FamilySet:
        """Render. Raises `NoData` without a GPU, `PartialRead` when the driver failed, `ReadError` when it hangs."""
        self._source.wait_for_first(max(self._first_until - self._timer(), 0.0))
        snapshot = self._source.snapshot()
        if not snapshot.devices:
            error = snapshot.error or ReadError("the driver has not told the devices yet: a call to it hangs")
            raise error.with_traceback(None)  # it may have been raised before, and would remember each time
        families = render(snapshot, self._stale_seconds)
        if snapshot.error is not None:
            raise PartialRead(str(snapshot.error), families)
        return families


def render(snapshot: GpuSnapshot, stale_seconds: float) -> FamilySet:
    """Turn a snapshot into samples; what is unknown or too old gets none."""
    out = FamilySet(GPU_FAMILIES)
    for device in snapshot.devices:
        _about(out, device, snapshot.versions)
        age = None if device.sample is None else max(snapshot.at - device.sample.at, 0.0)
        labels = (str(device.index), device.identity.uuid)
        fresh = age is not None and age <= stale_seconds and not device.lost
        out.add("gpu_up", fresh, *labels)
        out.add("gpu_sample_age_seconds", age, *labels)
        if fresh and device.sample is not None:
            _values(out, device.sample.samples)
            for mig in device.sample.slices:
                _slice(out, device, mig)
    return out


def _about(out: FamilySet, device: DeviceState, versions: Versions) -> None:
    """What holds whether the device answers or not: facts and counters of ours."""
    facts = device.identity
    labels = (str(device.index), facts.uuid)
    if facts.uuid:
        out.info(
            "gpu_info",
            *labels,
            facts.name,
            versions.driver,
            versions.cuda,
            versions.nvml,
            facts.compute_capability,
            facts.pci_bus_id,
        )
    for reading, errors in device.counts.errors.items():
        out.add("gpu_read_errors_total", errors, *labels, reading.value)
    out.add("gpu_values_dropped_total", device.counts.dropped, *labels)
    for xid, events in device.counts.xids.items():
        out.add("gpu_xid_events_total", events, *labels, xid)


def _values(out: FamilySet, samples: Iterable[Sample]) -> None:
    for sample in samples:
        out.add(sample.family, sample.value, *sample.labels)


def _slice(out: FamilySet, device: DeviceState, mig: MigSlice) -> None:
    out.info(
        "gpu_mig_info",
        str(device.index),
        mig.uuid,
        str(mig.number),
        device.identity.uuid,
        mig.profile,
        mig.gpu_instance_id,
        mig.compute_instance_id,
    )
    _values(out, mig.samples)
