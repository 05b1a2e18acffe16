"""Processes on a device or a slice."""

from collections.abc import Callable

import pynvml as nvml

from exporters.gpu.calls import newest
from exporters.gpu.errors import LOST
from exporters.gpu.units import BYTES, COUNT, Call, Figure, Given, Handle

# So that a device cannot make a page as long as it likes: those with the most memory are given.
_MOST = 64
_LONGEST_NAME = 64

_COUNT = Figure("gpu_processes", COUNT)
_MEMORY = Figure("gpu_processes_memory_bytes", BYTES)
# A process with contexts of several kinds is in several lists.
_LISTS = (
    (nvml.nvmlDeviceGetComputeRunningProcesses_v3, nvml.nvmlDeviceGetComputeRunningProcesses_v2),
    (nvml.nvmlDeviceGetGraphicsRunningProcesses_v3, nvml.nvmlDeviceGetGraphicsRunningProcesses_v2),
    (nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3, nvml.nvmlDeviceGetMPSComputeRunningProcesses_v2),
)
_NOT_SUPPORTED = (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound)

NameOf = Callable[[int], str]
"""Name of a process by its id; empty where it is not known."""


def process_name(pid: int) -> str:
    """Give a program's name without its folders and arguments; empty when the process is gone or not ours to see."""
    try:
        command: str = nvml.nvmlSystemGetProcessName(pid)
    except LOST:
        raise
    except (nvml.NVMLError, UnicodeDecodeError):
        return ""
    program = command.split(maxsplit=1)[0] if command.strip() else ""
    return program.rpartition("/")[2][:_LONGEST_NAME]


def processes(name_of: NameOf | None) -> Call:
    """Give count and memory, and with `name_of` the memory of each process."""

    def read(handle: Handle) -> Given:
        found = _running(handle)
        given: Given = [(_COUNT, len(found))]
        known = {pid: used for pid, used in found.items() if used is not None}
        if len(known) == len(found):
            given.append((_MEMORY, sum(known.values())))
        if name_of is not None:
            largest = sorted(known, key=lambda pid: known[pid], reverse=True)[:_MOST]
            given += [(_of_process(pid, name_of(pid)), known[pid]) for pid in largest]
        return given

    return read


def _of_process(pid: int, name: str) -> Figure:
    return Figure("gpu_process_memory_bytes", BYTES, (str(pid), name))


def _running(handle: Handle) -> dict[int, int | None]:
    """Memory by process id, None where the driver does not tell it. Raises when no list can be had."""
    found: dict[int, int | None] = {}
    refused: Exception | None = None
    answered = False
    for call, older in _LISTS:
        try:
            running = newest(handle, call, older)
        except _NOT_SUPPORTED as error:
            refused = error
            continue
        answered = True
        for process in running:
            known = [used for used in (found.get(process.pid), process.usedGpuMemory) if used is not None]
            found[process.pid] = max(known, default=None)
    if refused is not None and not answered:
        raise refused
    return found
