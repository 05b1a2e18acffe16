"""Host collectors on recorded kernel files, and on this machine."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporters.catalog import Collector
from exporters.errors import NoData, ReadError
from exporters.host import host_collectors
from exporters.host.tree import HostTree

ValueOf = Callable[..., float | None]
Edit = Callable[[Mapping[str, str | None]], HostTree]


@pytest.fixture(name="read")
def _read(tree: HostTree) -> Callable[..., list[Any]]:
    return lambda name, other=None: host_collectors(other or tree)[name]().metrics()


@pytest.fixture(name="edited")
def _edited(tree: HostTree, tmp_path: Path) -> Edit:
    """The recorded machine with files replaced (by text), or left out (None); names begin with `proc/` or `sys/`."""
    other = replace(tree, procfs=tmp_path / "proc", sysfs=tmp_path / "sys")
    shutil.copytree(tree.procfs, other.procfs)
    shutil.copytree(tree.sysfs, other.sysfs)

    def edit(files: Mapping[str, str | None]) -> HostTree:
        for name, text in files.items():
            path = tmp_path / name
            if text is not None:
                path.write_text(text, encoding="utf-8")
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return other

    return edit


def labels_of(metrics: list[Any], label: str) -> set[str]:
    return {sample.labels[label] for metric in metrics for sample in metric.samples if label in sample.labels}


def test_the_modes_of_a_cpu_leave_out_guest_time_so_that_they_add_up(read: Callable[..., Any]) -> None:
    modes = labels_of(read(Collector.CPU), "mode")

    assert modes == {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}


def test_cpu_time_is_in_seconds_whatever_the_kernels_tick(
    read: Callable[..., Any], tree: HostTree, value_of: ValueOf
) -> None:
    for ticks, seconds in ((100, 86.11), (1000, 8.611)):
        metrics = read(Collector.CPU, replace(tree, ticks_per_second=ticks))
        assert value_of(metrics, "host_cpu_seconds_total", cpu="0", mode="user") == pytest.approx(seconds)


def test_the_total_of_the_interrupts_is_taken_and_not_that_of_one_line(
    read: Callable[..., Any], value_of: ValueOf
) -> None:
    metrics = read(Collector.CPU)

    assert value_of(metrics, "host_interrupts_total") == 3528391
    assert value_of(metrics, "host_context_switches_total") == 6401277
    assert value_of(metrics, "host_boot_time_seconds") == 1795231259
    assert value_of(metrics, "host_processes_running") == 3


def test_partitions_and_virtual_devices_are_no_disks(read: Callable[..., Any]) -> None:
    assert labels_of(read(Collector.DISK), "device") == {"vda", "nvme0n1", "dm-0"}


def test_disk_times_are_in_seconds_and_sectors_in_bytes(read: Callable[..., Any], value_of: ValueOf) -> None:
    metrics = read(Collector.DISK)

    assert value_of(metrics, "host_disk_read_bytes_total", device="vda") == 7946802 * 512
    assert value_of(metrics, "host_disk_read_time_seconds_total", device="vda") == 265.12
    assert value_of(metrics, "host_disk_write_time_seconds_total", device="vda") == 61.23
    assert value_of(metrics, "host_disk_io_time_weighted_seconds_total", device="vda") == 341.255
    assert value_of(metrics, "host_disk_requests_in_flight", device="nvme0n1") == 3
    assert value_of(metrics, "host_disk_discard_time_seconds_total", device="vda") == 10.988
    assert value_of(metrics, "host_disk_flush_time_seconds_total", device="vda") == 1.52


def test_a_kernel_that_counts_no_discards_and_flushes_gives_none_rather_than_zero(
    read: Callable[..., Any], edited: Edit, value_of: ValueOf
) -> None:
    old = edited(
        {"proc/diskstats": " 254 0 vda 188641 12288 7946802 265120 52571 39331 7975984 61230 0 43760 341255\n"}
    )
    metrics = read(Collector.DISK, old)

    assert value_of(metrics, "host_disk_io_time_weighted_seconds_total", device="vda") == 341.255
    assert {metric.name for metric in metrics if "discard" in metric.name or "flush" in metric.name} == set()


def test_the_mount_that_hides_another_is_the_one_that_counts(read: Callable[..., Any], value_of: ValueOf) -> None:
    metrics = read(Collector.FILESYSTEM)

    labels = {"mountpoint": "/models", "device": "/dev/nvme0n1p1", "fstype": "xfs"}
    assert value_of(metrics, "host_filesystem_size_bytes", **labels) == 3840755982336
    assert labels_of(metrics, "mountpoint") == {"/", "/models", "/mnt/with space"}


def test_a_mount_point_of_any_bytes_is_a_label_that_can_be_encoded(read: Callable[..., Any], edited: Edit) -> None:
    other = edited({"proc/1/mounts": ""})
    (other.procfs / "1" / "mounts").write_bytes(b"/dev/vdb /caf\xe9 ext4 rw 0 0\n")
    (other.rootfs / os.fsdecode(b"caf\xe9")).mkdir()

    assert labels_of(read(Collector.FILESYSTEM, other), "mountpoint") == {"/caf\ufffd"}


def test_without_a_look_at_process_1_mounts_and_interfaces_are_the_exporters_own(
    read: Callable[..., Any], edited: Edit
) -> None:
    hidden = edited({"proc/1": None, "proc/mounts": "/dev/vda / ext4 rw 0 0\n"})

    assert labels_of(read(Collector.FILESYSTEM, hidden), "mountpoint") == {"/"}
    assert labels_of(read(Collector.NETWORK, hidden), "interface") == {"lo", "eth0", "eth1"}


def test_the_network_of_process_1_comes_before_the_readers_own(read: Callable[..., Any], edited: Edit) -> None:
    other = edited({})
    (other.procfs / "1" / "net").mkdir()
    (other.procfs / "1" / "net" / "dev").write_text("a heading\nof two lines\n  ib0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n")

    assert labels_of(read(Collector.NETWORK, other), "interface") == {"ib0"}


def test_container_links_are_no_interfaces(read: Callable[..., Any]) -> None:
    assert labels_of(read(Collector.NETWORK), "interface") == {"lo", "eth0", "eth1"}


def test_a_link_says_speed_and_state_only_where_they_are_known(read: Callable[..., Any], value_of: ValueOf) -> None:
    metrics = read(Collector.NETWORK)

    speed, up = "host_network_speed_bytes_per_second", "host_network_up"
    assert value_of(metrics, speed, interface="eth0") == 1.25e9  # 10 Gbit/s
    assert value_of(metrics, speed, interface="eth1") is None  # -1: it is down
    assert value_of(metrics, speed, interface="lo") is None
    assert [value_of(metrics, up, interface=name) for name in ("eth0", "eth1", "lo")] == [1, 0, None]
    assert value_of(metrics, "host_network_carrier", interface="eth1") == 0


def test_a_driver_that_cannot_answer_leaves_its_links_counters(
    read: Callable[..., Any], edited: Edit, value_of: ValueOf
) -> None:
    broken = edited({"sys/class/net/eth0/speed": None})
    (broken.sysfs / "class" / "net" / "eth0" / "speed").mkdir()  # reading it is an error
    metrics = read(Collector.NETWORK, broken)

    assert value_of(metrics, "host_network_speed_bytes_per_second", interface="eth0") is None
    assert value_of(metrics, "host_network_up", interface="eth0") == 1
    assert value_of(metrics, "host_network_receive_packets_total", interface="eth0") == 10181000


def test_tcp_counters_are_found_by_name_whatever_the_order_of_the_columns(
    read: Callable[..., Any], edited: Edit, value_of: ValueOf
) -> None:
    files = {
        "proc/net/snmp": "Udp: OutSegs\nUdp: 9\nTcp: RetransSegs MaxConn OutSegs\nTcp: 3 -1 70\n",
        "proc/net/netstat": "TcpExt: ListenDrops\nTcpExt: 4\n",
    }
    metrics = read(Collector.TCP, edited(files))

    assert value_of(metrics, "host_tcp_segments_sent_total") == 70
    assert value_of(metrics, "host_tcp_segments_retransmitted_total") == 3
    assert value_of(metrics, "host_tcp_listen_drops_total") == 4
    assert value_of(metrics, "host_tcp_listen_overflows_total") is None


@pytest.mark.parametrize("page_size", [4096, 65536])
def test_swap_traffic_is_in_bytes_of_this_machines_pages(
    read: Callable[..., Any], tree: HostTree, value_of: ValueOf, page_size: int
) -> None:
    metrics = read(Collector.PAGING, replace(tree, page_size=page_size))

    assert value_of(metrics, "host_swap_in_bytes_total") == 12 * page_size
    assert value_of(metrics, "host_swap_out_bytes_total") == 345 * page_size


def test_a_kernel_without_oom_counter_gives_no_kills_rather_than_none(
    read: Callable[..., Any], edited: Edit, value_of: ValueOf
) -> None:
    metrics = read(Collector.PAGING, edited({"proc/vmstat": "pgfault 70\npgmajfault 7\n"}))

    assert value_of(metrics, "host_page_faults_total") == 70
    assert value_of(metrics, "host_oom_kills_total") is None
    assert value_of(metrics, "host_swap_in_bytes_total") is None


def test_memory_that_the_kernel_does_not_estimate_is_absent(
    read: Callable[..., Any], edited: Edit, value_of: ValueOf
) -> None:
    metrics = read(Collector.MEMORY, edited({"proc/meminfo": "MemTotal:  24684096 kB\nMemFree:  23422504 kB\n"}))

    assert value_of(metrics, "host_memory_total_bytes") == 24684096 * 1024
    assert value_of(metrics, "host_memory_available_bytes") is None
    assert value_of(metrics, "host_swap_total_bytes") is None


def test_pressure_is_in_seconds_and_leaves_out_the_undefined_full_of_cpu(
    read: Callable[..., Any], value_of: ValueOf
) -> None:
    metrics = read(Collector.PRESSURE)

    assert value_of(metrics, "host_pressure_seconds_total", resource="cpu", kind="some") == 91.643944
    assert value_of(metrics, "host_pressure_seconds_total", resource="cpu", kind="full") is None
    assert value_of(metrics, "host_pressure_seconds_total", resource="memory", kind="full") == 0.000005


def test_each_numa_node_has_its_own_memory(read: Callable[..., Any], value_of: ValueOf) -> None:
    metrics = read(Collector.NUMA)

    assert value_of(metrics, "host_numa_memory_total_bytes", numa_node="1") == 12342048 * 1024
    assert value_of(metrics, "host_numa_misses_total", numa_node="1") == 12
    assert value_of(metrics, "host_numa_foreign_total", numa_node="0") == 12


@pytest.mark.parametrize(
    ("collector", "missing", "why"),
    [
        (Collector.PRESSURE, "proc/pressure", "CONFIG_PSI"),
        (Collector.PAGING, "proc/vmstat", "CONFIG_VM_EVENT_COUNTERS"),
        (Collector.NUMA, "sys/devices", "CONFIG_NUMA"),
        (Collector.DISK, "proc/diskstats", "no disk"),
    ],
)
def test_a_kernel_without_a_feature_has_no_data_and_says_why(
    read: Callable[..., Any], edited: Edit, collector: Collector, missing: str, why: str
) -> None:
    with pytest.raises(NoData, match=why):
        read(collector, edited({missing: None}))


def test_a_machine_without_a_disk_or_a_mount_has_no_data(read: Callable[..., Any], edited: Edit) -> None:
    bare = edited(
        {"proc/diskstats": "   7 0 loop0 0 0\n", "proc/1/mounts": "/dev/loop0 /snap/core/1 squashfs ro 0 0\n"}
    )

    for name in (Collector.FILESYSTEM, Collector.DISK):
        with pytest.raises(NoData):
            read(name, bare)


@pytest.mark.parametrize(
    ("collector", "file", "why"),
    [
        (Collector.PRESSURE, ("proc/pressure/io", "some avg10=0.00 total=?\n"), r"expected .* found 'some"),
        (Collector.CPU, ("proc/stat", "cpu0 1 2 x\n"), "'x'"),
        (Collector.LOAD, ("proc/loadavg", "0.1 0.2\n"), "shorter"),
        (Collector.MEMORY, ("proc/meminfo", "MemTotal:\n"), "out of range"),
        (Collector.NETWORK, ("proc/net/dev", "\n\n eth0: 1 2\n"), "shorter"),
        (Collector.TCP, ("proc/net/snmp", "Tcp: OutSegs\nUdp: 1\n"), "the values of Tcp do not follow"),
        (Collector.DESCRIPTORS, ("proc/sys/fs/file-nr", "1577 0\n"), "not enough values"),
        (Collector.NUMA, ("sys/devices/system/node/node0/meminfo", "Node 0\n"), "not enough values"),
    ],
)  # fmt: skip
def test_a_file_in_another_format_is_an_error_that_names_it(
    read: Callable[..., Any], edited: Edit, collector: Collector, file: tuple[str, str], why: str
) -> None:
    name, text = file
    with pytest.raises(ReadError, match=f"{name.partition('/')[2]}: not in the kernel's format: .*{why}"):
        read(collector, edited({name: text}))


# Imported first: who is nobody may not be allowed to read this interpreter's files.
UNPRIVILEGED = """
import os
from exporters.errors import NoData
from exporters.host import host_collectors
from exporters.host.tree import HostTree
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for name, read in host_collectors(HostTree.of_this_machine()).items():
    try:
        assert read().metrics(), name
    except NoData:
        pass
