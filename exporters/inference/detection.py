"""Which page of a server to read, and whose page it is."""

import re
from collections.abc import Iterable, Mapping

from exporters.catalog import METRICS_PATH, Engine, EngineCatalogue, ProbeFailure, spellings
from exporters.inference.fetch import FetchError
from exporters.inference.targets import Endpoint

# Of a series' name, what all of an engine's series begin with.
_PREFIX = re.compile(r"[a-zA-Z0-9]+[:_]")
_SAMPLE = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)


class Detection:
    """Tells engines by what they expose; of several that fit, the first in the order of `Engine`."""

    def __init__(self, catalogues: Mapping[Engine, EngineCatalogue]) -> None:
        self._catalogues = catalogues
        self._signs = {engine: _Signs(one) for engine, one in catalogues.items()}
        self._paths = tuple(dict.fromkeys(one.metrics_path for one in catalogues.values()))

    def pages(self, asked: Engine | None) -> tuple[str, ...]:
        """The metrics pages that a target may name: those of the engine that was asked for, or of all."""
        return self._paths if asked is None else (self._catalogues[asked].metrics_path, METRICS_PATH)

    def candidates(self, endpoint: Endpoint, asked: Engine | None, last: str | None) -> tuple[str, ...]:
        """The pages to try, in order: the one that was named, the engine's own, or that of the `last` probe and all."""
        if endpoint.page is not None:
            return (endpoint.page,)
        if asked is not None:
            return (self._catalogues[asked].metrics_path,)
        return tuple(dict.fromkeys((*([last] if last else []), *self._paths)))

    def listing(self, path: str, asked: Engine | None) -> EngineCatalogue | None:
        """The engine whose page at `path` is a JSON list of models; None where it is an exposition."""
        candidates = [self._catalogues[asked]] if asked else self._catalogues.values()
        return next((one for one in candidates if one.models is not None and (asked or one.metrics_path == path)), None)

    def engine(self, path: str, text: str, asked: Engine | None, last: Engine | None) -> Engine:
        """Whose exposition `text`, found at `path`, is. `last`: the engine of the last probe there.

        Raises FetchError with UNKNOWN_ENGINE; where an engine was asked for, with WRONG_ENGINE if the page has none of
        its series. A page with no series at all is that of an engine which is known to begin so.
        """
        if asked is not None:
            if not self._signs[asked].allow(text):
                title = self._catalogues[asked].title
                raise FetchError(
                    ProbeFailure.WRONG_ENGINE,
                    f"no series of {title} is on the page: is it another program, or are its statistics switched off?",
                )
            return asked
        for engine, signs in self._signs.items():
            if signs.show(text):
                return engine
        own = [engine for engine, one in self._catalogues.items() if one.metrics_path == path]
        expected = last or (own[0] if len(own) == 1 else None)
        if expected is not None and self._signs[expected].allow(text):
            return expected
        known = ", ".join(one.title for one in self._catalogues.values())
        raise FetchError(ProbeFailure.UNKNOWN_ENGINE, f"the exposition is of none of {known}")


class _Signs:
    """What tells one engine's exposition."""

    def __init__(self, catalogue: EngineCatalogue) -> None:
        self._quiet = catalogue.quiet
        self._names = tuple(name for series in catalogue.detect for name in spellings(series))
        self._series = _lines(self._names, r"(?:_total|_bucket|_sum|_count)?[ \t]*[{ \t]")
        prefixes = dict.fromkeys(match[0] for name in self._names if (match := _PREFIX.match(name)))
        self._kin = _lines(prefixes, "")

    def show(self, text: str) -> bool:
        """Whether a series is there that no other engine has."""
        return any(name in text for name in self._names) and self._series.search(text) is not None

    def allow(self, text: str) -> bool:
        """Whether the page can be this engine's: it has some series of its kind, or none at all and may have none."""
        return self.show(text) or self._kin.search(text) is not None or (self._quiet and not _SAMPLE.search(text))


def _lines(beginnings: Iterable[str], rest: str) -> re.Pattern[str]:
    """Lines that begin so; none where there is no beginning."""
    names = "|".join(map(re.escape, beginnings)) or r"(?!)"
    return re.compile(rf"^[ \t]*(?:{names}){rest}", re.MULTILINE)
