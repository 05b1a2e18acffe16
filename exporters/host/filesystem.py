"""File-system space."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.tree import HostTree

# Read-only images are full by design.
_IMAGES = frozenset({"squashfs", "erofs", "iso9660", "udf"})
# A file system on devices although the kernel does not know it as one: a pool stands between.
_POOLED = frozenset({"zfs"})
# Volumes of containers come and go with them: labels without bound, and their space is the space of a disk above.
_CONTAINER_VOLUME = re.compile(r"/var/lib/(docker|containerd|containers|kubelet)/.+")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class _Mount:
    device: str
    mountpoint: str
    fstype: str


def filesystem(tree: HostTree) -> FamilySet:
    """Give size and available space of each mounted file system that sits on a device."""
    out = FamilySet(HOST_FAMILIES)
    # A mount can be hidden by a later one at the same place; the last is the one that can be seen.
    visible = {mount.mountpoint: mount for mount in _mounts(tree)}
    found = False
    for mount in visible.values():
        where = tree.rootfs / mount.mountpoint.lstrip("/")
        try:
            if not where.is_dir():
                continue  # a single file, as containers get /etc/hosts
            space = os.statvfs(where)
        except OSError:
            continue  # this user may not look there, or its disk fails: the size is unknown, those of others are not
        found = True
        labels = (_printable(mount.mountpoint), _printable(mount.device), mount.fstype)
        out.add("host_filesystem_size_bytes", space.f_blocks * space.f_frsize, *labels)
        out.add("host_filesystem_available_bytes", space.f_bavail * space.f_frsize, *labels)
    if not found:
        raise NoData("no file system on a device is mounted here")
    return out


def _mounts(tree: HostTree) -> Iterator[_Mount]:
    wanted = _types_on_devices(tree)
    # Those of process 1 are the host's; where it is hidden (hidepid), the exporter's own are what is left.
    text = tree.proc_if_there("1/mounts")
    if text is None:
        text = tree.proc("mounts")
    with tree.parsing("mounts"):
        for line in text.splitlines():
            device, mountpoint, fstype, _ = line.split(" ", 3)
            if fstype in wanted and not _CONTAINER_VOLUME.match(mountpoint):
                yield _Mount(_unescape(device), _unescape(mountpoint), fstype)


def _types_on_devices(tree: HostTree) -> frozenset[str]:
    lines = tree.proc("filesystems").splitlines()
    return frozenset(line.strip() for line in lines if not line.startswith("nodev")) - _IMAGES | _POOLED


def _printable(path: str) -> str:
    """Give a label that can be encoded, of a path that is any bytes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