"""


def test_no_collector_needs_privileges() -> None:
    command = [sys.executable, "-c", UNPRIVILEGED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


class TestThisMachine:
    """Our figures against the kernel's own, read another way."""

    @pytest.fixture(name="here")
    def _here(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Collector], list[Any]]:
        monkeypatch.undo()  # the recorded machine's statvfs
        collectors = host_collectors(HostTree.of_this_machine())
        return lambda name: collectors[name]().metrics()

    def test_every_online_cpu_is_there(self, here: Callable[..., Any], value_of: ValueOf) -> None:
        assert value_of(here(Collector.CPU), "host_cpus") == os.cpu_count()

    def test_memory_is_what_sysconf_says(self, here: Callable[..., Any], value_of: ValueOf) -> None:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

        assert value_of(here(Collector.MEMORY), "host_memory_total_bytes") == total

    def test_the_load_is_what_getloadavg_says(self, here: Callable[..., Any], value_of: ValueOf) -> None:
        assert value_of(here(Collector.LOAD), "host_load15") == pytest.approx(os.getloadavg()[2], abs=0.1)

    def test_counters_only_grow(self, here: Callable[..., Any], value_of: ValueOf) -> None:
        before, after = (
            value_of(here(Collector.NETWORK), "host_network_receive_bytes_total", interface="lo") for _ in range(2)
        )

        assert before is not None
        assert after is not None
        assert after >= before

    def test_every_collector_reads_or_says_that_there_is_nothing(self, here: Callable[..., Any]) -> None:
        for name in host_collectors(HostTree.of_this_machine()):
            with contextlib.suppress(NoData):
                assert here(name), name
