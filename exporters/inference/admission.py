"""Shares the exporter's memory and its processor among the pages that are being read.

Python runs one thread at a time, so reading several pages at once makes none of them faster. It makes all of them late,
and with dozens at it the thread that takes requests and sees clients leave gets no turn either. So pages are read one
after the other. Large ones wait apart: however many targets send junk, a small page has one of them to share with. And
large pages need one of a few places to be in memory at all.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from exporters.catalog import ProbeFailure
from exporters.inference.connection import FetchError, Remaining, left

SMALL_BYTES = 2**17
_PLACES = 8


class Admission:
    """Thread-safe. `places` large pages may be in memory; one of them, and one small page, be read."""

    def __init__(self, places: int = _PLACES) -> None:
        self.places = threading.BoundedSemaphore(places)
        self.small = threading.BoundedSemaphore(1)
        self.large = threading.BoundedSemaphore(1)

    @contextmanager
    def page(self, remaining: Remaining) -> Iterator["AdmittedPage"]:
        """One page, from its first byte until it has been read; what it took is given back then."""
        with ExitStack() as held:
            yield AdmittedPage(self, remaining, held)


class AdmittedPage:
    """A page that is being fetched and read."""

    def __init__(self, admission: Admission, remaining: Remaining, held: ExitStack) -> None:
        self._admission = admission
        self._remaining = remaining
        self._held = held
        self._large = False

    def grow(self, size: int) -> None:
        """Before the page takes `size` bytes. Raises FetchError where no place comes free in time."""
        if size > SMALL_BYTES and not self._large:
            self._take(self._admission.places)
            self._large = True

    def read(self) -> None:
        """Before the page, which has come whole, is read. Raises FetchError where its turn does not come in time."""
        self._take(self._admission.large if self._large else self._admission.small)

    def _take(self, semaphore: threading.BoundedSemaphore) -> None:
        if not semaphore.acquire(timeout=left(self._remaining)):
            raise FetchError(
                ProbeFailure.EXPORTER_BUSY, "the exporter is busy with other pages: let more of them share"
            )
        self._held.callback(semaphore.release)
