"""A snapshot becomes families: what is known is given, what is too old is withheld."""

from dataclasses import replace

import pytest

from exporters.errors import NoData, ReadError
from exporters.families import FamilySet
from exporters.gpu.collector import GpuCollector, render
from exporters.gpu.snapshot import Counts, DeviceSample, DeviceState, GpuSnapshot, Identity, Sample
from exporters.partial import PartialRead

LABELS = ("0", "GPU-a")
SAMPLE = DeviceSample(at=100.0, samples=(Sample("gpu_power_watts", 0.0, LABELS),))
DEVICE = DeviceState(0, Identity("GPU-a", "H100"), SAMPLE, lost=False, counts=Counts(xids={"79": 2}))


class Source:
    """Gives one snapshot and notes how long it was waited for."""

    def __init__(self, snapshot: GpuSnapshot) -> None:
        self._snapshot = snapshot
        self.waited: list[float] = []

    def wait_for_first(self, timeout_seconds: float) -> bool:
        self.waited.append(timeout_seconds)
        return True

    def snapshot(self) -> GpuSnapshot:
        return self._snapshot


def values(families: FamilySet) -> dict[str, float]:
    return {family.name: value for family, samples in families.families() for value in samples.values()}


def collector(source: Source, now: float = 0.0) -> GpuCollector:
    times = iter([now, now + 2, now + 9])
    return GpuCollector(source, stale_seconds=10, first_seconds=5, timer=lambda: next(times))


@pytest.mark.parametrize(
    ("age", "power"), [(0.0, 0.0), (10.0, 0.0), (10.1, None), (-1.0, 0.0)], ids=["new", "old", "stale", "clock back"]
)
def test_values_are_given_until_they_are_stale_and_their_age_always(age: float, power: float | None) -> None:
    found = values(render(GpuSnapshot(100.0 + age, devices=(DEVICE,)), 10))

    assert found.get("gpu_power_watts") == power
    assert found["gpu_up"] == (power is not None)
    assert found["gpu_sample_age_seconds"] == pytest.approx(max(age, 0))
    assert found["gpu_xid_events_total"] == 2
    assert found["gpu_info"] == 1


def test_a_device_that_was_never_read_is_down_and_has_no_age() -> None:
    found = values(render(GpuSnapshot(100.0, devices=(replace(DEVICE, sample=None),)), 10))

    assert found.keys() == {"gpu_info", "gpu_up", "gpu_values_dropped_total", "gpu_xid_events_total"}
    assert found["gpu_up"] == 0


def test_a_lost_device_is_down_however_fresh_its_sample() -> None:
    found = values(render(GpuSnapshot(100.0, devices=(replace(DEVICE, lost=True),)), 10))

    assert found["gpu_up"] == 0
    assert "gpu_power_watts" not in found


def test_scrapes_wait_for_the_first_snapshot_until_a_time_and_no_longer() -> None:
    source = Source(GpuSnapshot(100.0, devices=(DEVICE,)))
    collect = collector(source)
    collect()
    collect()

    assert source.waited == [3, 0]


def test_without_devices_the_reason_is_raised() -> None:
    with pytest.raises(NoData, match="no driver"):
        collector(Source(GpuSnapshot(0.0, error=NoData("no driver"))))()
    with pytest.raises(ReadError, match="hangs"):
        collector(Source(GpuSnapshot(0.0)))()


def test_a_driver_that_failed_is_a_failure_that_shows_what_is_known() -> None:
    lost = replace(DEVICE, lost=True)
    with pytest.raises(PartialRead, match="NVML: Unknown Error") as raised:
        collector(Source(GpuSnapshot(100.0, devices=(lost,), error=ReadError("NVML: Unknown Error"))))()

    assert values(raised.value.families)["gpu_up"] == 0
