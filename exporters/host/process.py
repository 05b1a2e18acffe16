"""Engine processes: CPU time, the busiest thread, memory, open files, by configured pattern."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.patterns import EnginePattern, name_of
from exporters.host.process_files import Process, Task, commands, read_process
from exporters.host.tree import HostTree


@dataclass(slots=True)
class _Used:
    """CPU time that a group used while it was watched, in ticks."""

    user: int = 0
    system: int = 0
    busiest_thread: int = 0


_Key: TypeAlias = tuple[bool, int, int]
"""Whether it is a whole process (its main thread has the same number), its number, its start."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """What is remembered from one sample to the next; `at` is its time in ticks since boot."""

    at: float | None = None
    tasks: dict[_Key, Task] = field(default_factory=dict)
    used: dict[str, _Used] = field(default_factory=dict)


class EngineProcesses:
    """Samples the processes that match the patterns.

    A group's CPU counter may not fall when one of its processes ends, nor leap when the exporter starts beside an old
    engine; so it adds up what each process used from sample to sample. The busiest thread is found anew in each
    interval, so its counter is the sum of the maxima: its rate is the share of time that the busiest thread of the
    moment ran, at most 1, and near 1 also when that role moves from thread to thread. Exact for the interval at which
    it is sampled, hence the fixed cadence (`exporters.host.periodic`) rather than one sample a scrape.

    Not safe to call from several threads at once: one thread samples.
    """

    def __init__(self, tree: HostTree, patterns: Sequence[EnginePattern]) -> None:
        """The first pattern that matches names the process."""
        self._tree = tree
        self._patterns = patterns
        self._watched = _Watched()

    def sample(self) -> FamilySet:
        """Read the processes that match now. Raises `NoData` where none does or none can be seen."""
        now = float(self._tree.proc("uptime").split()[0]) * self._tree.ticks_per_second
        groups = self._groups()
        self._note(now, groups)
        if not groups:
            raise NoData("no process matches the patterns of --engine-process")
        out = FamilySet(HOST_FAMILIES)
        for name, processes in groups.items():
            self._emit(out, name, processes)
        return out

    def _groups(self) -> dict[str, list[Process]]:
        groups: dict[str, list[Process]] = {}
        for pid, command in commands(self._tree):
            name = name_of(command, self._patterns)
            process = None if name is None else read_process(self._tree, pid)
            if name is not None and process is not None:
                groups.setdefault(name, []).append(process)
        return groups

    def _note(self, now: float, groups: dict[str, list[Process]]) -> None:
        before, tasks = self._watched, dict[_Key, Task]()
        for name, processes in groups.items():
            used = before.used.setdefault(name, _Used())
            busiest = 0
            for process in processes:
                user, system = self._growth(tasks, process.task, whole=True)
                used.user += user
                used.system += system
                for thread in process.threads:
                    busiest = max(busiest, sum(self._growth(tasks, thread, whole=False)))
            used.busiest_thread += busiest
        self._watched = _Watched(now, tasks, before.used)

    def _growth(self, tasks: dict[_Key, Task], task: Task, *, whole: bool) -> tuple[int, int]:
        """Ticks (user, system) that a task used since the last sample; it is remembered in `tasks` for the next."""
        key = (whole, task.number, task.started)
        tasks[key] = task
        last, at = self._watched.tasks.get(key), self._watched.at
        if last is not None:
            return max(0, task.user - last.user), max(0, task.system - last.system)
        # One that began since then used all its time since then. One that is older was not watched: it matches only
        # now (a new title), or this is the first sample; when it used its time is unknown.
        began_since = at is not None and task.started >= at
        return (task.user, task.system) if began_since else (0, 0)

    def _emit(self, out: FamilySet, name: str, processes: Sequence[Process]) -> None:
        used, tick = self._watched.used[name], 1 / self._tree.ticks_per_second
        out.add("host_process_cpu_seconds_total", used.user * tick, name, "user")
        out.add("host_process_cpu_seconds_total", used.system * tick, name, "system")
        out.add("host_process_busiest_thread_cpu_seconds_total", used.busiest_thread * tick, name)
        out.add("host_process_instances", len(processes), name)
        out.add("host_process_threads", sum(len(process.threads) for process in processes), name)
        resident = sum(process.resident_pages for process in processes)
        out.add("host_process_resident_memory_bytes", resident * self._tree.page_size, name)
        out.add("host_process_open_fds", _sum_if_known(process.open_fds for process in processes), name)


def _sum_if_known(values: Iterable[int | None]) -> int | None:
    """Give the sum, or None when a part of it is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
