"""A fast reader of the Prometheus text exposition format 0.0.4, for known series names.

It gives the values of `prometheus_client.parser`, for the names asked for, in a fraction of the time: other lines
cost one look at their name, and label strings, which repeat from scrape to scrape, are parsed once. Timestamps are
read over, comments too: what kind a series is, its reader knows.

Text may be hostile. A line of a wanted name that cannot be read, that repeats a series or whose labels are longer than
4096 characters is counted and left out; a text with more lines of wanted names than any honest one is refused. Values
are given as they stand: NaN, infinite and negative ones too.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name: equal label sets are equal tuples."""

MAX_SERIES = 20_000
MAX_LABELS_LENGTH = 4096

_BLANKS = " \t"
_SLICE_LINES = 2048
# Label strings that are remembered, in characters: an honest fleet's few thousand are some hundred each.
_CACHED_CHARACTERS = 2**22
_NAME = re.compile(r"[ \t]*([^ \t{#]+)")
_LABEL = re.compile(r'[ \t]*((?!__)[a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r'\\([\\n"])')


class TooManySeriesError(ValueError):
    """A text with more lines of wanted names than any honest one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: series name -> labels -> value, in the order of the text; `skipped` lines were unreadable."""

    samples: Mapping[str, Mapping[Labels, float]]
    skipped: int


def _go_on() -> None:
    """Never give up."""


class Reader:
    """Reads the series called `names` (as they stand in the text: `_bucket`, `_sum`, `_count`, `_total` included).

    May be shared by threads. `cache_size` bounds the label strings that are remembered between texts, `max_series` the
    lines of wanted names in one text.
    """

    def __init__(self, names: Iterable[str], *, cache_size: int = 16384, max_series: int = MAX_SERIES) -> None:
        self._names = frozenset(names)
        self._max_series = max_series
        self._cache_size = cache_size
        self._cache: dict[str, Labels] = {}
        self._cached_characters = 0
        self._lock = threading.Lock()

    def read(self, text: str, between: Callable[[], object] = _go_on) -> Reading:
        """Read one exposition. What cannot be read is counted in `skipped`.

        `between` is called between slices of lines; what it raises ends the reading. Raises TooManySeriesError.
        """
        samples: dict[str, dict[Labels, float]] = {}
        wanted = skipped = 0
        lines = text.split("\n")
        for start in range(0, len(lines), _SLICE_LINES):
            between()
            seen, bad = self._read_lines(lines[start : start + _SLICE_LINES], samples)
            wanted += seen
            skipped += bad
            if wanted > self._max_series:
                raise TooManySeriesError(f"more than {self._max_series} lines of wanted series")
        return Reading(samples, skipped)

    def _read_lines(self, lines: Iterable[str], samples: dict[str, dict[Labels, float]]) -> tuple[int, int]:
        """Add the lines' samples to `samples`. How many lines were of a wanted name, and how many of those skipped."""
        names = self._names
        cached = self._cache.get
        wanted = skipped = 0
        for line in lines:
            if not line:
                continue
            brace = line.find("{")
            name = line[:brace] if brace > 0 else ""
            if name not in names:
                if line[0] == "#" or (name and name[0] not in _BLANKS and name[-1] not in _BLANKS):
                    continue
                name = _name(line)  # no labels, or blanks around the name: legal and rare
                if name not in names:
                    continue
                if brace > 0 and line[:brace].strip(_BLANKS) != name:  # an exemplar without labels before it, or damage
                    wanted += 1
                    skipped += 1
                    continue
            wanted += 1
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
        return wanted, skipped

    def _labels(self, raw: str) -> Labels:
        """Parse what stands between the braces. Raises ValueError."""
        if len(raw) > MAX_LABELS_LENGTH:
            raise ValueError(f"labels of {len(raw)} characters, more than {MAX_LABELS_LENGTH}")
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
        self._remember(raw, labels)
        return labels

    def _remember(self, raw: str, labels: Labels) -> None:
        with self._lock:
            if len(self._cache) >= self._cache_size or self._cached_characters > _CACHED_CHARACTERS:
                self._cache.clear()
                self._cached_characters = 0
            self._cache[raw] = labels
            self._cached_characters += len(raw)


def _name(line: str) -> str:
    match = _NAME.match(line)
    return match[1] if match else ""


def _value(text: str) -> float:
    """The value before an optional timestamp. Raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        # Blanks and tabs stand between words, and not all that Unicode calls a space.
        number, stamp = filter(None, text.strip().replace("\t", " ").split(" "))  # raises where there are not two
        int(stamp)
        value = float(number)
    if "_" in text:
        raise ValueError(f"not a number in an exposition: {text}")
    return value


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
