"""Finds engine processes without reading every command line every time."""

from collections.abc import Sequence

from exporters.host.patterns import EnginePattern, name_of
from exporters.host.process_files import command_line, process_numbers
from exporters.host.tree import HostTree

# At the shipped cadence, once a minute.
_ALL_EVERY = 12


class ProcessFinder:
    """Names of the engine processes of a machine.

    A GPU node has thousands of processes, most of them threads of the kernel, and few engines. So only those that are
    new and those that were engines are looked at each time; all the others each twelfth time, for a process can become
    an engine (a shell that executes it, a worker that changes its title).
    """

    def __init__(self, tree: HostTree, patterns: Sequence[EnginePattern]) -> None:
        """The first pattern that matches names the process."""
        self._tree = tree
        self._patterns = patterns
        self._known: dict[int, str | None] = {}
        self._looks = 0

    def find(self) -> dict[int, str]:
        """Give the name of each engine process by its number, in the order of the numbers."""
        everything = self._looks % _ALL_EVERY == 0
        self._looks += 1
        known: dict[int, str | None] = {}
        for pid in process_numbers(self._tree):
            before = self._known.get(pid)
            look = everything or before is not None or pid not in self._known
            known[pid] = self._name(pid) if look else None
        self._known = known
        return {pid: name for pid, name in known.items() if name is not None}

    def _name(self, pid: int) -> str | None:
        command = command_line(self._tree, pid)
        return None if command is None else name_of(command, self._patterns)
