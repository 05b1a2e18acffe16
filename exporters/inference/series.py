"""Selecting and adding up series, as PromQL does: an absent label is the empty value, max and min pass NaN over."""

import math
from collections.abc import Iterable, Mapping

from exporters.catalog import Reduce, Term, spellings
from exporters.exposition import Labels, Reading

Series = Mapping[Labels, float]
Names = tuple[str | None, ...]
"""Label names; None stands for a label that is not there."""


def select(term: Term, reading: Reading) -> Series:
    """The series of a term."""
    series = reading.samples.get(term.name, {})
    if not term.where or not series:
        return series
    return {
        labels: value
        for labels, value in series.items()
        if all(_matches(dict(labels).get(label, ""), wanted) for label, wanted in term.where.items())
    }


def _matches(value: str, wanted: Iterable[str]) -> bool:
    return any(value.startswith(one[:-1]) if one.endswith("*") else value == one for one in wanted)


def first(reading: Reading, name: str) -> Series:
    """The series called `name`, in the first spelling that is there."""
    return next((reading.samples[spelling] for spelling in spellings(name) if spelling in reading.samples), {})


def reduced(series: Series, names: Names, reduce: Reduce) -> dict[tuple[str, ...], float]:
    """Values by those of the labels `names`."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in series.items():
        have = dict(labels)
        key = tuple([have.get(name, "") if name else "" for name in names])
        found[key] = combine(reduce, found[key], value) if key in found else value
    return found


def without(series: Series, dropped: frozenset[str]) -> Series:
    """The series, those that differ only in the labels `dropped` as one: their max."""
    if not dropped:
        return series
    found: dict[Labels, float] = {}
    for labels, value in series.items():
        key = tuple([label for label in labels if label[0] not in dropped])
        found[key] = combine(Reduce.MAX, found[key], value) if key in found else value
    return found


def combine(reduce: Reduce, left: float, right: float) -> float:
    """Two values as one."""
    if reduce is Reduce.SUM:
        return left + right
    if math.isnan(left) or math.isnan(right):
        return right if math.isnan(left) else left
    return max(left, right) if reduce is Reduce.MAX else min(left, right)
