"""A recorded node: its kernel files, and an H100 under load."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger

from exporters.catalog import ClockEventReason
from exporters.gpu.reader import Device, Figures, GpuSnapshot, Identity
from exporters.host.tree import HostTree

DATA = Path(__file__).parents[2] / "data" / "node_exporter"


class RecordedGpu:
    """A `GpuReader` that gives what it was made with, or raises it."""

    def __init__(self, *answers: GpuSnapshot | Exception) -> None:
        self._answers = list(answers)

    def read(self) -> GpuSnapshot:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(name="host_page_file")
def _host_page_file() -> Path:
    return DATA / "host.prom"


@pytest.fixture(name="tree")
def _tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostTree:
    """The recorded kernel files, and directories of fixed sizes where its file systems are mounted."""
    rootfs = tmp_path / "rootfs"
    for directory in ("models", "mnt/with space", "snap/core/1", "etc"):
        (rootfs / directory).mkdir(parents=True)
    (rootfs / "etc" / "hosts").touch()
    sizes = {rootfs: (66053021, 20133274), rootfs / "models": (937684566, 468842283)}

    def statvfs(path: Path) -> os.statvfs_result:
        blocks, available = sizes.get(path, (1000, 250))
        return os.statvfs_result((4096, 4096, blocks, available, available, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    return HostTree(DATA / "proc", DATA / "sys", rootfs, page_size=4096, ticks_per_second=100)


@pytest.fixture(name="h100")
def _h100() -> Device:
    return Device(
        index=0,
        uuid="GPU-00000000-0000-0000-0000-000000000000",
        identity=Identity("NVIDIA H100 80GB HBM3", "9.0", "00000000:00:09.0"),
        figures=Figures(
            utilization_ratio=1.0,
            memory_busy_ratio=0.11,
            memory_total_bytes=85520809984,
            memory_used_bytes=20780679168,
            memory_free_bytes=64237862912,
            memory_reserved_bytes=502267904,
            power_watts=631.95,
            power_limit_watts=700.0,
            energy_joules=123456789.012,
            temperature_celsius=59,
            sm_clock_hertz=1980e6,
            sm_clock_max_hertz=1980e6,
            memory_clock_hertz=2619e6,
            memory_clock_max_hertz=2619e6,
            ecc_corrected_errors=3,
            ecc_uncorrected_errors=0,
            pcie_replays=1,
            processes=3,
        ),
        clock_events={reason: reason is ClockEventReason.SW_POWER_CAP for reason in ClockEventReason},
    )


@pytest.fixture(name="snapshot")
def _snapshot(h100: Device) -> GpuSnapshot:
    return GpuSnapshot(driver_version="590.48.01", cuda_version="13.1", devices=(h100,))


@pytest.fixture(name="gpu_of")
def _gpu_of() -> Callable[..., RecordedGpu]:
    return RecordedGpu


@pytest.fixture(name="timer")
def _timer() -> Callable[[], float]:
    """Seconds that go up by a quarter at every look."""
    now = iter(tick / 4 for tick in range(10_000))
    return lambda: next(now)


@pytest.fixture(name="events")
def _events() -> list[Any]:
    """What was logged, newest last."""
    return []


@pytest.fixture(name="log")
def _log(events: list[Any]) -> FilteringBoundLogger:
    capture = LogCapture()
    capture.entries = events
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return logger


@pytest.fixture(name="value_of")
def _value_of() -> Callable[..., float | None]:
    """Value of the one sample with a name and labels; None where there is none."""

    def find(metrics: Iterable[Any], name: str, /, **labels: str) -> float | None:
        found = [
            sample.value
            for metric in metrics
            for sample in metric.samples
            if sample.name == name and sample.labels == labels
        ]
        assert len(found) < 2, f"{name}{labels} is there {len(found)} times"
        return found[0] if found else None

    return find
