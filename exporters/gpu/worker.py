"""One device, read in a thread of its own at a fixed cadence."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pynvml as nvml
from structlog.typing import FilteringBoundLogger

from exporters.gpu.device import DeviceReader
from exporters.gpu.errors import SESSION_LOST
from exporters.gpu.snapshot import DeviceSample, DeviceState, Identity
from exporters.gpu.tally import Tally

OpenDevice: TypeAlias = Callable[[int, Callable[[str], Tally]], DeviceReader]
"""Reaches the device of an index; calls back with its uuid, as soon as that is known, for its counters."""


@dataclass(frozen=True, slots=True)
class _Latest:
    """What is known of the device; replaced as a whole, so that scrapes need no lock."""

    identity: Identity
    tally: Tally
    sample: DeviceSample | None = None
    lost: str = ""


class DeviceWorker:
    """A device that hangs holds this thread and no other: the call is waited for, never made a second time."""

    def __init__(
        self,
        index: int,
        known: DeviceState | None,
        *,
        open_device: OpenDevice,
        tally_of: Callable[[str], Tally],
        interval_seconds: float,
        on_session_lost: Callable[[str], None],
        on_read: Callable[[], None],
        timer: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        """`known` is what an earlier session knew of the device of this index; `tally_of` gives a uuid's counters."""
        self.index = index
        self.read_once = False  # whether a reading has ended, well or not
        self.known = known is not None
        identity = known.identity if known else Identity(uuid="")
        self._tally_of = tally_of
        self._latest = _Latest(
            identity=identity,
            tally=tally_of(identity.uuid),
            sample=known.sample if known else None,
            lost="not read in this session yet" if known and known.lost else "",
        )
        self._open = open_device
        self._interval = interval_seconds
        self._on_session_lost = on_session_lost
        self._on_read = on_read
        self._timer = timer
        self._log = log.bind(gpu=index)
        self._reader: DeviceReader | None = None
        self._noted: object = None
        self._busy_since: float | None = None
        self._lost_since: float | None = None
        self._stop = threading.Event()
        # A daemon: the exporter must be able to stop while a driver call hangs.
        self._thread = threading.Thread(target=self._run, name=f"gpu-{index}", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End reading after the call that is under way; `join` waits for it."""
        self._stop.set()

    def join(self, timeout_seconds: float) -> bool:
        """Whether the thread has ended within this time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def tally(self) -> Tally:
        """The device's counters."""
        return self._latest.tally

    def state(self) -> DeviceState:
        """What is known of the device now."""
        now = self._latest
        return DeviceState(self.index, now.identity, now.sample, lost=bool(now.lost), counts=now.tally.counts())

    def busy_seconds(self) -> float:
        """For how long the reading that is under way has taken; 0 when none is."""
        since = self._busy_since
        return 0.0 if since is None else self._timer() - since

    def lost_seconds(self) -> float:
        """For how long the device has been lost; 0 when it is not."""
        since = self._lost_since
        return 0.0 if since is None else self._timer() - since

    def _run(self) -> None:
        due = self._timer()
        while not self._stop.is_set():
            self._busy_since = self._timer()
            try:
                self._read()
            except SESSION_LOST as error:
                self._lose(str(error))
                self._on_session_lost(str(error))
                return
            except nvml.NVMLError as error:
                self._lose(str(error))
            except Exception as error:  # noqa: BLE001 - the edge: a defect of ours must not end the thread unseen
                self._lose(f"{type(error).__name__}: {error}")
            finally:
                self._busy_since = None
                self.read_once = True
                self._on_read()
            # A driver that takes longer than the interval is left alone for half of one.
            due = max(due + self._interval, self._timer() + self._interval / 2)
            self._stop.wait(due - self._timer())

    def _read(self) -> None:
        if self._reader is None:
            self._reader = self._open(self.index, self._meet)
        sample = self._reader.read()
        self._latest = _Latest(self._reader.identity, self._reader.tally, sample)
        self._lost_since = None
        self._note(self._reader)

    def _meet(self, uuid: str) -> Tally:
        """Know the device, before it is read: it may hang or be lost at once."""
        before = self._latest
        if before.identity.uuid != uuid:
            self._latest = _Latest(Identity(uuid=uuid), self._tally_of(uuid), lost=before.lost)
        return self._latest.tally

    def _lose(self, why: str) -> None:
        self._reader = None
        if self._lost_since is None:
            self._lost_since = self._timer()
        before = self._latest
        self._latest = _Latest(before.identity, before.tally, before.sample, lost=why)
        if self._noted != why:
            self._noted = why
            self._log.warning("gpu_lost", uuid=before.identity.uuid, error=why)

    def _note(self, reader: DeviceReader) -> None:
        """Log what the device lacks when that changes; logs are read by people, counters by rules."""
        lacks = {**reader.without, **reader.odd}
        if self._noted != lacks:
            self._noted = lacks
            self._log.info("gpu_found", uuid=reader.identity.uuid, without=lacks)
