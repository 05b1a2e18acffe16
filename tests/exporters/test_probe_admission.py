"""Pages take turns: few large ones in memory, one at a time on the processor, small ones apart from large."""

from contextlib import ExitStack

import pytest

from exporters.catalog import ProbeFailure
from exporters.inference.admission import SMALL_BYTES, Admission, AdmittedPage
from exporters.inference.connection import FetchError


def in_time() -> float:
    return 0.02


def too_late() -> float:
    return 0.0


def large(page: AdmittedPage) -> AdmittedPage:
    page.grow(SMALL_BYTES)
    page.grow(SMALL_BYTES + 1)
    return page


def test_one_small_page_is_read_at_a_time_and_gives_its_turn_back() -> None:
    admission = Admission()
    with admission.page(in_time) as first, admission.page(in_time) as second:
        first.read()
        with pytest.raises(FetchError) as refused:
            second.read()
        assert refused.value.reason is ProbeFailure.EXPORTER_BUSY
    with admission.page(in_time) as third:
        third.read()


def test_a_turn_is_given_back_where_reading_fails() -> None:
    admission = Admission()

    def fail() -> None:
        with admission.page(in_time) as page:
            large(page).read()
            raise ZeroDivisionError

    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            fail()


def test_a_small_page_does_not_wait_for_large_ones() -> None:
    admission = Admission()
    with ExitStack() as stack:
        pages = [stack.enter_context(admission.page(in_time)) for _ in range(3)]
        large(pages[0]).read()
        with pytest.raises(FetchError):
            large(pages[1]).read()
        pages[2].grow(SMALL_BYTES)
        pages[2].read()


def test_so_many_large_pages_are_in_memory_and_small_ones_do_not_count() -> None:
    admission = Admission(places=2)
    with ExitStack() as stack:
        pages = [stack.enter_context(admission.page(in_time)) for _ in range(5)]
        for page in pages[:2]:
            large(page).grow(10 * SMALL_BYTES)  # once a place is taken, it may grow
        with pytest.raises(FetchError) as refused:
            large(pages[2])
        assert refused.value.reason is ProbeFailure.EXPORTER_BUSY
        pages[3].grow(SMALL_BYTES)


def test_after_the_deadline_nothing_is_waited_for() -> None:
    with Admission().page(too_late) as page, pytest.raises(TimeoutError):
        page.read()
