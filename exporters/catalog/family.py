"""What a metric family is."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Prometheus metric type."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"  # a gauge that is always 1 and carries facts as labels


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    `name` is the exposed name, with `_total` on counters and the base unit as suffix
    (`_seconds`, `_bytes`, `_ratio`, `_celsius`, `_watts`, `_joules_total`, `_hertz`).
    `labels` are the label names that the exporter itself sets, in order; Prometheus and service
    discovery add `job`, `instance`, `service`, `node`.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
