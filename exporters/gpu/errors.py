"""What an NVML error means to us."""

import pynvml as nvml

# The driver went away: nothing more can be read in this session.
SESSION_LOST = (nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded)
# This device went away; others may still answer.
DEVICE_LOST = (nvml.NVMLError_GpuIsLost, nvml.NVMLError_ResetRequired)
LOST = (*SESSION_LOST, *DEVICE_LOST)
# The device, its driver, a setting such as MIG, or our permissions do not give this: asking again will not help.
UNSUPPORTED = (
    nvml.NVMLError_NotSupported,
    nvml.NVMLError_FunctionNotFound,
    nvml.NVMLError_ArgumentVersionMismatch,
    nvml.NVMLError_InvalidArgument,
    nvml.NVMLError_NoPermission,
    nvml.NVMLError_NotFound,
    nvml.NVMLError_Deprecated,
)
