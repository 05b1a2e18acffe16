"""Catalogued families filled with samples, ready for `prometheus_client` to expose."""

import math
from collections.abc import Iterator, Mapping

from prometheus_client import Metric

from exporters.catalog import Family, Kind
from exporters.errors import CatalogError

# What `Metric` appends to the name on exposition, so what it wants taken off first.
_SUFFIX = {Kind.COUNTER: "_total", Kind.INFO: "_info", Kind.GAUGE: ""}


class FamilySet:
    """Samples of one reading, held back until the reading is complete.

    `Metric.add_metric` zips label names with values and drops what does not match; here every sample is checked
    against the catalogue instead. Order of exposition is the catalogue's.
    """

    def __init__(self, catalog: Mapping[str, Family]) -> None:
        self._catalog = catalog
        self._samples: dict[str, dict[tuple[str, ...], float]] = {}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """Add one sample; `None` is unknown and leaves no sample.

        `labels` are values in the order of the family's label names. Raises `CatalogError` for a family that is
        not catalogued, another number of labels, the same labels twice, or a value that is not finite.
        """
        family = self._catalog.get(name)
        if family is None:
            raise CatalogError(f"{name} is not in the catalogue")
        if len(labels) != len(family.labels):
            raise CatalogError(f"{name} takes the labels {family.labels}, got the values {labels}")
        if value is None:
            return
        if not math.isfinite(value):
            raise CatalogError(f"{name}{labels} is {value}; what is not known must be left out")
        samples = self._samples.setdefault(name, {})
        if labels in samples:
            raise CatalogError(f"{name}{labels} was given twice")
        samples[labels] = float(value)

    def info(self, name: str, *labels: str) -> None:
        """Add the one sample of an info family: always 1, the facts are its labels."""
        self.add(name, 1, *labels)

    def families(self) -> Iterator[tuple[Family, Mapping[tuple[str, ...], float]]]:
        """Families that have samples, in the catalogue's order; samples by label values."""
        for name, family in self._catalog.items():
            if name in self._samples:
                yield family, self._samples[name]

    def metrics(self) -> list[Metric]:
        """Families that have samples, as `prometheus_client` has them."""
        return [_metric(family, samples) for family, samples in self.families()]


def _metric(family: Family, samples: Mapping[tuple[str, ...], float]) -> Metric:
    metric = Metric(family.name.removesuffix(_SUFFIX[family.kind]), family.help, family.kind.value)
    for values, value in samples.items():
        metric.add_sample(family.name, dict(zip(family.labels, values, strict=True)), value)
    return metric
