"""Readings of the parts that a device has: fans, NVLinks, reasons that can hold its clocks down.

Each function asks a device once which parts there are. A device without them gives no reading; what else goes wrong is
raised.
"""

from collections.abc import Callable, Iterator, Sequence

import pynvml as nvml

from exporters.catalog.gpu import GpuReading as Topic
from exporters.gpu.calls import clock_events, newest, one
from exporters.gpu.errors import UNSUPPORTED
from exporters.gpu.readings import Pace, Reading
from exporters.gpu.units import COUNT, FAN_PERCENT, STATE, Call, Figure, Given, Handle

LINK_ERRORS = {
    "replay": nvml.NVML_NVLINK_ERROR_DL_REPLAY,
    "recovery": nvml.NVML_NVLINK_ERROR_DL_RECOVERY,
    "crc_flit": nvml.NVML_NVLINK_ERROR_DL_CRC_FLIT,
    "crc_data": nvml.NVML_NVLINK_ERROR_DL_CRC_DATA,
}


def fans(handle: Handle) -> Iterator[Reading]:
    """One reading a fan."""
    family = "gpu_fan_speed_ratio"
    for fan in range(nvml.nvmlDeviceGetNumFans(handle)):
        call = one(family, FAN_PERCENT, nvml.nvmlDeviceGetFanSpeed_v2, fan, labels=(str(fan),))
        yield Reading(Topic.FANS, Pace.SLOW, f"{family}{{{fan}}}", call)


def reasons(handle: Handle) -> Iterator[Reading]:
    """One reading of all clock-event reasons that the device can report."""
    supported = newest(
        handle, nvml.nvmlDeviceGetSupportedClocksEventReasons, nvml.nvmlDeviceGetSupportedClocksThrottleReasons
    )
    yield Reading(Topic.CLOCK_EVENTS, Pace.FAST, "gpu_clock_event_active", clock_events(supported))


def links(handle: Handle) -> Iterator[Reading]:
    """One reading of the links' states, and one for each kind of error summed over the links that count it."""
    there = [link for link in range(nvml.NVML_NVLINK_MAX_LINKS) if _gives(nvml.nvmlDeviceGetNvLinkState, handle, link)]
    if not there:
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    yield Reading(Topic.NVLINK, Pace.SLOW, "gpu_nvlink_up", _states(there))
    for kind, counter in LINK_ERRORS.items():
        count = nvml.nvmlDeviceGetNvLinkErrorCounter
        counting = [link for link in there if _gives(count, handle, link, counter)]
        if counting:
            figure = Figure("gpu_nvlink_errors_total", COUNT, (kind,))
            yield Reading(Topic.NVLINK, Pace.RARE, str(figure), _sum(figure, counting, counter))


PARTS: tuple[tuple[Topic, Callable[[Handle], Iterator[Reading]]], ...] = (
    (Topic.FANS, fans),
    (Topic.CLOCK_EVENTS, reasons),
    (Topic.NVLINK, links),
)


def _gives(call: Callable[..., int], *arguments: object) -> bool:
    try:
        call(*arguments)
    except UNSUPPORTED:
        return False
    return True


def _states(there: Sequence[int]) -> Call:
    figures = [(Figure("gpu_nvlink_up", STATE, (str(link),)), link) for link in there]
    active = nvml.NVML_NVLINK_STATE_ACTIVE

    def read(handle: Handle) -> Given:
        return [(figure, int(nvml.nvmlDeviceGetNvLinkState(handle, link) == active)) for figure, link in figures]

    return read


def _sum(figure: Figure, counting: Sequence[int], counter: int) -> Call:
    """Sum over all links or none: a sum without one link would look like a counter that was reset."""
    return lambda handle: [
        (figure, sum(nvml.nvmlDeviceGetNvLinkErrorCounter(handle, link, counter) for link in counting))
    ]
