"""A session with the NVIDIA driver through NVML."""

import contextlib

import pynvml as nvml

from exporters.errors import ExporterError, NoData, ReadError
from exporters.gpu.facts import versions
from exporters.gpu.snapshot import Versions


def open_session(*, seen: bool) -> tuple[Versions, int]:
    """Open a session; give the driver's versions and the number of devices.

    Raises `NoData` on a machine without a driver or a device, `ReadError` when a driver that is there fails or, where
    devices were `seen` before, is gone.
    """
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded) as error:
        raise _absent(f"no NVIDIA driver (NVML: {error})", seen=seen) from error
    except nvml.NVMLError_LibRmVersionMismatch as error:
        raise ReadError(
            "NVML and the kernel module differ in version: reload the module or reboot; after an upgrade of the "
            "driver, restart the exporter"
        ) from error
    except nvml.NVMLError as error:
        raise ReadError(f"NVML: {error}") from error
    try:
        count = device_count()
        if not count:
            raise _absent("NVML shows no device", seen=seen)
        return versions(), count
    except nvml.NVMLError as error:
        close_session()
        raise ReadError(f"NVML: {error}") from error
    except ExporterError:
        close_session()
        raise


def device_count() -> int:
    """How many devices the driver shows. Raises `ReadError`."""
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        raise ReadError(f"NVML: {error}") from error


def close_session() -> None:
    """Close the session. No call may be under way."""
    with contextlib.suppress(nvml.NVMLError):  # it was lost already
        nvml.nvmlShutdown()


def _absent(what: str, *, seen: bool) -> NoData | ReadError:
    """No GPU is a kind of machine; a GPU that was there and is gone is a fault."""
    return ReadError(f"{what}, although there was one before") if seen else NoData(what)
