"""`/probe`: one engine's exposition, fetched, mapped and answered as canonical families."""

import math
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporters.catalog import SCRAPE_FAMILIES, Engine, Family
from exporters.inference.connection import Resolve
from exporters.inference.facts import MAX_TARGETS, FactKeeper, Facts
from exporters.inference.fetch import Fetcher, FetchError, Remaining
from exporters.inference.lru import Lru
from exporters.inference.mapping import named
from exporters.inference.metrics_page import MetricsPage, MetricsPages, Sight
from exporters.inference.plausible import plausible
from exporters.inference.render import CONTENT_TYPE, Sample, Samples, render
from exporters.inference.targets import AllowList, Endpoint, TargetError, parse_endpoint
from exporters.inference.told import told

AUTO = "auto"
MAX_BODY_BYTES = 4 * 2**20
TIMEOUT_SECONDS = 5.0
# Left to read, map, answer and travel before Prometheus gives up on the scrape.
MARGIN_SECONDS = 0.5
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """An HTTP answer: 200 with an exposition, also for a probe that failed; 400 or 403 with a sentence."""

    status: int
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a probe found. `engine` None: not known; `failure` None: it went well, and the rest is there."""

    engine: Engine | None
    families: tuple[tuple[Family, Samples], ...] = ()
    failure: FetchError | None = None
    page: MetricsPage | None = None
    facts: Facts | None = None


class Prober:
    """Probes engines. Thread-safe: one instance serves every request.

    A probe takes at most `timeout_seconds`, less where the scrape asks for less, and reads at most `max_body_bytes`.
    `clock` gives monotonic seconds. Raises `exporters.catalog.CatalogueError` when a catalogue file is wrong.
    """

    def __init__(
        self,
        allowed: AllowList,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Callable[[], float] = time.monotonic,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        self._allowed = allowed
        self._timeout = timeout_seconds
        self._clock = clock
        fetcher = Fetcher(allowed, resolve)
        self._pages = MetricsPages(fetcher, max_body_bytes)
        self._facts = FactKeeper(fetcher, clock)
        self._sights: Lru[tuple[Endpoint, Engine | None], Sight] = Lru(MAX_TARGETS)

    def probe(self, target: str | None, engine: str | None = None, timeout: str | None = None) -> ProbeResult:
        """Answer `/probe?target=…&engine=…`.

        All three are as the request has them, None where it lacks them: `engine` is an Engine value or `auto` (the
        default), `timeout` the header `X-Prometheus-Scrape-Timeout-Seconds`. Never raises.
        """
        start = self._clock()
        if not target:
            return _refusal(400, "target is missing: /probe?target=http://host:port/metrics&engine=vllm")
        choices = [AUTO, *(known.value for known in Engine)]
        if (engine := engine or AUTO) not in choices:
            return _refusal(400, f"engine {engine!r} is not known; one of {', '.join(choices)}")
        asked = None if engine == AUTO else Engine(engine)
        try:
            endpoint = parse_endpoint(target, self._pages.detection.pages(asked))
        except TargetError as error:
            return _refusal(400, str(error))
        if not self._allowed.allows(endpoint.root):
            return _refusal(403, f"{endpoint.root.netloc} is not an allowed target of this exporter (--probe-allow)")
        deadline = start + min(self._timeout, _budget(timeout))
        outcome = self._read(endpoint, asked, lambda: deadline - self._clock())
        body = render(self._answer(outcome, self._clock() - start))
        if outcome.failure is not None:
            body += f"# {' '.join(str(outcome.failure).split())}\n"
        return ProbeResult(200, body.encode(), CONTENT_TYPE)

    def _read(self, endpoint: Endpoint, asked: Engine | None, remaining: Remaining) -> _Outcome:
        last = self._sights.get((endpoint, asked))
        try:
            page = self._pages.read(endpoint, asked, last, remaining)
        except FetchError as error:
            if last is not None:
                self._facts.renew(endpoint, self._pages.catalogues[last.engine])
            return _Outcome(asked or (last.engine if last else None), failure=error)
        catalogue = self._pages.catalogues[page.engine]
        sight = page.sight()
        if last is not None and last.restarted(sight):
            self._facts.renew(endpoint, catalogue)
        self._sights.put((endpoint, asked), sight)
        facts = self._facts.facts(endpoint, catalogue, remaining)
        return _Outcome(page.engine, tuple(_families(page, facts)), page=page, facts=facts)

    def _answer(self, outcome: _Outcome, seconds: float) -> Iterator[tuple[Family, Samples]]:
        labels = (("engine", outcome.engine.value),) if outcome.engine else ()
        yield SCRAPE_FAMILIES["llm_up"], [Sample("", labels, 0.0 if outcome.failure else 1.0)]
        yield SCRAPE_FAMILIES["llm_scrape_duration_seconds"], [Sample("", (), seconds)]
        if outcome.page is not None:
            yield SCRAPE_FAMILIES["llm_scrape_skipped_lines"], [Sample("", (), float(outcome.page.skipped))]
            yield SCRAPE_FAMILIES["llm_scrape_body_bytes"], [Sample("", (), float(outcome.page.body_bytes))]
        if outcome.facts is not None and outcome.facts.pages:
            read = [Sample("", (("path", path),), float(well)) for path, well in outcome.facts.pages.items()]
            yield SCRAPE_FAMILIES["llm_scrape_page_success"], read
        if outcome.failure:
            reason = (("reason", outcome.failure.reason.value),)
            yield SCRAPE_FAMILIES["llm_scrape_failure_info"], [Sample("", reason, 1.0)]
        yield from outcome.families


def _families(page: MetricsPage, facts: Facts) -> Iterator[tuple[Family, Samples]]:
    """What the engine's pages give together; what the metrics page gives comes from there."""
    models = page.models or facts.models or ("",)
    only = models[0] if len(models) == 1 else ""
    yield from named(page.families, only) if only else page.families
    given = {family.name for family, _ in page.families}
    yield from plausible(told(page.engine, facts, models, given))[0]


def _refusal(status: int, sentence: str) -> ProbeResult:
    return ProbeResult(status, f"{sentence}\n".encode(), _TEXT)


def _budget(timeout: str | None) -> float:
    """Seconds that the scrape leaves: its timeout less a margin; no limit where it states none that is usable."""
    try:
        seconds = float(timeout or "inf")
    except ValueError:
        return math.inf
    return max(seconds - MARGIN_SECONDS, seconds / 2) if seconds > 0 else math.inf
