"""Writes families as a page, in the text format of Prometheus or in OpenMetrics."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import copysign

from prometheus_client.utils import floatToGoString

from exporters.catalog import Family, Kind
from exporters.families import FamilySet

# Series come and go with devices and processes; past this many, what is remembered of them is begun anew.
_MAX_REMEMBERED = 50_000
# What the name of a family ends in and, in OpenMetrics, its samples alone have.
_SUFFIX = {Kind.COUNTER: "_total", Kind.INFO: "_info"}


@dataclass(slots=True)
class _Remembered:
    """Text that seldom changes from page to page: of a family's head, and of its series by label values.

    Of a series: the text up to the value, the value that it had last, the line with that.
    """

    head: dict[bool, str]
    series: dict[tuple[str, ...], tuple[str, float, str]] = field(default_factory=dict)


class PageWriter:
    """Writes pages whose series are mostly those of the page before.

    The bytes are those of prometheus_client's encoders, in a tenth of their time: names, help and labels are escaped
    and joined once a series and not once a page, and a value that stays is not written anew. Safe to use from several
    threads.
    """

    def __init__(self) -> None:
        self._families: dict[str, _Remembered] = {}
        self._count = 0

    def write(self, sets: Iterable[FamilySet], *, openmetrics: bool) -> bytes:
        """Give the text of the families; OpenMetrics wants an `# EOF` after the last family of a page."""
        return "".join(line for families in sets for line in self._lines(families, openmetrics)).encode(
            errors="replace"  # a label that is no text (a lone surrogate) spoils itself, not the page
        )

    def _lines(self, families: FamilySet, openmetrics: bool) -> Iterator[str]:  # noqa: FBT001 - private
        for family, samples in families.families():
            known = self._families.get(family.name) or self._remember(family)
            yield known.head[openmetrics]
            series = known.series
            for labels, value in samples.items():
                last = series.get(labels)
                # -0 equals 0 and is written otherwise.
                if last is not None and value == last[1] and (value or copysign(1, value) == copysign(1, last[1])):
                    yield last[2]
                    continue
                if last is None:
                    self._count += 1
                start = _series(family, labels) if last is None else last[0]
                number: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library's has no types
                line = f"{start}{number}\n"
                series[labels] = (start, value, line)
                yield line
        if self._count > _MAX_REMEMBERED:
            self._families, self._count = {}, 0

    def _remember(self, family: Family) -> _Remembered:
        known = _Remembered({False: _text_head(family), True: _openmetrics_head(family)})
        self._families[family.name] = known
        return known


def _text_head(family: Family) -> str:
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    kind = Kind.GAUGE if family.kind is Kind.INFO else family.kind
    return f"# HELP {family.name} {text}\n# TYPE {family.name} {kind}\n"


def _openmetrics_head(family: Family) -> str:
    name = family.name.removesuffix(_SUFFIX.get(family.kind, ""))
    return f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {family.kind}\n"


def _series(family: Family, values: tuple[str, ...]) -> str:
    if not values:
        return f"{family.name} "
    pairs = sorted(zip(family.labels, values, strict=True))
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{family.name}{{{labels}}} "


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
