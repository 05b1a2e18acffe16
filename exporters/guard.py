"""Runs collectors so that none can harm another, and says how each one did."""

import threading
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from prometheus_client import Metric
from structlog.typing import FilteringBoundLogger

from exporters.catalog import PRODUCT_FAMILIES, Collector
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.partial import PartialRead

Read: TypeAlias = Callable[[], FamilySet]
"""One collector: a fresh, complete reading. Raises `NoData` where there is nothing to read."""


class _Outcome(StrEnum):
    DATA = "data"
    NO_DATA = "no_data"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class _State:
    """How a collector did last; a change of it is worth a log line, a repetition is not."""

    outcome: _Outcome
    text: str = ""


class Guard:
    """Collectors, each isolated and timed. It keeps no samples between scrapes."""

    def __init__(
        self, collectors: Mapping[Collector, Read], *, timer: Callable[[], float], log: FilteringBoundLogger
    ) -> None:
        """`timer` gives monotonic seconds."""
        self._collectors = dict(collectors)
        self._timer = timer
        self._log = log
        self._states: dict[Collector, _State] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[Collector, ...]:
        """Collectors that are on."""
        return tuple(self._collectors)

    def collect(self, only: AbstractSet[Collector] | None = None) -> Iterator[Metric]:
        """Give what `read` gives as `prometheus_client` has it."""
        for families in self.read(only):
            yield from families.metrics()

    def read(self, only: AbstractSet[Collector] | None = None) -> Iterator[FamilySet]:
        """Run the collectors (those in `only`, if given) and yield their families, then the families about them.

        A collector that raises gives no family at all: its buffer is dropped, not sent half full. `PartialRead` is
        the exception: it carries what is known all the same.
        """
        about = FamilySet(PRODUCT_FAMILIES)
        for name, read in self._collectors.items():
            if only is not None and name not in only:
                continue
            started = self._timer()
            families, state = _run(read)
            about.add("optiinfra_scrape_collector_duration_seconds", self._timer() - started, name)
            about.add("optiinfra_scrape_collector_success", state.outcome is not _Outcome.FAILED, name)
            self._note(name, state)
            if families is not None:
                yield families
        yield about

    def _note(self, name: Collector, state: _State) -> None:
        with self._lock:
            before = self._states.get(name)
            self._states[name] = state
        if state == before:
            return
        match state.outcome:
            case _Outcome.FAILED:
                self._log.warning("collector_failed", collector=name.value, error=state.text)
            case _Outcome.NO_DATA:
                self._log.info("collector_has_no_data", collector=name.value, reason=state.text)
            case _Outcome.DATA if before is not None:
                self._log.info("collector_recovered", collector=name.value)


def _run(read: Read) -> tuple[FamilySet | None, _State]:
    try:
        return read(), _State(_Outcome.DATA)
    except Exception as error:  # noqa: BLE001 - the edge: whatever a collector raises, the other families are served
        # A collector may raise what it keeps. Each raise would add to its traceback, and so hold on to all that this
        # and earlier scrapes gave.
        return _failed(error.with_traceback(None))


def _failed(error: Exception) -> tuple[FamilySet | None, _State]:
    match error:
        case NoData():
            return None, _State(_Outcome.NO_DATA, str(error))
        case PartialRead():
            return error.families, _State(_Outcome.FAILED, str(error))
        case _:
            return None, _State(_Outcome.FAILED, f"{type(error).__name__}: {error}")
