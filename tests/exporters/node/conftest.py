"""A recorded node: its kernel files."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from exporters.host.tree import HostTree

DATA = Path(__file__).parents[2] / "data" / "node_exporter"


@pytest.fixture(name="host_page_file")
def _host_page_file() -> Path:
    return DATA / "host.prom"


@pytest.fixture(name="tree")
def _tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostTree:
    """The recorded kernel files, and directories of fixed sizes where its file systems are mounted."""
    rootfs = tmp_path / "rootfs"
    for directory in ("models", "mnt/with space", "snap/core/1", "etc", "var/lib/kubelet/pods/1/volumes/2"):
        (rootfs / directory).mkdir(parents=True)
    (rootfs / "etc" / "hosts").touch()
    sizes = {rootfs: (66053021, 20133274), rootfs / "models": (937684566, 468842283)}

    def statvfs(path: Path) -> os.statvfs_result:
        blocks, available = sizes.get(path, (1000, 250))
        return os.statvfs_result((4096, 4096, blocks, available, available, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    return HostTree(DATA / "proc", DATA / "sys", rootfs, page_size=4096, ticks_per_second=100)


@pytest.fixture(name="timer")
def _timer() -> Callable[[], float]:
    """Seconds that go up by a quarter at every look."""
    now = iter(tick / 4 for tick in range(10_000))
    return lambda: next(now)


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
