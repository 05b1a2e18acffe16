"""A fast reader of the Prometheus text exposition format 0.0.4, for known series names.

It gives the values of `prometheus_client.parser`, for the names asked for, in a fraction of the time: other lines
cost one look at their name, and label strings, which repeat from scrape to scrape, are parsed once. Timestamps are
read over. A line of a wanted name that cannot be read, or that repeats a series, is counted and left out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name: equal label sets are equal tuples."""

_BLANKS = " \t"
# Longer label strings are parsed each time: the cache is bounded in entries, and must be in bytes too.
_CACHED_LENGTH = 4096
_NAME = re.compile(r"[ \t]*([^ \t{#]+)")
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r'\\([\\n"])')


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: series name -> labels -> value, in the order of the text; `skipped` lines were unreadable."""

    samples: Mapping[str, Mapping[Labels, float]]
    skipped: int


class Reader:
    """Reads the series called `names` (as they stand in the text: `_bucket`, `_sum`, `_count`, `_total` included).

    May be shared by threads. `cache_size` bounds the label strings that are remembered between texts.
    """

    def __init__(self, names: Iterable[str], *, cache_size: int = 16384) -> None:
        self._names = frozenset(names)
        self._cache_size = cache_size
        self._cache: dict[str, Labels] = {}

    def read(self, text: str) -> Reading:
        """Read one exposition. Never raises on bad text: what cannot be read is counted in `skipped`."""
        names = self._names
        cached = self._cache.get
        samples: dict[str, dict[Labels, float]] = {}
        skipped = 0
        for line in text.split("\n"):
            if not line:
                continue
            brace = line.find("{")
            name = line[:brace] if brace > 0 else ""
            if name not in names:
                if line[:1] == "#" or (name and name[0] not in _BLANKS and name[-1] not in _BLANKS):
                    continue
                name = _name(line)  # no labels, or blanks around the name: legal and rare
                if name not in names:
                    continue
            try:
                if brace > 0:
                    end = line.rindex("}")
                    raw = line[brace + 1 : end]
                    labels = cached(raw) or self._labels(raw)
                    value = _value(line[end + 1 :])
                else:
                    labels = ()
                    value = _value(line.lstrip(_BLANKS)[len(name) :])
            except ValueError:
                skipped += 1
                continue
            series = samples.setdefault(name, {})
            if labels in series:
                skipped += 1
            else:
                series[labels] = value
        return Reading(samples, skipped)

    def _labels(self, raw: str) -> Labels:
        """Parse what stands between the braces. Raises ValueError."""
        found: dict[str, str] = {}
        position, end = 0, len(raw.rstrip(_BLANKS))
        while position < end:
            match = _LABEL.match(raw, position, end)
            if match is None or match[1] in found:
                raise ValueError(f"not a list of labels: {raw}")
            value = match[2]
            found[match[1]] = _ESCAPE.sub(_unescape, value) if "\\" in value else value
            position = match.end()
        labels = tuple(sorted(found.items()))
        if len(raw) <= _CACHED_LENGTH:
            if len(self._cache) >= self._cache_size:
                self._cache.clear()
            self._cache[raw] = labels
        return labels


def _name(line: str) -> str:
    match = _NAME.match(line)
    return match[1] if match else ""


def _value(text: str) -> float:
    """The value before an optional timestamp. Raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        number, stamp = text.split()  # raises where there are not two words
        int(stamp)
        value = float(number)
    if "_" in text:
        raise ValueError(f"not a number in an exposition: {text}")
    return value


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
