"""Reads all GPUs off the scrape path."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from structlog.typing import FilteringBoundLogger

from exporters.errors import ExporterError, NoData, ReadError
from exporters.gpu.device import DeviceReader, open_device
from exporters.gpu.events import XidWatcher
from exporters.gpu.processes import NameOf, process_name
from exporters.gpu.session import close_session, device_count, open_session
from exporters.gpu.snapshot import DeviceState, GpuSnapshot, Versions
from exporters.gpu.tally import Tally
from exporters.gpu.worker import DeviceWorker
from exporters.settings import GpuSettings

# A device that came back after a reset is seen by a new session only.
_REOPEN_LOST_SECONDS = 60.0
_JOIN_SECONDS = 0.2
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _View:
    """The session that is open, or what was known when it ended; replaced as a whole."""

    versions: Versions = field(default_factory=Versions)
    workers: tuple[DeviceWorker, ...] = ()
    before: tuple[DeviceState, ...] = ()
    error: ExporterError | None = None


class GpuSampler:
    """A session with the driver, kept open by one thread; a thread a device reads it, another waits for its Xids.

    The session is opened as soon as there is a driver, and anew after the driver failed, after the number of devices
    changed, and every minute while a device is lost: the exporter may start before the driver and outlive its reload.
    """

    def __init__(self, settings: GpuSettings, *, timer: Callable[[], float], log: FilteringBoundLogger) -> None:
        """`timer` gives monotonic seconds."""
        self._settings = settings
        self._timer = timer
        self._log = log
        self._view = _View()
        self._tallies: dict[str, Tally] = {}
        self._hanging: set[int] = set()
        self._lock = threading.Lock()  # of the two before it
        self._session_error: str | None = None
        self._first = threading.Event()
        self._stopping = threading.Event()
        # A daemon: the exporter must be able to stop while a driver call hangs.
        self._thread = threading.Thread(target=self._run, name="gpu-session", daemon=True)

    def start(self) -> "GpuSampler":
        """Begin sampling."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End sampling. A call that hangs is left behind with its thread after two seconds."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS + _JOIN_SECONDS)

    def wait_for_first(self, timeout_seconds: float) -> bool:
        """Wait until every device was read once, or it is known that there is none."""
        return self._first.wait(timeout_seconds)

    def snapshot(self) -> GpuSnapshot:
        """What is known now. Asks the driver nothing."""
        view = self._view
        self._note_hanging(view.workers)  # the session's thread may hang itself
        devices, error = self._devices(), view.error
        if view.workers and not devices:
            error = NoData("the first reading of the devices is under way")
        return GpuSnapshot(self._timer(), view.versions, devices, error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
            except ExporterError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the edge: a defect of ours must not end the thread unseen
                self._fail(ReadError(f"{type(error).__name__}: {error}"))
        self._first.set()

    def _fail(self, error: ExporterError) -> None:
        """Show the failure, and wait for the next try."""
        devices = tuple(replace(device, lost=True) for device in self._devices())
        self._view = _View(self._view.versions, before=devices, error=error)
        self._first.set()
        self._stopping.wait(self._settings.slow_interval_seconds)

    def _session(self) -> None:
        """Open a session, watch it until it is to be opened anew, close it. Raises when there is none or it failed."""
        before = {device.index: device for device in self._devices()}
        versions, count = open_session(seen=bool(before))
        self._session_error = None
        self._hanging.clear()
        workers = tuple(self._worker(index, before.get(index)) for index in range(count))
        events = XidWatcher(
            range(count),
            tally_of=self._tally_of,
            retry_seconds=self._settings.slow_interval_seconds,
            on_session_lost=self._lose_session,
            log=self._log,
        )
        self._view = _View(versions, workers)
        threads: tuple[DeviceWorker | XidWatcher, ...] = (*workers, events)
        for thread in threads:
            thread.start()
        try:
            self._watch(workers)
        finally:
            self._end(threads)

    def _worker(self, index: int, known: DeviceState | None) -> DeviceWorker:
        settings = self._settings
        name_of: NameOf | None = process_name if settings.processes else None

        def reach(device: int, meet: Callable[[str], Tally]) -> DeviceReader:
            return open_device(device, meet, slow_every=settings.slow_every, name_of=name_of, timer=self._timer)

        return DeviceWorker(
            index,
            known,
            open_device=reach,
            tally_of=self._tally_of,
            interval_seconds=settings.interval_seconds,
            on_session_lost=self._lose_session,
            on_read=self._note_first,
            timer=self._timer,
            log=self._log,
        )

    def _watch(self, workers: Sequence[DeviceWorker]) -> None:
        """Return when the session is to be opened anew or sampling ends; raise `ReadError` when the driver failed."""
        while not self._stopping.wait(self._settings.interval_seconds):
            if self._session_error is not None:
                raise ReadError(f"NVML: {self._session_error}")
            hanging = self._note_hanging(workers)
            count = device_count()
            lost = max((worker.lost_seconds() for worker in workers), default=0.0)
            if (count != len(workers) or lost > _REOPEN_LOST_SECONDS) and not hanging:
                return

    def _note_hanging(self, workers: Sequence[DeviceWorker]) -> bool:
        """Count and log each call that hangs, once."""
        with self._lock:
            for worker in workers:
                hangs = worker.busy_seconds() > self._settings.stale_seconds
                if hangs == (worker.index in self._hanging):
                    continue
                if hangs:
                    self._hanging.add(worker.index)
                    asking = worker.tally.asking
                    worker.tally.error(asking)
                    self._log.warning("gpu_hangs", gpu=worker.index, reading=asking.value)
                else:
                    self._hanging.discard(worker.index)
                    self._log.info("gpu_answers_again", gpu=worker.index)
            return bool(self._hanging)

    def _end(self, threads: Sequence[DeviceWorker | XidWatcher]) -> None:
        """End the threads, then the session: NVML must not be shut down under a call."""
        self._view = _View(self._view.versions, before=self._devices())
        for thread in threads:
            thread.stop()
        until = self._timer() + _STOP_SECONDS
        for thread in threads:
            while not thread.join(_JOIN_SECONDS):
                if self._timer() < until:
                    continue
                if self._stopping.is_set():
                    return  # the process ends, and with it the threads
                self._view = replace(self._view, error=ReadError("the driver failed while a call to it hangs"))
        close_session()

    def _devices(self) -> tuple[DeviceState, ...]:
        """The devices as they are now, or as they were last; without those that are just being met."""
        view, stale = self._view, self._settings.stale_seconds
        met = (worker for worker in view.workers if worker.known or worker.read_once or worker.busy_seconds() > stale)
        return tuple(worker.state() for worker in met) or view.before

    def _lose_session(self, why: str) -> None:
        self._session_error = why

    def _note_first(self) -> None:
        if not self._first.is_set() and all(worker.read_once for worker in self._view.workers):
            self._first.set()

    def _tally_of(self, uuid: str) -> Tally:
        with self._lock:
            return self._tallies.setdefault(uuid, Tally())
