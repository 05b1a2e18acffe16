"""Reads an engine's metrics page: an exposition, or the JSON list of models of an engine that has none."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporters.catalog import Engine, EngineCatalogue, Family, Kind, ModelList, ProbeFailure, load_engine
from exporters.exposition import Reader, TooManySeriesError
from exporters.inference import json_page, models
from exporters.inference.connection import left
from exporters.inference.detection import Detection
from exporters.inference.fetch import Fetcher, FetchError, Remaining
from exporters.inference.mapping import Mapper
from exporters.inference.plausible import plausible
from exporters.inference.render import Samples
from exporters.inference.targets import Endpoint

_MAX_LIST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Sight:
    """What is remembered of a metrics page: whose it was, where, and the sum of every counter family."""

    engine: Engine
    path: str
    totals: Mapping[str, float]

    def restarted(self, later: "Sight") -> bool:
        """Whether the engine was started anew between this and `later`: counters neither fall nor vanish otherwise."""
        return any(later.totals.get(name, 0.0) < total for name, total in self.totals.items())


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """What a metrics page gave: whose it is, where it was, canonical families, the models that these name."""

    engine: Engine
    path: str
    families: tuple[tuple[Family, Samples], ...]
    models: tuple[str, ...]
    skipped: int
    body_bytes: int

    def sight(self) -> Sight:
        """What to remember of it."""
        counters = ((family, samples) for family, samples in self.families if family.kind is Kind.COUNTER)
        totals = {family.name: sum(sample.value for sample in samples) for family, samples in counters}
        return Sight(self.engine, self.path, totals)


class MetricsPages:
    """Reads metrics pages of all engines. May be shared by threads.

    Raises `exporters.catalog.CatalogueError` when a catalogue file is wrong.
    """

    def __init__(self, fetcher: Fetcher, max_body_bytes: int) -> None:
        self._fetcher = fetcher
        self._max_body_bytes = max_body_bytes
        self.catalogues = {engine: load_engine(engine) for engine in Engine}
        self._mappers = {engine: Mapper(catalogue) for engine, catalogue in self.catalogues.items()}
        self._readers = {engine: Reader(mapper.wanted) for engine, mapper in self._mappers.items()}
        self.detection = Detection(self.catalogues)

    def read(self, endpoint: Endpoint, asked: Engine | None, last: Sight | None, remaining: Remaining) -> MetricsPage:
        """The metrics page of the engine that was `asked` for, or of the one that is there.

        `last`: what the last probe found. A page that is not there, or that is no metrics page, leads to the next one
        that an engine could have. Raises FetchError, of several the first.
        """
        first: FetchError | None = None
        for path in self.detection.candidates(endpoint, asked, last.path if last else None):
            listing = self.detection.listing(path, asked)
            try:
                if listing is not None and listing.models is not None:
                    return self._list(endpoint, path, listing, listing.models, remaining)
                return self._exposition(endpoint, path, asked, last.engine if last else None, remaining)
            except FetchError as error:
                first = first or error
                if not error.missing and error.reason is not ProbeFailure.CONTENT:
                    raise first from None
        if first is None:
            raise AssertionError("there is always a page to try")
        raise first

    def _exposition(
        self, endpoint: Endpoint, path: str, asked: Engine | None, last: Engine | None, remaining: Remaining
    ) -> MetricsPage:
        try:
            with self._fetcher.exposition(endpoint.at(path), remaining, self._max_body_bytes) as text:
                engine = self.detection.engine(path, text, asked, last)
                mapper = self._mappers[engine]
                reading = self._readers[engine].read(text, lambda: left(remaining))
                families, implausible = plausible(mapper.families(reading))
                size = len(text.encode())
        except TooManySeriesError as error:
            raise FetchError(ProbeFailure.TOO_MANY_SERIES, str(error)) from None
        named = {sample.labels[1][1] for _, samples in families for sample in samples} - {""}
        return MetricsPage(engine, path, tuple(families), tuple(sorted(named)), reading.skipped + implausible, size)

    def _list(
        self, endpoint: Endpoint, path: str, catalogue: EngineCatalogue, listing: ModelList, remaining: Remaining
    ) -> MetricsPage:
        limit = min(_MAX_LIST_BYTES, self._max_body_bytes)
        with self._fetcher.page(endpoint.at(path), remaining, limit, accept="application/json") as page:
            body_bytes = len(page.body)
            try:
                loaded = models.read(listing, json_page.parse(page.body))
            except ValueError as error:
                raise FetchError(ProbeFailure.CONTENT, f"not JSON: {error}") from None
        if loaded is None:
            raise FetchError(ProbeFailure.CONTENT, f"JSON without a list of {listing.items}, as {catalogue.title} has")
        families, implausible = plausible(models.families(catalogue, listing, loaded))
        skipped = loaded.skipped + implausible
        return MetricsPage(catalogue.engine, path, tuple(families), tuple(loaded.items), skipped, body_bytes)
