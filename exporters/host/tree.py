"""The kernel's file systems as a tree that can lie anywhere: this machine's, a container's host's, a test's."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import ReadError

_CHUNK = 1 << 16
# How the kernel says that an attribute does not apply here: no such file, a device that is down or virtual, a feature
# that is built in but switched off.
_NOT_HERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV})


@dataclass(frozen=True, slots=True)
class HostTree:
    """Where proc, sys and the root file system are mounted.

    `page_size` (bytes) and `ticks_per_second` are the kernel's units; neither is the same on every machine.
    """

    procfs: Path
    sysfs: Path
    rootfs: Path
    page_size: int
    ticks_per_second: int

    @classmethod
    def of_this_machine(
        cls, procfs: Path = Path("/proc"), sysfs: Path = Path("/sys"), rootfs: Path = Path("/")
    ) -> "HostTree":
        """Give the machine that this process runs on, or the one whose file systems are mounted elsewhere."""
        return cls(procfs, sysfs, rootfs, os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK"))

    def proc(self, name: str) -> str:
        """Text of a file below `/proc`. Raises `OSError`."""
        return read_text(f"{self.procfs}/{name}")

    def proc_if_there(self, name: str) -> str | None:
        """Text of a file below `/proc`; None where this kernel has none. Raises other `OSError`s."""
        return read_if_there(f"{self.procfs}/{name}")

    def sys_if_there(self, name: str) -> str | None:
        """Text of a file below `/sys`; None where this kernel or device has none. Raises other `OSError`s."""
        return read_if_there(f"{self.sysfs}/{name}")

    def net(self, name: str) -> str:
        """Text of a file of `/proc/net` in the network namespace of process 1, which is the host's.

        `/proc/net` itself is the reader's own namespace, even below a `/proc` mounted from the host. Where process 1
        is hidden (hidepid), that is what is left.
        """
        text = self.proc_if_there(f"1/net/{name}")
        return self.proc(f"net/{name}") if text is None else text

    @contextmanager
    def parsing(self, name: str) -> Iterator[None]:
        """Turn what parsing raises into `ReadError` that names the file, relative to its file system."""
        try:
            yield
        except (ValueError, LookupError) as error:
            raise ReadError(f"{name}: not in the kernel's format: {error}") from error


def read_text(path: str) -> str:
    """Read a whole kernel file; half the time of `open`, which looks for its encoding, size and buffering."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = chunk = os.read(fd, _CHUNK)
        while chunk:
            chunk = os.read(fd, _CHUNK)
            data += chunk
    finally:
        os.close(fd)
    return data.decode("utf-8", "surrogateescape")


def read_if_there(path: str) -> str | None:
    """Read a whole kernel file; None where the kernel says that it does not apply here. Raises other `OSError`s."""
    try:
        return read_text(path)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return None
        raise


def names_in(path: str) -> list[str]:
    """Names of a directory's entries. Raises `OSError`."""
    with os.scandir(path) as entries:
        return [entry.name for entry in entries]
