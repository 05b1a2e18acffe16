"""File-system space."""

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.reader import HostReader

# Read-only images are full by design.
_IMAGES = frozenset({"squashfs", "erofs", "iso9660", "udf"})


def filesystem(reader: HostReader) -> FamilySet:
    """Give size and available space of each mount."""
    out = FamilySet(HOST_FAMILIES)
    # A mount can be hidden by a later one at the same place; the last is the one that can be seen.
    visible = {now.mountpoint: now for now in reader.filesystems() if now.fstype not in _IMAGES}
    if not visible:
        raise NoData("no file system on a device is mounted here")
    for now in visible.values():
        labels = (now.mountpoint, now.device, now.fstype)
        out.add("host_filesystem_size_bytes", now.size, *labels)
        out.add("host_filesystem_available_bytes", now.available, *labels)
    return out
