"""A reading that hangs costs one thread and one failed collector, not the scrape."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from exporters.catalog import HOST_FAMILIES
from exporters.deadline import TimeLimited
from exporters.errors import ReadError
from exporters.families import FamilySet


class Driver:
    """A reading that hangs while its gate is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.calls = 0

    def read(self) -> FamilySet:
        self.calls += 1
        call = self.calls
        assert self.gate.wait(timeout=30)
        out = FamilySet(HOST_FAMILIES)
        out.add("host_cpus", call)
        return out


@pytest.fixture(name="driver")
def _driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.gate.set()


def answer(read: Callable[[], FamilySet]) -> float:
    return float(read().metrics()[0].samples[0].value)


def test_a_reading_within_the_limit_is_given(driver: Driver) -> None:
    driver.gate.set()
    limited = TimeLimited(driver.read, limit_seconds=30, timer=time.monotonic)

    assert (answer(limited), answer(limited)) == (1, 2)


def test_a_hanging_reading_is_given_up_on_and_not_asked_again_until_it_ends(driver: Driver) -> None:
    limited = TimeLimited(driver.read, limit_seconds=0.02, timer=time.monotonic)
    for _ in range(3):
        with pytest.raises(ReadError, match=r"no answer within 0\.02 s"):
            limited()

    assert driver.calls == 1


def test_after_a_hang_the_next_scrape_gets_a_new_reading_not_the_old_one(driver: Driver) -> None:
    limited = TimeLimited(driver.read, limit_seconds=0.02, timer=time.monotonic)
    with pytest.raises(ReadError):
        limited()
    driver.gate.set()

    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(ReadError):  # the old reading may take a moment to end
            assert answer(limited) > 1
            return
    pytest.fail("the collector never recovered")


def test_scrapes_that_meet_a_reading_share_it(driver: Driver) -> None:
    asked = threading.Semaphore(0)

    def timer() -> float:
        asked.release()
        return 0.0

    limited = TimeLimited(driver.read, limit_seconds=30, timer=timer)
    answers: list[float] = []
    scrapes = [threading.Thread(target=lambda: answers.append(answer(limited))) for _ in range(3)]
    for scrape in scrapes:
        scrape.start()
    for _ in scrapes:
        assert asked.acquire(timeout=30)
    with limited._lock:  # the last one has chosen its reading
        driver.gate.set()
    for scrape in scrapes:
        scrape.join(timeout=30)

    assert (answers, driver.calls) == ([1.0, 1.0, 1.0], 1)


def test_what_a_reading_raises_reaches_the_scrape() -> None:
    def read() -> FamilySet:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        TimeLimited(read, limit_seconds=30, timer=time.monotonic)()
