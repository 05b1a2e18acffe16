"""Puts the node exporter together from its settings and sources."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector
from structlog.typing import FilteringBoundLogger

from exporters import __version__
from exporters.catalog import PRODUCT_FAMILIES, Collector
from exporters.deadline import TimeLimited
from exporters.families import FamilySet
from exporters.gpu.collector import GpuCollector
from exporters.gpu.nvml import NvmlReader
from exporters.guard import Guard, Read
from exporters.host import host_collectors
from exporters.host.procfs import ProcFs
from exporters.host.psutil_reader import PsutilReader
from exporters.settings import NodeSettings

# Readings that wait for hardware: a driver or a disk that hangs must not hang the page.
_CAN_HANG = frozenset({Collector.GPU, Collector.FILESYSTEM})


def node_guard(settings: NodeSettings, log: FilteringBoundLogger) -> Guard:
    """Guard the chosen collectors of this machine."""
    sources: Mapping[Collector, Read] = {
        **host_collectors(PsutilReader(), ProcFs(Path("/proc"), os.sysconf("SC_PAGE_SIZE"))),
        Collector.GPU: GpuCollector(NvmlReader(), log=log),
    }
    timer = time.perf_counter
    collectors = {
        name: _limited(read, settings.collector_timeout_seconds, timer) if name in _CAN_HANG else read
        for name, read in sources.items()
        if name in settings.collectors
    }
    return Guard(collectors, timer=timer, log=log)


def _limited(read: Read, seconds: float, timer: Callable[[], float]) -> Read:
    return TimeLimited(read, limit_seconds=seconds, timer=timer)


class _BuildInfo:
    """Which exporter this is."""

    def collect(self) -> Iterator[Metric]:
        out = FamilySet(PRODUCT_FAMILIES)
        out.info("optiinfra_exporter_build_info", __version__, platform.python_version())
        yield from out.metrics()


def about_exporter() -> CollectorRegistry:
    """Give the metrics about the exporter's own process and build."""
    # auto_describe would run every collector once at registration.
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_BuildInfo())
    return registry
