"""Engine processes: CPU time, the busiest thread, memory, open files, limits, by configured pattern."""

from collections.abc import Iterable, Sequence

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.patterns import EnginePattern
from exporters.host.process_files import Process, read_process
from exporters.host.process_finder import ProcessFinder
from exporters.host.process_usage import ProcessUsage, control_groups
from exporters.host.tree import HostTree


class EngineProcesses:
    """Samples the processes that match the patterns.

    It keeps what it has seen, and is not safe to call from several threads at once: one thread samples at a fixed
    cadence (`exporters.host.periodic`), and scrapes get the last sample.
    """

    def __init__(self, tree: HostTree, patterns: Sequence[EnginePattern]) -> None:
        """The first pattern that matches names the process."""
        self._tree = tree
        self._finder = ProcessFinder(tree, patterns)
        self._usage = ProcessUsage()

    def sample(self) -> FamilySet:
        """Read the processes that match now. Raises `NoData` where none does or none can be seen."""
        now = float(self._tree.proc("uptime").split()[0]) * self._tree.ticks_per_second
        named = self._by_name()
        self._usage.note(now, named)
        if not named:
            raise NoData("no process matches the patterns of --engine-process")
        out = FamilySet(HOST_FAMILIES)
        for name, processes in named.items():
            self._add_usage(out, name)
            self._add_sizes(out, name, processes)
            self._add_limits(out, name, processes)
        return out

    def _by_name(self) -> dict[str, list[Process]]:
        named: dict[str, list[Process]] = {}
        for pid, name in self._finder.find().items():
            process = read_process(self._tree, pid)
            if process is not None:
                named.setdefault(name, []).append(process)
        return named

    def _add_usage(self, out: FamilySet, name: str) -> None:
        used, ticks = self._usage.of(name), self._tree.ticks_per_second
        out.add("host_process_cpu_seconds_total", used.user / ticks, name, "user")
        out.add("host_process_cpu_seconds_total", used.system / ticks, name, "system")
        out.add("host_process_busiest_thread_cpu_seconds_total", used.busiest_thread / ticks, name)

    def _add_sizes(self, out: FamilySet, name: str, processes: Sequence[Process]) -> None:
        out.add("host_process_instances", len(processes), name)
        out.add("host_process_threads", sum(len(process.threads) for process in processes), name)
        resident = sum(process.resident_pages for process in processes)
        out.add("host_process_resident_memory_bytes", resident * self._tree.page_size, name)
        out.add("host_process_open_fds", _sum_if_known(process.open_fds for process in processes), name)

    def _add_limits(self, out: FamilySet, name: str, processes: Sequence[Process]) -> None:
        groups = control_groups(processes).values()
        if groups:
            used = self._usage.of(name)
            out.add("host_process_cpu_periods_total", used.periods, name)
            out.add("host_process_cpu_throttled_periods_total", used.throttled, name)
        cpus = [group.cpus for group in groups if group.cpus is not None]
        out.add("host_process_cpu_limit", min(cpus, default=None), name)
        memory = [group.memory_bytes for group in groups if group.memory_bytes is not None]
        out.add("host_process_memory_limit_bytes", min(memory, default=None), name)


def _sum_if_known(values: Iterable[int | None]) -> int | None:
    """Give the sum, or None when a part of it is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
