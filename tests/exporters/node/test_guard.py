"""A collector that fails harms no other, and is told of once."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.typing import FilteringBoundLogger

from exporters.catalog import HOST_FAMILIES, Collector
from exporters.errors import NoData, ReadError
from exporters.families import FamilySet
from exporters.guard import Guard, Read

ValueOf = Callable[..., float | None]


def load() -> FamilySet:
    out = FamilySet(HOST_FAMILIES)
    out.add("host_load1", 1.5)
    return out


def half_a_reading() -> FamilySet:
    out = FamilySet(HOST_FAMILIES)
    out.add("host_cpus", 2)
    raise OSError("the file went away")


def no_data() -> FamilySet:
    raise NoData("no driver")


class Script:
    """A collector that does the next thing of a list at each scrape."""

    def __init__(self, *reads: Read) -> None:
        self._reads = iter(reads)

    def __call__(self) -> FamilySet:
        return next(self._reads)()


@pytest.fixture(name="guard_of")
def _guard_of(timer: Callable[[], float], log: FilteringBoundLogger) -> Callable[..., Guard]:
    return lambda collectors: Guard(collectors, timer=timer, log=log)


def test_a_raising_collector_gives_nothing_and_leaves_the_others_intact(
    guard_of: Callable[..., Guard], value_of: ValueOf
) -> None:
    metrics = list(guard_of({Collector.CPU: half_a_reading, Collector.LOAD: load}).collect())

    assert value_of(metrics, "host_load1") == 1.5
    assert value_of(metrics, "host_cpus") is None
    assert value_of(metrics, "optiinfra_scrape_collector_success", collector="cpu") == 0
    assert value_of(metrics, "optiinfra_scrape_collector_success", collector="load") == 1


def test_every_collector_is_timed_also_when_it_fails(guard_of: Callable[..., Guard], value_of: ValueOf) -> None:
    metrics = list(guard_of({Collector.CPU: half_a_reading, Collector.LOAD: load}).collect())

    for collector in ("cpu", "load"):
        assert value_of(metrics, "optiinfra_scrape_collector_duration_seconds", collector=collector) == 0.25


def test_nothing_to_read_is_no_failure(guard_of: Callable[..., Guard], value_of: ValueOf, events: list[Any]) -> None:
    guard = guard_of({Collector.GPU: no_data})

    for _ in range(3):
        metrics = list(guard.collect())

    assert value_of(metrics, "optiinfra_scrape_collector_success", collector="gpu") == 1
    assert events == [
        {"event": "collector_has_no_data", "log_level": "info", "collector": "gpu", "reason": "no driver"},
    ]


def test_an_error_is_logged_when_it_changes_and_when_it_ends(guard_of: Callable[..., Guard], events: list[Any]) -> None:
    def fail(text: str) -> Read:
        def read() -> FamilySet:
            raise ReadError(text)

        return read

    guard = guard_of({Collector.LOAD: Script(load, fail("a"), fail("a"), fail("b"), load, load)})
    for _ in range(6):
        list(guard.collect())

    assert [(event["event"], event.get("error")) for event in events] == [
        ("collector_failed", "ReadError: a"),
        ("collector_failed", "ReadError: b"),
        ("collector_recovered", None),
    ]


def test_a_scrape_can_choose_collectors(guard_of: Callable[..., Guard], value_of: ValueOf) -> None:
    guard = guard_of({Collector.CPU: half_a_reading, Collector.LOAD: load})
    metrics = list(guard.collect({Collector.LOAD}))

    assert value_of(metrics, "host_load1") == 1.5
    assert value_of(metrics, "optiinfra_scrape_collector_success", collector="cpu") is None


def test_an_error_that_a_collector_keeps_and_raises_again_holds_on_to_no_scrape(
    timer: Callable[[], float], log: FilteringBoundLogger
) -> None:
    kept = NoData("no GPU")

    def read() -> FamilySet:
        raise kept

    guard = Guard({Collector.GPU: read}, timer=timer, log=log)
    for _ in range(3):
        list(guard.read())

    assert kept.__traceback__ is None
