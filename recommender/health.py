"""Whether the parts that the recommender needs work, by trying each. Results are kept for a moment."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import requests

from recommender.clock import Clock
from recommender.errors import PrometheusError, StoreUnavailable
from recommender.prometheus import PrometheusClient
from recommender.store import Store
from recommender.store.store import WATCHDOG
from recommender.worker import Loop


class Status(StrEnum):
    """Of one part or of the whole."""

    UP = "up"
    DEGRADED = "degraded"  # works, without something that it needs for its whole job
    DOWN = "down"
    UNKNOWN = "unknown"  # nothing was ever heard of it


@dataclass(frozen=True, slots=True)
class Component:
    """One part: its state, how long trying it took, and what is wrong. `essential`: nothing works without it."""

    name: str
    status: Status
    latency_seconds: float | None
    error: str
    essential: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """How to try a part: `try_it` returns, or raises one of our errors; None from it means unknown."""

    name: str
    try_it: Callable[[], bool | None]
    essential: bool = False


class Health:
    """Tries all parts, at most once in `keep_seconds`, however many ask."""

    def __init__(self, probes: Sequence[Probe], keep_seconds: float = 2.0) -> None:
        self._probes = tuple(probes)
        self._keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._known: tuple[float, tuple[Component, ...]] | None = None

    def components(self) -> tuple[Component, ...]:
        """Every part, tried just now or a moment ago."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > self._keep_seconds:
                components = tuple(_tried(probe) for probe in self._probes)
                self._known = (time.monotonic(), components)
            return self._known[1]

    def status(self) -> Status:
        """Down when an essential part is, degraded when another is."""
        bad = [part for part in self.components() if part.status is Status.DOWN]
        if not bad:
            return Status.UP
        return Status.DOWN if any(part.essential for part in bad) else Status.DEGRADED


def _tried(probe: Probe) -> Component:
    start, error, status = time.perf_counter(), "", Status.UP
    try:
        worked = probe.try_it()
        status = Status.UNKNOWN if worked is None else Status.UP
    except (StoreUnavailable, PrometheusError, ProbeFailed) as exc:
        status, error = Status.DOWN, str(exc)
    return Component(probe.name, status, time.perf_counter() - start, error, probe.essential)


class ProbeFailed(Exception):
    """A part does not work; the text says how."""


def store_probe(store: Store, clock: Clock) -> Probe:
    """Writes a row."""

    def try_it() -> bool:
        store.beat("health", clock.now())
        return True

    return Probe("store", try_it, essential=True)


def prometheus_probe(client: PrometheusClient) -> Probe:
    """Evaluates a constant."""

    def try_it() -> bool:
        client.check()
        return True

    return Probe("prometheus", try_it)


def alertmanager_probe(url: str, timeout_seconds: float = 2.0) -> Probe:
    """Asks Alertmanager whether it is ready."""

    def try_it() -> bool:
        try:
            answer = requests.get(f"{url}/-/ready", timeout=timeout_seconds)
        except requests.RequestException as exc:
            raise ProbeFailed(f"{url} does not answer ({type(exc).__name__}); is Alertmanager running?") from exc
        if not answer.ok:
            raise ProbeFailed(f"{url} answers {answer.status_code}; is it an Alertmanager?")
        return True

    return Probe("alertmanager", try_it)


def loop_probe(loop: Loop, clock: Clock, patience: timedelta = timedelta(minutes=5)) -> Probe:
    """A loop lives when it turned lately and its last step did not fail. Patience covers one restart command."""

    def try_it() -> bool:
        silent = clock.now() - loop.last_turn()
        if silent > patience:
            raise ProbeFailed(f"no step for {silent.total_seconds():.0f} s")
        if error := loop.last_error():
            raise ProbeFailed(error)
        return True

    return Probe(loop.name, try_it)


def watchdog_probe(store: Store, clock: Clock, timeout_seconds: float) -> Probe:
    """The Watchdog alert always fires: when it stops coming, no alert comes."""

    def try_it() -> bool | None:
        seen = store.last_beat(WATCHDOG)
        if seen is None:
            return None
        silent = (clock.now() - seen).total_seconds()
        if silent > timeout_seconds:
            raise ProbeFailed(f"the Watchdog alert was last seen {silent:.0f} s ago; look at Prometheus, Alertmanager")
        return True

    return Probe("watchdog", try_it)
