"""Host collectors on recorded readings, and psutil on this machine."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporters.catalog import Collector
from exporters.errors import NoData, ReadError
from exporters.host import host_collectors
from exporters.host.procfs import ProcFs
from exporters.host.psutil_reader import PsutilReader
from exporters.host.reader import Filesystem, HostReader

ValueOf = Callable[..., float | None]


@pytest.fixture(name="read")
def _read(host: HostReader, proc: ProcFs) -> Callable[[Collector], list[Any]]:
    collectors = host_collectors(host, proc)
    return lambda name: collectors[name]().metrics()


def test_the_modes_of_a_cpu_leave_out_guest_time_so_that_they_add_up(read: Callable[..., Any]) -> None:
    modes = {s.labels["mode"] for metric in read(Collector.CPU) for s in metric.samples if "mode" in s.labels}

    assert modes == {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}


def test_partitions_and_virtual_devices_are_no_disks(read: Callable[..., Any]) -> None:
    devices = {s.labels["device"] for metric in read(Collector.DISK) for s in metric.samples}

    assert devices == {"vda", "nvme0n1", "dm-0"}


def test_the_mount_that_hides_another_is_the_one_that_counts(read: Callable[..., Any], value_of: ValueOf) -> None:
    metrics = read(Collector.FILESYSTEM)

    labels = {"mountpoint": "/models", "device": "/dev/nvme0n1p1", "fstype": "xfs"}
    assert value_of(metrics, "host_filesystem_size_bytes", **labels) == 3840755982336
    assert {s.labels["mountpoint"] for metric in metrics for s in metric.samples} == {"/", "/models"}


def test_container_links_are_no_interfaces(read: Callable[..., Any]) -> None:
    names = {s.labels["interface"] for metric in read(Collector.NETWORK) for s in metric.samples}

    assert names == {"lo", "eth0"}


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_swap_traffic_is_in_bytes_of_this_machines_pages(
    host: HostReader, proc: ProcFs, value_of: ValueOf, page_size: int
) -> None:
    metrics = host_collectors(host, ProcFs(proc.root, page_size))[Collector.SWAP]().metrics()

    assert value_of(metrics, "host_swap_in_bytes_total") == 12 * page_size
    assert value_of(metrics, "host_swap_out_bytes_total") == 345 * page_size


def test_a_kernel_without_page_counters_gives_no_swap_traffic_rather_than_none_moved(
    host: HostReader, tmp_path: Path, value_of: ValueOf
) -> None:
    collectors = host_collectors(host, ProcFs(tmp_path, page_size=4096))
    metrics = [*collectors[Collector.SWAP]().metrics(), *collectors[Collector.MEMORY]().metrics()]

    assert value_of(metrics, "host_swap_in_bytes_total") is None
    assert value_of(metrics, "host_major_page_faults_total") is None
    assert value_of(metrics, "host_swap_free_bytes") == 8589668352


def test_pressure_is_in_seconds_and_leaves_out_the_undefined_full_of_cpu(
    read: Callable[..., Any], value_of: ValueOf
) -> None:
    metrics = read(Collector.PRESSURE)

    assert value_of(metrics, "host_pressure_seconds_total", resource="cpu", kind="some") == 91.643944
    assert value_of(metrics, "host_pressure_seconds_total", resource="cpu", kind="full") is None
    assert value_of(metrics, "host_pressure_seconds_total", resource="memory", kind="full") == 0.000005


def test_a_kernel_without_pressure_information_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="CONFIG_PSI"):
        ProcFs(tmp_path, page_size=4096).pressures()


def test_a_pressure_line_in_another_format_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "io").write_text("some avg10=0.00 total=?\n")

    with pytest.raises(ReadError, match=r"pressure/io: expected .* found 'some avg10=0.00 total=\?'"):
        ProcFs(tmp_path, page_size=4096).pressures()


def test_a_machine_without_a_disk_or_a_mount_has_no_data(host: HostReader, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Filesystem("/snap/core/1", "/dev/loop0", "squashfs", 66191360, 0)
    monkeypatch.setattr(host, "filesystems", lambda: [image])
    monkeypatch.setattr(host, "disks", dict)
    collectors = host_collectors(host, ProcFs(Path("/nowhere"), 4096))

    for name in (Collector.FILESYSTEM, Collector.DISK):
        with pytest.raises(NoData):
            collectors[name]()


class TestPsutilOnThisMachine:
    """psutil's figures against the kernel's own."""

    def test_memory_and_swap_are_what_the_kernel_says(self) -> None:
        reader = PsutilReader()
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        kernel = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}

        assert reader.memory().total == kernel["MemTotal"]
        assert reader.memory().available == pytest.approx(kernel["MemAvailable"], rel=0.5)
        assert reader.swap().total == kernel["SwapTotal"]

    def test_every_online_cpu_is_there(self) -> None:
        assert len(PsutilReader().cpu_seconds()) == os.cpu_count()

    def test_counters_only_grow(self) -> None:
        reader = PsutilReader()
        before, after = reader.interfaces()["lo"], reader.interfaces()["lo"]

        assert after.receive.bytes >= before.receive.bytes

    def test_the_boot_time_is_the_kernels(self) -> None:
        stat = Path("/proc/stat").read_text().splitlines()
        [boot] = [float(line.split()[1]) for line in stat if line.startswith("btime")]

        assert PsutilReader().boot_time() == pytest.approx(boot, abs=1)
