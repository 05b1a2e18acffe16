"""What engine processes used while they were watched, added up from sample to sample."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from exporters.host.cgroup import ControlGroup
from exporters.host.process_files import Process, Task

_Key: TypeAlias = tuple[bool, int, int]
"""Whether it is a whole process (its main thread has the same number), its number, its start."""


@dataclass(slots=True)
class Used:
    """CPU time (ticks) that the processes of a name used, and periods of their CPU quotas."""

    user: int = 0
    system: int = 0
    busiest_thread: int = 0
    periods: int = 0
    throttled: int = 0


@dataclass(frozen=True, slots=True)
class _Last:
    """What the last sample saw; `at` is its time in ticks since boot."""

    at: float | None = None
    tasks: Mapping[_Key, Task] = field(default_factory=dict)
    limits: Mapping[str, ControlGroup] = field(default_factory=dict)


class ProcessUsage:
    """Counters that neither fall when a process ends nor leap when the exporter starts beside an old engine.

    The busiest thread is found anew in each interval, so its counter is the sum of the maxima: its rate is the share
    of time that the busiest thread of the moment ran, at most 1, and near 1 also when that role moves from thread to
    thread. Exact for the interval at which samples are taken, hence a fixed cadence rather than one sample a scrape.
    """

    def __init__(self) -> None:
        self._last = _Last()
        self._used: dict[str, Used] = {}

    def note(self, now: float, processes: Mapping[str, Sequence[Process]]) -> None:
        """Add what the processes of each name used since the last sample; `now` is in ticks since boot."""
        tasks: dict[_Key, Task] = {}
        limits: dict[str, ControlGroup] = {}
        for name, group in processes.items():
            used = self._used.setdefault(name, Used())
            self._add_time(used, group, tasks)
            self._add_periods(used, group, limits)
        self._last = _Last(now, tasks, limits)

    def of(self, name: str) -> Used:
        """Give what the processes of a name used since it was first noted."""
        return self._used[name]

    def _add_time(self, used: Used, processes: Sequence[Process], tasks: dict[_Key, Task]) -> None:
        busiest = 0
        for process in processes:
            user, system = self._growth(process.task, (True, process.task.number, process.task.started), tasks)
            used.user += user
            used.system += system
            for thread in process.threads:
                busiest = max(busiest, sum(self._growth(thread, (False, thread.number, thread.started), tasks)))
        used.busiest_thread += busiest

    def _growth(self, task: Task, key: _Key, tasks: dict[_Key, Task]) -> tuple[int, int]:
        """Ticks (user, system) that a task used since the last sample; it is put into `tasks` for the next."""
        tasks[key] = task
        last = self._last.tasks.get(key)
        if last is not None:
            return max(0, task.user - last.user), max(0, task.system - last.system)
        # One that began since then used all its time since then. One that is older was not watched: it matches only
        # now (a new title), or this is the first sample; when it used its time is unknown.
        began_since = self._last.at is not None and task.started >= self._last.at
        return (task.user, task.system) if began_since else (0, 0)

    def _add_periods(self, used: Used, processes: Sequence[Process], limits: dict[str, ControlGroup]) -> None:
        for path, limit in control_groups(processes).items():
            limits[path] = limit
            last = self._last.limits.get(path, limit)  # what was before a group was first seen is not counted
            used.periods += max(0, limit.periods - last.periods)
            used.throttled += max(0, limit.throttled - last.throttled)


def control_groups(processes: Iterable[Process]) -> dict[str, ControlGroup]:
    """Give each control group of some processes once, by its path."""
    return {process.group.path: process.group for process in processes if process.group is not None}
