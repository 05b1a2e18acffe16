"""What happens to pages on their way: missed scrapes, restarts, lags, families that are not there.

Each is a function from pages to pages, made by a call with its parameters, so that they compose and apply to any
target. Times are scrapes since the start of the recording.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from demo.faults.series import Key, Page, Pages

Change: TypeAlias = Callable[[Pages], Pages]

_COUNTERS = ("_total", "_bucket", "_sum", "_count", "tgi_request_success", "tgi_request_failure")
_UP = "llm_up"


@dataclass(frozen=True, slots=True)
class Missed:
    """Scrapes that came to nothing; the target was well."""

    scrapes: tuple[int, ...]

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        return tuple(None if step in self.scrapes else page for step, page in enumerate(pages))


@dataclass(frozen=True, slots=True)
class Down:
    """The target answers nothing from one scrape up to, and without, another; its counters begin anew after it.

    A prober goes on answering for an engine that is away: its page says `llm_up 0` and no more.
    """

    since: int
    until: int

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        gone = tuple(_unanswered(page) if self.since <= step < self.until else page for step, page in enumerate(pages))
        return CounterReset(self.until)(gone)


@dataclass(frozen=True, slots=True)
class CounterReset:
    """The process restarts between two scrapes: no scrape fails, all counters begin at zero."""

    at: int

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        if self.at >= len(pages):
            return pages
        base = next((page for page in reversed(pages[: self.at]) if page and len(page) > 1), {})
        return (*pages[: self.at], *(_less(page, base) for page in pages[self.at :]))


@dataclass(frozen=True, slots=True)
class Frozen:
    """The engine's loop hangs: from the first page at or after `since` that shows a batch, every page is that one."""

    since: int
    batch: str = "num_requests_running"

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        for step in range(self.since, len(pages)):
            page = pages[step]
            if page and any(value > 0 for (name, _), value in page.items() if self._is_batch(name)):
                return (*pages[: step + 1], *((page,) * (len(pages) - step - 1)))
        raise ValueError(f"no request runs at or after scrape {self.since}: nothing to freeze")

    def _is_batch(self, name: str) -> bool:
        known = ("num_requests_running", "llm_requests_running", "num_running_reqs", "requests_processing")
        return name.endswith((self.batch, *known))


@dataclass(frozen=True, slots=True)
class Lagging:
    """The target's figures are late by some scrapes, as behind a cache or an exporter whose clock is off."""

    scrapes: int

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        empty: Page = {}  # what there was before the recording is not known
        return (empty,) * self.scrapes + pages[: len(pages) - self.scrapes]


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock of an engine is set forward: requests in flight seem to have taken that much longer.

    Families are those whose observations subtract wall-clock times; each of them gets `requests` such observations.
    """

    at: int
    seconds: float
    requests: int
    families: tuple[str, ...]

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        return (*pages[: self.at], *(self._stepped(page) for page in pages[self.at :]))

    def _stepped(self, page: Page | None) -> Page | None:
        if page is None:
            return None
        added = {"_sum": self.seconds * self.requests, "_count": self.requests}
        return {key: value + self._added(key, added) for key, value in page.items()}

    def _added(self, key: Key, added: Mapping[str, float]) -> float:
        name, labels = key
        family, _, part = name.rpartition("_")
        if family not in self.families:
            return 0
        if part == "bucket":
            return self.requests if float(dict(labels)["le"]) >= self.seconds else 0
        return added[f"_{part}"]


@dataclass(frozen=True, slots=True)
class Without:
    """Families, or parts of them, that this target does not give."""

    prefixes: tuple[str, ...]

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        return tuple(page and {key: value for key, value in page.items() if not self._drops(key)} for page in pages)

    def _drops(self, key: Key) -> bool:
        return key[0].startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class CoarseBuckets:
    """Histograms of a family keep these bounds only: everything fast falls into the first bucket."""

    family: str
    bounds: tuple[float, ...]

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        return tuple(page and {key: value for key, value in page.items() if self._keeps(key)} for page in pages)

    def _keeps(self, key: Key) -> bool:
        name, labels = key
        if name != f"{self.family}_bucket":
            return True
        bound = float(dict(labels)["le"])
        return math.isinf(bound) or bound in self.bounds


@dataclass(frozen=True, slots=True)
class Growing:
    """A counter of its own beside what the target counts: `per_second` from a scrape on."""

    key: Key
    since: int
    per_second: float
    interval: float = 15.0

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        return tuple(page and self._grown(step, page) for step, page in enumerate(pages))

    def _grown(self, step: int, page: Page) -> Page:
        grown = round(max(0, step - self.since) * self.interval * self.per_second)
        return {**page, self.key: page.get(self.key, 0.0) + grown}


@dataclass(frozen=True, slots=True)
class Reads:
    """A gauge that reads a value of its own from a scrape on."""

    key: Key
    before: float
    value: float
    since: int

    def __call__(self, pages: Pages) -> Pages:
        """The changed pages."""
        return tuple(
            page and {**page, self.key: self.value if step >= self.since else self.before}
            for step, page in enumerate(pages)
        )


def apply(changes: Sequence[Change], pages: Pages) -> Pages:
    """All changes, first to last."""
    for change in changes:
        pages = change(pages)
    return pages


def _unanswered(page: Page | None) -> Page | None:
    if page is None:
        return None
    up = {key: 0.0 for key in page if key[0] == _UP}
    return up or None


def _less(page: Page | None, base: Page) -> Page | None:
    if page is None:
        return None
    return {
        key: max(0.0, value - base.get(key, 0.0)) if key[0].endswith(_COUNTERS) else value
        for key, value in page.items()
    }
