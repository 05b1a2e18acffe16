"""What an engine's JSON pages tell of it, asked for once in a while: model, version, limits, configuration.

A page that tells more than the version is asked for every CONFIG_SECONDS, a version every VERSION_SECONDS, both at once
after a probe failed or the engine's counters fell, for it may have come back with other flags. A page that cannot be
read changes nothing for a while: what it said before holds until twice its interval is over. After a failure or a
restart only the model's name holds; everything else is unknown until the page is read anew.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from exporters.catalog import EngineCatalogue, FactPage
from exporters.inference import json_page
from exporters.inference.fetch import Fetcher, FetchError, Remaining
from exporters.inference.lru import Lru
from exporters.inference.targets import Endpoint

CONFIG_SECONDS = 300.0
VERSION_SECONDS = 3600.0
RETRY_SECONDS = 60.0
# All pages of one probe together; and a page gets its part of it, so that one which hangs does not starve the others.
TIMEOUT_SECONDS = 2.0
# SGLang's and llama.cpp's pages carry chat templates.
MAX_BODY_BYTES = 2**20
MAX_TARGETS = 8192
_MAX_MODELS = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """What pages tell. Family -> value, family -> label -> text; `pages`: whether each was last read well."""

    models: tuple[str, ...] = ()
    version: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pages: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one page said, when it is due again and until when what it said holds; monotonic seconds."""

    facts: Facts
    well: bool
    due: float
    expires: float


class FactKeeper:
    """Asks for fact pages and remembers them. Thread-safe; two probes at once may both ask, which does no harm."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._fetcher = fetcher
        self._clock = clock
        self._entries: Lru[tuple[Endpoint, str], _Entry] = Lru(4 * MAX_TARGETS)

    def facts(self, endpoint: Endpoint, catalogue: EngineCatalogue, remaining: Remaining) -> Facts:
        """What the engine's pages tell; those that are due are asked for. Takes at most half of `remaining`."""
        until = self._clock() + min(TIMEOUT_SECONDS, remaining() / 2)
        known = {page.path: self._entries.get((endpoint, page.path)) for page in catalogue.pages}
        due = [page for page in catalogue.pages if (at := known[page.path]) is None or at.due <= self._clock()]
        for asked, page in enumerate(due):
            now = self._clock()
            if now >= until:
                break
            entry = self._ask(endpoint, page, known[page.path], now + (until - now) / (len(due) - asked))
            known[page.path] = entry
            self._entries.put((endpoint, page.path), entry)
        return _merged({path: entry for path, entry in known.items() if entry is not None}, self._clock())

    def renew(self, endpoint: Endpoint, catalogue: EngineCatalogue) -> None:
        """The engine may not be what it was: ask all its pages at the next opportunity."""
        for page in catalogue.pages:
            if (entry := self._entries.get((endpoint, page.path))) is not None:
                name = Facts(models=entry.facts.models)
                self._entries.put((endpoint, page.path), replace(entry, facts=name, due=self._clock()))

    def _ask(self, endpoint: Endpoint, page: FactPage, known: _Entry | None, until: float) -> _Entry:
        def remaining() -> float:
            return until - self._clock()

        interval = CONFIG_SECONDS if page.model or page.numbers or page.texts else VERSION_SECONDS
        retry = RETRY_SECONDS
        for path in (page.path, *page.older):
            try:
                with self._fetcher.page(
                    endpoint.at(path), remaining, MAX_BODY_BYTES, accept="application/json"
                ) as told:
                    facts = read(page, json_page.parse(told.body))
            except FetchError as error:
                if error.missing:
                    retry = CONFIG_SECONDS
                    continue
                break
            except ValueError:
                break
            now = self._clock()
            return _Entry(facts, well=True, due=now + interval, expires=now + 2 * interval)
        now = self._clock()
        if known is None:
            return _Entry(Facts(), well=False, due=now + retry, expires=now)
        return replace(known, well=False, due=now + retry)


def read(page: FactPage, answer: object) -> Facts:
    """What `answer`, a JSON page, tells."""
    models = _first(list(islice(json_page.texts(answer, pointer), _MAX_MODELS)) for pointer in page.model)
    version = _first(list(islice(json_page.texts(answer, pointer), 1)) for pointer in page.version)
    numbers = ((name, _product(answer, products)) for name, products in page.numbers.items())
    texts = ((name, json_page.labels(answer, pointers)) for name, pointers in page.texts.items())
    return Facts(
        tuple(dict.fromkeys(models)),
        version[0] if version else "",
        {name: value for name, value in numbers if value is not None},
        {name: labels for name, labels in texts if labels},
    )


def _first(found: Iterator[list[str]]) -> list[str]:
    return next((texts for texts in found if texts), [])


def _product(answer: object, products: tuple[tuple[str | float, ...], ...]) -> float | None:
    """The first product of which every factor is a number."""
    for product in products:
        total: float | None = 1.0
        for factor in product:
            value = json_page.number(answer, factor) if isinstance(factor, str) else factor
            total = None if total is None or value is None else total * value
        if total is not None:
            return total
    return None


def _merged(entries: Mapping[str, _Entry], now: float) -> Facts:
    """What holds of all pages together; of what two tell, the first page's word."""
    holding = [entry.facts for entry in entries.values() if now < entry.expires]
    return Facts(
        next((facts.models for facts in holding if facts.models), ()),
        next((facts.version for facts in holding if facts.version), ""),
        {name: value for facts in reversed(holding) for name, value in facts.numbers.items()},
        {name: texts for facts in reversed(holding) for name, texts in facts.texts.items()},
        {path: entry.well for path, entry in entries.items()},
    )
