"""Host collectors: one file a subject."""

from collections.abc import Mapping
from functools import partial

from exporters.catalog import Collector
from exporters.guard import Read
from exporters.host.boot import boot
from exporters.host.cpu import cpu
from exporters.host.disk import disk
from exporters.host.filesystem import filesystem
from exporters.host.load import load
from exporters.host.memory import memory
from exporters.host.network import network
from exporters.host.pressure import pressure
from exporters.host.procfs import ProcFs
from exporters.host.reader import HostReader
from exporters.host.swap import swap


def host_collectors(reader: HostReader, proc: ProcFs) -> Mapping[Collector, Read]:
    """Bind every host collector to its source."""
    return {
        Collector.CPU: partial(cpu, reader),
        Collector.LOAD: partial(load, reader),
        Collector.MEMORY: partial(memory, reader, proc),
        Collector.SWAP: partial(swap, reader, proc),
        Collector.DISK: partial(disk, reader),
        Collector.FILESYSTEM: partial(filesystem, reader),
        Collector.NETWORK: partial(network, reader),
        Collector.PRESSURE: partial(pressure, proc),
        Collector.BOOT: partial(boot, reader),
    }
