"""Processes and threads as `/proc/<pid>` gives them."""

import errno
from dataclasses import dataclass

from exporters.host.cgroup import ControlGroup, control_group
from exporters.host.tree import HostTree, names_in, read_text

# Enough to know an engine by; a command line can hold megabytes.
_COMMAND_CHARACTERS = 4096
# Columns of `stat` behind the name, which is in brackets and may hold anything: proc(5), from `state` on.
_USER, _SYSTEM, _STARTED, _RESIDENT = 11, 12, 19, 21
# A process can end between two looks at it, or belong to somebody else.
_GONE_OR_REFUSED = frozenset({errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Task:
    """A process or a thread: number and start (ticks since boot) together are unique; CPU time in ticks."""

    number: int
    started: int
    user: int
    system: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process with its threads. `open_fds` is None where this user may not count them."""

    task: Task
    threads: tuple[Task, ...]
    resident_pages: int
    open_fds: int | None
    group: ControlGroup | None


def process_numbers(tree: HostTree) -> list[int]:
    """Give the numbers of the processes that can be seen, in their order."""
    return sorted(int(entry) for entry in names_in(str(tree.procfs)) if entry.isdecimal())


def command_line(tree: HostTree, pid: int) -> str | None:
    """Give the arguments of a process, joined by spaces; None for a thread of the kernel and for one that is gone."""
    command = _read(f"{tree.procfs}/{pid}/cmdline")
    return command[:_COMMAND_CHARACTERS].replace("\0", " ").strip() if command else None


def read_process(tree: HostTree, pid: int) -> Process | None:
    """Read one process; None when it is gone. Raises `ReadError` on a file in another format."""
    root = f"{tree.procfs}/{pid}"
    with tree.parsing(f"{pid}/stat"):
        stat = _read(f"{root}/stat")
        if stat is None:
            return None
        task, resident = _task(pid, stat)
        threads = []
        for number in _list(f"{root}/task") or ():
            thread = _read(f"{root}/task/{number}/stat")
            if thread is not None:
                threads.append(_task(int(number), thread)[0])
    fds = _list(f"{root}/fd")
    group = control_group(tree, _read(f"{root}/cgroup") or "")
    return Process(task, tuple(threads), resident, None if fds is None else len(fds), group)


def _task(number: int, stat: str) -> tuple[Task, int]:
    """Give a task and its resident pages."""
    columns = stat[stat.rindex(")") + 2 :].split()
    task = Task(number, int(columns[_STARTED]), int(columns[_USER]), int(columns[_SYSTEM]))
    return task, int(columns[_RESIDENT])


def _read(path: str) -> str | None:
    try:
        return read_text(path)
    except OSError as error:
        if error.errno in _GONE_OR_REFUSED:
            return None
        raise


def _list(path: str) -> list[str] | None:
    try:
        return names_in(path)
    except OSError as error:
        if error.errno in _GONE_OR_REFUSED:
            return None
        raise
