"""Host collectors: one file a subject."""

from collections.abc import Mapping
from functools import partial

from exporters.catalog import Collector
from exporters.guard import Read
from exporters.host.cpu import cpu
from exporters.host.descriptors import descriptors
from exporters.host.disk import disk
from exporters.host.filesystem import filesystem
from exporters.host.load import load
from exporters.host.memory import memory
from exporters.host.network import network
from exporters.host.numa import numa
from exporters.host.paging import paging
from exporters.host.pressure import pressure
from exporters.host.tcp import tcp
from exporters.host.tree import HostTree


def host_collectors(tree: HostTree) -> Mapping[Collector, Read]:
    """Bind every host collector that reads on the scrape to the machine.

    Engine processes are sampled between scrapes instead: `exporters.host.process`, `exporters.host.periodic`.
    """
    return {
        Collector.CPU: partial(cpu, tree),
        Collector.LOAD: partial(load, tree),
        Collector.MEMORY: partial(memory, tree),
        Collector.PAGING: partial(paging, tree),
        Collector.DISK: partial(disk, tree),
        Collector.FILESYSTEM: partial(filesystem, tree),
        Collector.NETWORK: partial(network, tree),
        Collector.TCP: partial(tcp, tree),
        Collector.PRESSURE: partial(pressure, tree),
        Collector.DESCRIPTORS: partial(descriptors, tree),
        Collector.NUMA: partial(numa, tree),
    }
