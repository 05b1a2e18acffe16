"""Limits that control groups (version 2) set to processes: Documentation/admin-guide/cgroup-v2.rst.

Of a process's own group, as containers have one each; limits of the groups around it are not looked at.
"""

from dataclasses import dataclass

from exporters.host.tree import HostTree

# The unified hierarchy: alone, or beside those of version 1.
_ROOTS = ("fs/cgroup", "fs/cgroup/unified")


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A group's figures; None where there is no limit or it is not known.

    `periods` are those in which the group ran under a CPU quota, `throttled` those in which it used it up.
    """

    path: str
    periods: int
    throttled: int
    cpus: float | None
    memory_bytes: int | None


def control_group(tree: HostTree, membership: str) -> ControlGroup | None:
    """Read the group that `/proc/<pid>/cgroup` (`membership`) names.

    None without version 2, for the root group, and for one that cannot be seen here: a reader in a cgroup namespace of
    its own (a container, unless told to use the host's) cannot see the others.
    """
    path = _path(membership)
    if path is None:
        return None
    try:
        found = (_read(tree, path, f"{root}{path}") for root in _ROOTS)
        return next((group for group in found if group is not None), None)
    except PermissionError:
        return None


def _read(tree: HostTree, path: str, name: str) -> ControlGroup | None:
    stat = tree.sys_if_there(f"{name}/cpu.stat")
    if stat is None:
        return None
    with tree.parsing(f"{name}/cpu.stat"):
        counts = dict(line.split() for line in stat.splitlines())
        # Without a quota the kernel may leave them out: no period, so none was throttled.
        periods, throttled = int(counts.get("nr_periods", 0)), int(counts.get("nr_throttled", 0))
    return ControlGroup(path, periods, throttled, _cpus(tree, name), _memory(tree, name))


def _path(text: str) -> str | None:
    for line in text.splitlines():
        hierarchy, _, path = line.split(":", 2)
        # A path that starts above the reader's own root is one in another namespace.
        if hierarchy == "0" and path != "/" and not path.startswith("/.."):
            return path
    return None


def _cpus(tree: HostTree, name: str) -> float | None:
    text = tree.sys_if_there(f"{name}/cpu.max")
    if text is None or text.startswith("max"):
        return None
    with tree.parsing(f"{name}/cpu.max"):
        quota, period = text.split()
        return int(quota) / int(period)


def _memory(tree: HostTree, name: str) -> int | None:
    text = tree.sys_if_there(f"{name}/memory.max")
    if text is None or text.startswith("max"):
        return None
    with tree.parsing(f"{name}/memory.max"):
        return int(text)
