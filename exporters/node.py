"""Puts the node exporter together from its settings and sources."""

import contextlib
import platform
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
from structlog.typing import FilteringBoundLogger

from exporters import __version__
from exporters.catalog import PRODUCT_FAMILIES, Collector
from exporters.deadline import TimeLimited
from exporters.families import FamilySet
from exporters.gpu.collector import GpuCollector
from exporters.gpu.sampler import GpuSampler
from exporters.guard import Guard, Read
from exporters.host import host_collectors
from exporters.host.periodic import Periodic
from exporters.host.process import EngineProcesses
from exporters.host.tree import HostTree
from exporters.settings import DemoSettings, GpuSettings, HostSettings, NodeSettings
from exporters.synthetic.gpus import SyntheticGpus

# Readings that wait for hardware: a disk that hangs, or a driver that is asked for its link's speed, must not hang the
# page.
_CAN_HANG = frozenset({Collector.FILESYSTEM, Collector.NETWORK})
# A third of the usual scrape interval: fine enough for a busiest thread that changes, and little work.
_PROCESS_SAMPLE_SECONDS = 5.0


@contextlib.contextmanager
def node_guard(
    settings: NodeSettings,
    host: HostSettings,
    gpu: GpuSettings,
    log: FilteringBoundLogger,
    demo: DemoSettings | None = None,
) -> Iterator[Guard]:
    """Guard the chosen collectors of this machine, and sample in the background while the context lasts.

    With `demo`, synthetic GPUs stand in for the machine's.
    """
    timer = time.perf_counter
    tree = HostTree.of_this_machine(host.procfs, host.sysfs, host.rootfs)
    processes = Periodic(
        EngineProcesses(tree, host.engine_processes).sample,
        interval_seconds=_PROCESS_SAMPLE_SECONDS,
        first_seconds=settings.collector_timeout_seconds,
        timer=timer,
    )
    gpus = _synthetic(demo, gpu) if demo else GpuSampler(gpu, timer=time.monotonic, log=log)
    sources: Mapping[Collector, Read] = {
        **host_collectors(tree),
        Collector.PROCESS: processes,
        Collector.GPU: GpuCollector(
            gpus,
            stale_seconds=gpu.stale_seconds,
            first_seconds=settings.collector_timeout_seconds,
            timer=time.monotonic,
        ),
    }
    collectors = {
        name: _limited(read, settings.collector_timeout_seconds, timer) if name in _CAN_HANG else read
        for name, read in sources.items()
        if name in settings.collectors
    }
    if Collector.PROCESS in settings.collectors:
        processes.start()
    if Collector.GPU in settings.collectors:
        gpus.start()
    try:
        yield Guard(collectors, timer=timer, log=log)
    finally:
        processes.stop()
        if Collector.GPU in settings.collectors:
            gpus.stop()


def _synthetic(demo: DemoSettings, gpu: GpuSettings) -> SyntheticGpus:
    return SyntheticGpus(
        demo.scenario,
        seed=demo.seed,
        interval_seconds=gpu.interval_seconds,
        processes=gpu.processes,
        timer=time.monotonic,
    )


def _limited(read: Read, seconds: float, timer: Callable[[], float]) -> Read:
    return TimeLimited(read, limit_seconds=seconds, timer=timer)


class _Itself:
    """Which exporter this is, and whether its GPUs are synthetic."""

    def __init__(self, *, demo: bool) -> None:
        self._demo = demo

    def collect(self) -> Iterator[Metric]:
        out = FamilySet(PRODUCT_FAMILIES)
        out.info("optiinfra_exporter_build_info", __version__, platform.python_version())
        out.add("optiinfra_exporter_demo", self._demo)
        yield from out.metrics()


def about_exporter(*, demo: bool = False) -> CollectorRegistry:
    """Give the metrics about the exporter's own process and build."""
    # auto_describe would run every collector once at registration.
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_Itself(demo=demo))
    return registry
