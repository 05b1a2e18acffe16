"""What is remembered of a target between probes: its engine, and the version that it does not expose in /metrics."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

from exporters.catalog import Engine
from exporters.inference.fetch import Fetcher, FetchError, Remaining
from exporters.inference.targets import Target

VERSION_SECONDS = 3600.0
NO_VERSION_SECONDS = 300.0
_MAX_TARGETS = 1024
_MAX_BODY_BYTES = 65536
_MAX_VERSION_LENGTH = 64


@dataclass(frozen=True, slots=True)
class _Facts:
    engine: Engine
    version: str
    expires: float


class TargetFacts:
    """Engine and version per target, for a while. Thread-safe; two probes at once may both ask, which does no harm."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._fetcher = fetcher
        self._clock = clock
        self._lock = threading.Lock()
        self._facts: dict[Target, _Facts] = {}

    def engine(self, target: Target) -> Engine | None:
        """The engine that last answered there."""
        with self._lock:
            facts = self._facts.get(target)
        return facts.engine if facts else None

    def version(self, target: Target, engine: Engine, path: str | None, remaining: Remaining) -> str:
        """The engine's version, asked for at `path` when not known; empty where it does not say."""
        now = self._clock()
        with self._lock:
            known = self._facts.get(target)
        if known is not None and known.engine is engine and now < known.expires:
            return known.version
        version = self._ask(target.sibling(path), remaining) if path else ""
        lifetime = VERSION_SECONDS if version else NO_VERSION_SECONDS
        with self._lock:
            if len(self._facts) >= _MAX_TARGETS:
                self._facts.pop(next(iter(self._facts)))
            self._facts[target] = _Facts(engine, version, now + lifetime)
        return version

    def failed(self, target: Target) -> None:
        """A probe failed: the engine may come back in another version, so ask again then."""
        with self._lock:
            facts = self._facts.get(target)
            if facts is not None:
                self._facts[target] = _Facts(facts.engine, facts.version, self._clock())

    def _ask(self, target: Target, remaining: Remaining) -> str:
        try:
            page = self._fetcher.page(target, remaining, _MAX_BODY_BYTES, accept="application/json")
            answer = json.loads(page.body)
        except (FetchError, ValueError, RecursionError):
            return ""
        version = answer.get("version") if isinstance(answer, dict) else None
        if not isinstance(version, str) or len(version) > _MAX_VERSION_LENGTH or not version.isprintable():
            return ""
        return version
