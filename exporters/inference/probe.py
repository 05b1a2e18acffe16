"""`/probe`: one engine's exposition, fetched, mapped and answered as canonical families."""

import math
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporters.catalog import INFERENCE_FAMILIES, SCRAPE_FAMILIES, Engine, Family, ProbeFailure, load_engine
from exporters.exposition import Reader, Reading, TooManySeriesError
from exporters.inference.connection import Resolve, left
from exporters.inference.facts import TargetFacts
from exporters.inference.fetch import Fetcher, FetchError, Remaining
from exporters.inference.mapping import Mapper
from exporters.inference.plausible import plausible
from exporters.inference.render import CONTENT_TYPE, Sample, Samples, render
from exporters.inference.targets import AllowList, Target, TargetError, parse_target

AUTO = "auto"
MAX_BODY_BYTES = 4 * 2**20
TIMEOUT_SECONDS = 5.0
# Left to read, map, answer and travel before Prometheus gives up on the scrape.
MARGIN_SECONDS = 0.5
VERSION_TIMEOUT_SECONDS = 1.0
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """An HTTP answer: 200 with an exposition, also for a probe that failed; 400 or 403 with a sentence."""

    status: int
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a probe found. `engine` None: not known; `failure` None: it went well."""

    engine: Engine | None
    families: tuple[tuple[Family, Samples], ...] = ()
    failure: FetchError | None = None
    skipped: int | None = None
    body_bytes: int | None = None


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
        self._max_body_bytes = max_body_bytes
        self._mappers = {engine: Mapper(load_engine(engine)) for engine in Engine}
        self._readers = {engine: Reader(mapper.wanted) for engine, mapper in self._mappers.items()}
        self._fetcher = Fetcher(allowed, resolve)
        self._facts = TargetFacts(self._fetcher, clock)

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
        try:
            parsed = parse_target(target)
        except TargetError as error:
            return _refusal(400, str(error))
        if not self._allowed.allows(parsed):
            return _refusal(403, f"{parsed.netloc} is not an allowed target of this exporter")
        deadline = start + min(self._timeout, _budget(timeout))
        outcome = self._read(parsed, None if engine == AUTO else Engine(engine), lambda: deadline - self._clock())
        body = render(self._answer(outcome, self._clock() - start))
        if outcome.failure is not None:
            body += f"# {' '.join(str(outcome.failure).split())}\n"
        return ProbeResult(200, body.encode(), CONTENT_TYPE)

    def _read(self, target: Target, asked: Engine | None, remaining: Remaining) -> _Outcome:
        try:
            with self._fetcher.exposition(target, remaining, self._max_body_bytes) as text:
                engine = asked or self._detect(text)
                mapper = self._mappers[engine]
                reading = self._readers[engine].read(text, lambda: left(remaining))
                families, implausible = plausible(mapper.families(reading))
                body_bytes = len(text.encode())
        except FetchError as error:
            failure = error
        except TooManySeriesError as error:
            failure = FetchError(ProbeFailure.TOO_MANY_SERIES, str(error))
        else:
            info = self._info(target, mapper, reading, remaining)
            return _Outcome(engine, (*families, *info), skipped=reading.skipped + implausible, body_bytes=body_bytes)
        self._facts.failed(target)
        return _Outcome(asked or self._facts.engine(target), failure=failure)

    def _detect(self, text: str) -> Engine:
        for engine, mapper in self._mappers.items():
            if mapper.detects(text):
                return engine
        known = ", ".join(mapper.catalogue.title for mapper in self._mappers.values())
        raise FetchError(ProbeFailure.UNKNOWN_ENGINE, f"the exposition is of none of {known}")

    def _info(
        self, target: Target, mapper: Mapper, reading: Reading, remaining: Remaining
    ) -> Iterator[tuple[Family, Samples]]:
        engine = mapper.catalogue.engine
        path = next((page.path for page in mapper.catalogue.pages if page.version), None)
        until = self._clock() + min(VERSION_TIMEOUT_SECONDS, remaining())
        version = self._facts.version(target, engine, path, lambda: until - self._clock())
        samples = [
            Sample("", (("engine", engine.value), ("model", model), ("version", version)), 1.0)
            for model in mapper.models(reading)
        ]
        if samples:
            yield INFERENCE_FAMILIES["llm_engine_info"], samples

    def _answer(self, outcome: _Outcome, seconds: float) -> Iterator[tuple[Family, Samples]]:
        labels = (("engine", outcome.engine.value),) if outcome.engine else ()
        up = 0.0 if outcome.failure else 1.0
        yield SCRAPE_FAMILIES["llm_up"], [Sample("", labels, up)]
        yield SCRAPE_FAMILIES["llm_scrape_duration_seconds"], [Sample("", (), seconds)]
        if outcome.skipped is not None:
            yield SCRAPE_FAMILIES["llm_scrape_skipped_lines"], [Sample("", (), float(outcome.skipped))]
        if outcome.body_bytes is not None:
            yield SCRAPE_FAMILIES["llm_scrape_body_bytes"], [Sample("", (), float(outcome.body_bytes))]
        if outcome.failure:
            reason = (("reason", outcome.failure.reason.value),)
            yield SCRAPE_FAMILIES["llm_scrape_failure_info"], [Sample("", reason, 1.0)]
        yield from outcome.families


def _refusal(status: int, sentence: str) -> ProbeResult:
    return ProbeResult(status, f"{sentence}\n".encode(), _TEXT)


def _budget(timeout: str | None) -> float:
    """Seconds that the scrape leaves: its timeout less a margin; no limit where it states none that is usable."""
    try:
        seconds = float(timeout or "inf")
    except ValueError:
        return math.inf
    return max(seconds - MARGIN_SECONDS, seconds / 2) if seconds > 0 else math.inf
