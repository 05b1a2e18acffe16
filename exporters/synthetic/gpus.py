"""A node's synthetic GPUs as a source of snapshots."""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from exporters.catalog.gpu import GpuReading
from exporters.gpu.snapshot import Counts, DeviceSample, DeviceState, GpuSnapshot, Identity, Versions
from exporters.gpu.tally import Tally
from exporters.synthetic.figures import Moment, device_figures, slice_count, slices, uncorrected
from exporters.synthetic.load import Load, random_load
from exporters.synthetic.scenario import TROUBLES, Scenario, Trouble

DEVICES = 4
_MIG_DEVICE = 3
_NAME = "NVIDIA H100 80GB HBM3 (synthetic)"
_VERSIONS = Versions(driver="590.48.01", cuda="13.1", nvml="13.590.48.01")
_HEALTHY = Trouble()
# Seconds between Xids of a device that has them: 13 and 31 are faults of applications.
_APPLICATION_XIDS = {13: 45, 31: 70}
_OFF_THE_BUS = 79
_ROW_REMAPPED, _CONTAINED = 63, 94


@dataclass(frozen=True, slots=True)
class _Device:
    """What does not change."""

    index: int
    identity: Identity
    slices: tuple[str, ...]
    load: Load
    trouble: Trouble
    mig: bool


class SyntheticGpus:
    """Gives a snapshot for each moment: by seed, scenario and time since the start alone."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        interval_seconds: float,
        processes: bool,
        timer: Callable[[], float],
    ) -> None:
        """As of a real node, samples are `interval_seconds` apart; `timer` gives monotonic seconds."""
        self._interval = interval_seconds
        self._processes = processes
        self._timer = timer
        self._started = timer()
        dice = random.Random(seed)  # noqa: S311 - figures for show
        self._devices = tuple(_device(index, dice, TROUBLES[scenario].get(index, _HEALTHY)) for index in range(DEVICES))

    def start(self) -> "SyntheticGpus":
        """Nothing runs in the background: snapshots are computed."""
        return self

    def stop(self) -> None:
        """Nothing runs in the background."""

    def wait_for_first(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - the interface of a source
        """There is a snapshot from the start."""
        return True

    def snapshot(self) -> GpuSnapshot:
        """The devices at their last sample."""
        now = self._timer()
        sampled = (now - self._started) // self._interval * self._interval
        return GpuSnapshot(now, _VERSIONS, tuple(self._state(device, sampled) for device in self._devices))

    def _state(self, device: _Device, seconds: float) -> DeviceState:
        trouble = device.trouble
        ended = [end for end in (trouble.hangs_from, trouble.lost_from) if end is not None and end <= seconds]
        moment = Moment(min([seconds, *ended]), device.load, trouble, device.index, device.mig)
        sample = DeviceSample(
            at=self._started + moment.seconds,
            samples=tuple(
                figure.of(device.index, device.identity.uuid)
                for figure in device_figures(moment, processes=self._processes)
            ),
            slices=slices(moment, device.slices, processes=self._processes),
        )
        lost = trouble.lost_from is not None and trouble.lost_from <= seconds
        hangs = trouble.hangs_from is not None and trouble.hangs_from <= seconds
        return DeviceState(device.index, device.identity, sample, lost=lost, counts=_counts(moment, lost, hangs))


def _device(index: int, dice: random.Random, trouble: Trouble) -> _Device:
    mig = index == _MIG_DEVICE
    return _Device(
        index=index,
        identity=Identity(
            uuid=f"GPU-{_uuid(dice)}",
            name=_NAME,
            compute_capability="9.0",
            pci_bus_id=f"00000000:{0x19 + 0x20 * index:02X}:00.0",
        ),
        slices=tuple(f"MIG-{_uuid(dice)}" for _ in range(slice_count())) if mig else (),
        load=random_load(dice),
        trouble=trouble,
        mig=mig,
    )


def _uuid(dice: random.Random) -> uuid.UUID:
    return uuid.UUID(int=dice.getrandbits(128), version=4)


def _counts(now: Moment, lost: bool, hangs: bool) -> Counts:  # noqa: FBT001 - private
    """As of a real device, whose counters begin with those zeros that are known to be none."""
    tally = Tally()
    tally.watch_xids()
    if hangs:
        tally.error(GpuReading.PCIE)
    counts = tally.counts()
    reported = {str(xid): times for xid, times in _xids(now, lost=lost).items() if times}
    return replace(counts, xids={**counts.xids, **reported})


def _xids(now: Moment, *, lost: bool) -> Mapping[int, int]:
    """How often each Xid was reported so far."""
    xids: Counter[int] = Counter()
    if now.trouble.xids:
        xids.update({xid: now.times(every) for xid, every in _APPLICATION_XIDS.items()})
        xids[_OFF_THE_BUS] = int(lost)
    if now.trouble.ecc_errors:
        xids.update({_ROW_REMAPPED: uncorrected(now), _CONTAINED: uncorrected(now)})
    return xids
