"""Keeps large pages from taking the memory and the processor that all probes share.

Nearly every engine's page is small and passes. A page that grows large needs one of a few places to go on, and only one
large page is read at a time: Python runs one thread at a time anyway, so nobody is slower for it, and however many
targets send junk, a small page has to share the processor with one of them only.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from exporters.inference.connection import Remaining, left

SMALL_BYTES = 2**17
_PLACES = 8


class Admission:
    """Thread-safe. `places` large pages may be in memory, and one of them be read."""

    def __init__(self, places: int = _PLACES) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._processor = threading.BoundedSemaphore(1)

    @contextmanager
    def page(self, remaining: Remaining) -> Iterator["AdmittedPage"]:
        """One page, from its first byte until it has been read. Large ones wait in it until `remaining` is over."""
        with ExitStack() as held:
            yield AdmittedPage(self._places, self._processor, remaining, held)


class AdmittedPage:
    """A page that is being fetched and read."""

    def __init__(
        self,
        places: threading.BoundedSemaphore,
        processor: threading.BoundedSemaphore,
        remaining: Remaining,
        held: ExitStack,
    ) -> None:
        self._places = places
        self._processor = processor
        self._remaining = remaining
        self._held = held
        self._large = False

    def grow(self, size: int) -> None:
        """Before the page takes `size` bytes. Raises TimeoutError where no place came free in time."""
        if size > SMALL_BYTES and not self._large:
            self._take(self._places)
            self._large = True

    def read(self) -> None:
        """Before the page, which has come whole, is read. Raises TimeoutError where its turn did not come in time."""
        if self._large:
            self._take(self._processor)

    def _take(self, semaphore: threading.BoundedSemaphore) -> None:
        if not semaphore.acquire(timeout=left(self._remaining)):
            raise TimeoutError
        self._held.callback(semaphore.release)
