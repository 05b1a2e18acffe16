"""Readings that are taken off the scrape path."""

import threading
from collections.abc import Callable, Iterator

import pytest

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData, ReadError
from exporters.families import FamilySet
from exporters.host.periodic import Periodic


def load(value: float) -> FamilySet:
    out = FamilySet(HOST_FAMILIES)
    out.add("host_load1", value)
    return out


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Script:
    """Gives one answer after another, the last one from then on; tells when it was asked."""

    def __init__(self, *answers: FamilySet | Exception) -> None:
        self.answers = list(answers)
        self.asked = threading.Semaphore(0)

    def __call__(self) -> FamilySet:
        self.asked.release()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="sampled")
def _sampled(clock: Clock) -> Iterator[Callable[..., Periodic]]:
    started: list[Periodic] = []

    def start(read: Callable[[], FamilySet], *, interval: float = 60.0, first: float = 30.0) -> Periodic:
        periodic = Periodic(read, interval_seconds=interval, first_seconds=first, timer=clock).start()
        started.append(periodic)
        return periodic

    yield start
    for periodic in started:
        periodic.stop()


def test_scrapes_get_the_last_sample_and_take_none_themselves(sampled: Callable[..., Periodic]) -> None:
    script = Script(load(1), load(2))
    periodic = sampled(script)

    assert [_value(periodic()) for _ in range(3)] == [1, 1, 1]


def test_a_new_sample_is_taken_after_each_interval(sampled: Callable[..., Periodic]) -> None:
    script = Script(load(1), load(2), load(3))
    periodic = sampled(script, interval=0.01)
    for _ in range(5):
        assert script.asked.acquire(timeout=30)

    assert _value(periodic()) == 3


@pytest.mark.parametrize("error", [NoData("no engine here"), OSError("gone")])
def test_a_reading_that_fails_fails_the_scrape_and_the_next_one_mends_it(
    sampled: Callable[..., Periodic], error: Exception
) -> None:
    script = Script(error, error, load(1))
    periodic = sampled(script, interval=0.2)
    with pytest.raises(type(error), match=str(error)):
        periodic()
    for _ in range(4):
        assert script.asked.acquire(timeout=30)

    assert _value(periodic()) == 1


def test_an_old_sample_is_not_given(sampled: Callable[..., Periodic], clock: Clock) -> None:
    periodic = sampled(Script(load(1)), interval=5.0)
    periodic()
    clock.now = 15.0
    assert _value(periodic()) == 1
    clock.now = 15.1

    with pytest.raises(ReadError, match="15 s old"):
        periodic()


def test_a_first_reading_that_hangs_holds_up_no_scrape(sampled: Callable[..., Periodic]) -> None:
    gate = threading.Event()

    def hang() -> FamilySet:
        assert gate.wait(timeout=30)
        return load(1)

    periodic = sampled(hang, first=0.01)
    try:
        with pytest.raises(ReadError, match="first reading is still under way"):
            periodic()
    finally:
        gate.set()


def _value(families: FamilySet) -> float:
    [metric] = families.metrics()
    value: float = metric.samples[0].value
    return value
