"""What a device, its driver and its libraries are; facts that a driver does not have are empty."""

from collections.abc import Callable

import pynvml as nvml

from exporters.gpu.errors import LOST
from exporters.gpu.snapshot import Identity, Versions
from exporters.gpu.units import Handle


def text(call: Callable[..., object], *arguments: Handle) -> str:
    """Give a fact, or nothing where the driver has none. Raises the NVML error when device or driver is lost."""
    try:
        return str(call(*arguments))
    except LOST:
        raise
    except (nvml.NVMLError, UnicodeDecodeError):
        return ""


def versions() -> Versions:
    """Versions of the driver, of the CUDA that it brings, of NVML."""
    return Versions(
        driver=text(nvml.nvmlSystemGetDriverVersion),
        cuda=text(_cuda_version),
        nvml=text(nvml.nvmlSystemGetNVMLVersion),
    )


def identity(handle: Handle, uuid: str) -> Identity:
    """Facts of a device."""
    return Identity(
        uuid=uuid,
        name=text(nvml.nvmlDeviceGetName, handle),
        compute_capability=text(_compute_capability, handle),
        pci_bus_id=text(_pci_bus_id, handle),
    )


def _cuda_version() -> str:
    version = nvml.nvmlSystemGetCudaDriverVersion_v2()  # 13010 is 13.1
    return f"{version // 1000}.{version % 1000 // 10}"


def _compute_capability(handle: Handle) -> str:
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return f"{major}.{minor}"


def _pci_bus_id(handle: Handle) -> str:
    return str(nvml.nvmlDeviceGetPciInfo(handle).busId)
