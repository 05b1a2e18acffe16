"""What a site may write in `thresholds.yml`: every shipped figure once, and figures of services besides them."""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rules.catalog import OBJECTIVES, THRESHOLDS

THRESHOLDS_FILE = "thresholds.yml"
_OBJECTIVES = frozenset(f"threshold:objective_{each.name}" for each in OBJECTIVES.values() if each.default is not None)
_PER_SERVICE = {threshold.series: threshold.per_service for threshold in THRESHOLDS.values()}
_KNOWN = _OBJECTIVES | _PER_SERVICE.keys()


@dataclass(frozen=True, slots=True)
class Figure:
    """One rule of the file: the series that it records, and its labels."""

    record: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str | None:
        """Whose figure it is; None: everybody's."""
        return self.labels.get("service")


def problems(figures: Sequence[Figure]) -> Iterator[str]:
    """What would leave rules silent or figures unread, in words."""
    if missing := _KNOWN - {figure.record for figure in figures if not figure.labels}:
        yield f"lacks {', '.join(sorted(missing))}; begin with a copy of the shipped file"
    for figure in figures:
        yield from _problems_of(figure)
    counted = Counter((figure.record, figure.service) for figure in figures)
    for (record, service), times in counted.items():
        if times > 1:
            yield f"records {record}{f' of service {service}' if service else ''} {times} times"


def _problems_of(figure: Figure) -> Iterator[str]:
    name = figure.record
    if name not in _KNOWN:
        near = difflib.get_close_matches(name, _KNOWN, n=1)
        yield f"records {name}, which no rule reads{f'; did you mean {near[0]}?' if near else ''}"
    elif others := sorted(figure.labels.keys() - {"service"}):
        yield f"gives {name} the label {', '.join(others)}: a figure is everybody's, or has the label service"
    elif figure.service is not None and not figure.service:
        yield f"gives {name} an empty label service: leave it out for everybody's figure"
    elif figure.service and name in _OBJECTIVES:
        yield f"has {name} of service {figure.service}: objectives of a service are in the inventory"
    elif figure.service and not _PER_SERVICE[name]:
        yield f"has {name} of service {figure.service}, but nodes and GPUs know no service: there is one for all"
