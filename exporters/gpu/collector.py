"""GPU snapshot to families."""

from dataclasses import fields

from structlog.typing import FilteringBoundLogger

from exporters.catalog import GPU_FAMILIES, Kind
from exporters.families import FamilySet
from exporters.gpu.reader import Device, Figures, GpuReader, GpuSnapshot, LostDevice

# Field of `Figures` -> family.
FIGURES = {
    figure.name: name
    for figure in fields(Figures)
    for name in (f"gpu_{figure.name}", f"gpu_{figure.name}_total")
    if name in GPU_FAMILIES and (GPU_FAMILIES[name].kind is Kind.COUNTER) == name.endswith("_total")
}


class GpuCollector:
    """Renders what a reader gives, and logs once what a device does not support or that it is lost."""

    def __init__(self, reader: GpuReader, *, log: FilteringBoundLogger) -> None:
        self._reader = reader
        self._log = log
        self._noted: dict[int, object] = {}

    def __call__(self) -> FamilySet:
        """Read and render. Raises what the reader raises."""
        snapshot = self._reader.read()
        for device in snapshot.devices:
            self._note(device)
        for lost in snapshot.lost:
            self._note(lost)
        return render(snapshot)

    def _note(self, device: Device | LostDevice) -> None:
        state = device.reason if isinstance(device, LostDevice) else dict(device.unread)
        if self._noted.get(device.index) == state:
            return
        self._noted[device.index] = state
        if isinstance(device, LostDevice):
            self._log.warning("gpu_lost", gpu=device.index, uuid=device.uuid, error=device.reason)
        else:
            self._log.info("gpu_found", gpu=device.index, uuid=device.uuid, without=dict(device.unread))


def render(snapshot: GpuSnapshot) -> FamilySet:
    """Turn a snapshot into samples; what is unknown gets none."""
    out = FamilySet(GPU_FAMILIES)
    for device in snapshot.devices:
        labels = (str(device.index), device.uuid)
        facts = device.identity
        out.info(
            "gpu_info",
            *labels,
            facts.name,
            snapshot.driver_version,
            snapshot.cuda_version,
            facts.compute_capability,
            facts.pci_bus_id,
        )
        out.add("gpu_up", 1, *labels)
        for figure, family in FIGURES.items():
            out.add(family, getattr(device.figures, figure), *labels)
        for reason, active in device.clock_events.items():
            out.add("gpu_clock_event_active", active, *labels, reason.value)
    for lost in snapshot.lost:
        out.add("gpu_up", 0, str(lost.index), lost.uuid)
    return out
