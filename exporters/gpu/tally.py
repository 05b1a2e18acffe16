"""What is counted of a device from the exporter's start on, over sessions with the driver."""

import threading

from exporters.catalog.gpu import GpuReading
from exporters.gpu.snapshot import Counts

# Xids after which work on the device ends or the device is to be mended (NVIDIA's "XID Errors", r590). They start at
# zero, so that the first one is an increase; the others appear when they happen.
_FROM_ZERO = ("31", "48", "63", "64", "74", "79", "94", "95", "119", "120")
# Codes are 8 bits so far; what is beyond must not make a label of its own.
_LAST_XID = 255


class Tally:
    """Counters of one device, for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors = dict.fromkeys(GpuReading, 0)
        self._dropped = 0
        self._xids: dict[str, int] = {}
        self.asking = GpuReading.IDENTITY  # what the device is asked now, or was last

    def error(self, reading: GpuReading) -> None:
        """Count a reading that failed or hangs."""
        with self._lock:
            self._errors[reading] += 1

    def dropped(self) -> None:
        """Count a value that cannot be true."""
        with self._lock:
            self._dropped += 1

    def watch_xids(self) -> None:
        """Give the Xids that matter a zero: from now on, none of them is confirmed to be none."""
        with self._lock:
            self._xids = {**dict.fromkeys(_FROM_ZERO, 0), **self._xids}

    def xid(self, code: int) -> str:
        """Count an Xid and give its label."""
        label = str(code) if 0 < code <= _LAST_XID else "other"
        with self._lock:
            self._xids[label] = self._xids.get(label, 0) + 1
        return label

    def counts(self) -> Counts:
        """Give what was counted so far."""
        with self._lock:
            return Counts(dict(self._errors), self._dropped, dict(self._xids))
