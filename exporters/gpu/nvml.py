"""NVML as the source of GPU readings.

Every figure is tried on every reading: what a device supports can change with MIG, with the driver, with permissions.
"""

import threading
from collections.abc import Callable, Mapping

import pynvml as nvml

from exporters.catalog import ClockEventReason
from exporters.errors import NoData, ReadError
from exporters.gpu.calls import READINGS, REASON_BITS, Handle, newest
from exporters.gpu.reader import Device, Figures, GpuSnapshot, Identity, LostDevice

# What NVML writes for "not available" where it returns success.
_NOT_AVAILABLE = frozenset({0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF})

# The driver went away: nothing more can be read in this session.
_SESSION_LOST = (nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded)
# This device went away; others may still answer.
_DEVICE_LOST = (nvml.NVMLError_GpuIsLost, nvml.NVMLError_ResetRequired)


class NvmlReader:
    """All devices that NVML shows to this process.

    The session is opened on the first reading that finds a driver and opened anew after the driver failed, so that
    the exporter may start before the driver and outlive its reload.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._seen = False

    def read(self) -> GpuSnapshot:
        """Read every device; see `exporters.gpu.reader.GpuReader`."""
        with self._lock:
            try:
                self._start()
                snapshot = _snapshot()
            except nvml.NVMLError as error:
                self._stop()
                raise ReadError(f"NVML: {error}") from error
            if not snapshot.devices and not snapshot.lost:
                raise self._absent("NVML shows no device")
            self._seen = True
            return snapshot

    def _start(self) -> None:
        if self._open:
            return
        try:
            nvml.nvmlInit()
        except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded) as error:
            raise self._absent(f"no NVIDIA driver (NVML: {error})") from error
        except nvml.NVMLError_LibRmVersionMismatch as error:
            raise ReadError("NVML and the kernel module differ in version: reload the module or reboot") from error
        self._open = True

    def _stop(self) -> None:
        if self._open:
            self._open = False
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:
                return  # it was lost already

    def _absent(self, what: str) -> NoData | ReadError:
        """No GPU is a kind of machine; a GPU that was there and is gone is a fault."""
        return ReadError(f"{what}, although there was one before") if self._seen else NoData(what)


def _snapshot() -> GpuSnapshot:
    found = [_device(index) for index in range(nvml.nvmlDeviceGetCount())]
    return GpuSnapshot(
        driver_version=_text(nvml.nvmlSystemGetDriverVersion),
        cuda_version=_text(_cuda_version),
        devices=tuple(device for device in found if isinstance(device, Device)),
        lost=tuple(device for device in found if isinstance(device, LostDevice)),
    )


def _device(index: int) -> Device | LostDevice:
    uuid = ""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = nvml.nvmlDeviceGetUUID(handle)
        unread: dict[str, str] = {}
        return Device(
            index=index,
            uuid=uuid,
            identity=Identity(
                name=_text(nvml.nvmlDeviceGetName, handle),
                compute_capability=_text(_compute_capability, handle),
                pci_bus_id=_text(_pci_bus_id, handle),
            ),
            figures=_figures(handle, unread),
            clock_events=_clock_events(handle, unread),
            unread=unread,
        )
    except _SESSION_LOST:
        raise
    except nvml.NVMLError as error:
        return LostDevice(index, uuid, str(error))


def _figures(handle: Handle, unread: dict[str, str]) -> Figures:
    known: dict[str, float] = {}
    for reading in READINGS:
        try:
            raws = reading.call(handle)
        except (*_SESSION_LOST, *_DEVICE_LOST):
            raise
        except nvml.NVMLError as error:
            unread.update(dict.fromkeys(reading.figures, str(error)))
            continue
        for figure, raw in zip(reading.figures, raws, strict=False):  # the old memory call gives fewer
            if raw in _NOT_AVAILABLE:
                unread[figure] = f"NVML gave {raw:#x}"
            else:
                known[figure] = reading.to_base_unit(raw)
    return Figures(**known)


def _clock_events(handle: Handle, unread: dict[str, str]) -> Mapping[ClockEventReason, bool]:
    try:
        supported = newest(
            handle, nvml.nvmlDeviceGetSupportedClocksEventReasons, nvml.nvmlDeviceGetSupportedClocksThrottleReasons
        )
        active = newest(
            handle, nvml.nvmlDeviceGetCurrentClocksEventReasons, nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        )
    except (*_SESSION_LOST, *_DEVICE_LOST):
        raise
    except nvml.NVMLError as error:
        unread["clock_events"] = str(error)
        return {}
    return {reason: bool(active & bit) for reason, bit in REASON_BITS.items() if supported & bit}


def _text(call: Callable[..., str], *arguments: Handle) -> str:
    """Give a fact, or nothing where the driver has none."""
    try:
        return call(*arguments)
    except (*_SESSION_LOST, *_DEVICE_LOST):
        raise
    except nvml.NVMLError:
        return ""


def _cuda_version() -> str:
    version = nvml.nvmlSystemGetCudaDriverVersion_v2()  # 13010 is 13.1
    return f"{version // 1000}.{version % 1000 // 10}"


def _compute_capability(handle: Handle) -> str:
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return f"{major}.{minor}"


def _pci_bus_id(handle: Handle) -> str:
    return str(nvml.nvmlDeviceGetPciInfo(handle).busId)
