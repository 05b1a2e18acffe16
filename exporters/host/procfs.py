"""Kernel files that psutil does not read: pressure-stall information and page counters."""

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import NoData, ReadError

_RESOURCES = ("cpu", "memory", "io")
_LINE = re.compile(r"(?P<kind>some|full)( avg\d+=[\d.]+)* total=(?P<total>\d+)")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Pressure:
    """Seconds since boot in which tasks waited for a resource; `kind` is `some` or `full`."""

    resource: str
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProcFs:
    """A proc file system. `page_size` is the kernel's, in bytes: not 4 KiB on every machine."""

    root: Path
    page_size: int

    def pressures(self) -> list[Pressure]:
        """Give the totals of `/proc/pressure`.

        Raises `NoData` where the kernel keeps none, `ReadError` on a line that is not in the kernel's format
        (Documentation/accounting/psi.rst).
        """
        found = [pressure for resource in _RESOURCES for pressure in self._pressure(resource)]
        if not found:
            raise NoData("the kernel keeps no pressure-stall information (CONFIG_PSI, or psi=1 at boot)")
        return found

    def page_counters(self) -> Mapping[str, int]:
        """Give the events of `/proc/vmstat` by name; empty where the kernel has no such file."""
        try:
            text = (self.root / "vmstat").read_text(encoding="ascii")
        except FileNotFoundError:
            return {}
        return {name: int(value) for name, value in (line.split() for line in text.splitlines())}

    def _pressure(self, resource: str) -> list[Pressure]:
        path = self.root / "pressure" / resource
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # built in, but switched off at boot
                return []
            raise
        found = [_parse(resource, line, path) for line in lines]
        # At system level "cpu full" is undefined; kernels from 5.13 on print a zero there, which is no reading.
        return [pressure for pressure in found if (resource, pressure.kind) != ("cpu", "full")]


def _parse(resource: str, line: str, path: Path) -> Pressure:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ReadError(f"{path}: expected 'some|full … total=<microseconds>', found {line!r}")
    return Pressure(resource, match["kind"], int(match["total"]) / _MICROSECONDS)
