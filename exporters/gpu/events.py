"""Xid errors, as the driver reports them."""

import contextlib
import ctypes
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pynvml as nvml
from structlog.typing import FilteringBoundLogger

from exporters.catalog.gpu import GpuReading
from exporters.gpu.errors import SESSION_LOST, UNSUPPORTED
from exporters.gpu.tally import Tally
from exporters.gpu.units import Handle

_LONGEST_WAIT_MILLISECONDS = 500  # and so how long a stop takes
_XID = nvml.nvmlEventTypeXidCriticalError


@dataclass(frozen=True, slots=True)
class _Watched:
    index: int
    uuid: str
    tally: Tally


class XidWatcher:
    """Counts the Xids of all devices in a thread of its own, for waiting is what NVML does with events.

    A device without events, or whose events this user may not have, is left out; one that fails is tried again.
    """

    def __init__(
        self,
        indices: Sequence[int],
        *,
        tally_of: Callable[[str], Tally],
        retry_seconds: float,
        on_session_lost: Callable[[str], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._indices = list(indices)
        self._tally_of = tally_of
        self._retry_seconds = retry_seconds
        self._wait_milliseconds = max(min(_LONGEST_WAIT_MILLISECONDS, int(retry_seconds * 1000)), 1)
        self._on_session_lost = on_session_lost
        self._log = log
        self._stop = threading.Event()
        # A daemon: the exporter must be able to stop while a driver call hangs.
        self._thread = threading.Thread(target=self._run, name="gpu-events", daemon=True)

    def start(self) -> None:
        """Begin to wait for events."""
        self._thread.start()

    def stop(self) -> None:
        """End after the wait that is under way; `join` waits for it."""
        self._stop.set()

    def join(self, timeout_seconds: float) -> bool:
        """Whether the thread has ended within this time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._indices and not self._stop.is_set():
                self._listen()
        except SESSION_LOST as error:
            self._on_session_lost(str(error))
        except UNSUPPORTED as error:
            self._log.info("gpu_events_not_supported", error=str(error))
        except Exception:  # noqa: BLE001 - the edge: a defect of ours must not end the thread unseen
            self._log.exception("gpu_events_ended")  # the readings go on

    def _listen(self) -> None:
        """Listen with one event set until it fails, as it does for all devices when one of them is lost."""
        watched: dict[int | None, _Watched] = {}
        events = nvml.nvmlEventSetCreate()
        try:
            missing = self._register(events, tuple(self._indices), watched)
            while not self._stop.is_set() and self._indices:
                self._wait(events, watched)
                missing = self._register(events, missing, watched)
        except (*SESSION_LOST, *UNSUPPORTED):
            raise
        except nvml.NVMLError as error:
            for device in watched.values():
                device.tally.error(GpuReading.EVENTS)
            self._log.warning("gpu_events_failed", error=str(error))
            self._stop.wait(self._retry_seconds)
        finally:
            with contextlib.suppress(nvml.NVMLError):  # it went with the session
                nvml.nvmlEventSetFree(events)

    def _register(self, events: Handle, indices: Sequence[int], watched: dict[int | None, _Watched]) -> list[int]:
        """Ask for the events of devices; give those that are to be asked again."""
        missing = []
        for index in indices:
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = nvml.nvmlDeviceGetUUID(handle)
                nvml.nvmlDeviceRegisterEvents(handle, _XID, events)
            except SESSION_LOST:
                raise
            except UNSUPPORTED as error:
                self._indices.remove(index)
                self._log.info("gpu_events_not_supported", gpu=index, error=str(error))
            except nvml.NVMLError:
                missing.append(index)  # lost or busy: its own readings say so
            else:
                watched[_address(handle)] = _Watched(index, uuid, self._tally_of(uuid))
                self._tally_of(uuid).watch_xids()
        return missing

    def _wait(self, events: Handle, watched: Mapping[int | None, _Watched]) -> None:
        """Count the events of the next seconds."""
        if not watched:
            self._stop.wait(self._retry_seconds)
            return
        for _ in range(math.ceil(self._retry_seconds * 1000 / self._wait_milliseconds)):
            if self._stop.is_set():
                return
            try:
                event = nvml.nvmlEventSetWait_v2(events, self._wait_milliseconds)
            except nvml.NVMLError_Timeout:
                continue
            device = watched.get(_address(event.device))
            if device is not None and event.eventType == _XID:
                xid = device.tally.xid(event.eventData)
                self._log.warning("gpu_xid", gpu=device.index, uuid=device.uuid, xid=xid)


def _address(handle: Handle) -> int | None:
    """Handles are pointers: the same device has the same one throughout a session."""
    return ctypes.cast(handle, ctypes.c_void_p).value
