"""Writes families as text exposition 0.0.4."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from exporters.catalog import Family, Kind
from exporters.exposition import Labels

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """One sample of a family: the suffix of its name (`_bucket`, …), labels in the order of the family, value."""

    suffix: str
    labels: Labels
    value: float


Samples: TypeAlias = Sequence[Sample]


def render(families: Iterable[tuple[Family, Samples]]) -> str:
    """HELP, TYPE and samples of every family.

    A histogram of which only sum and count are known is a summary without quantiles: nothing else may lack buckets.
    """
    lines: list[str] = []
    for family, samples in families:
        lines.append(f"# HELP {family.name} {_escape_help(family.help)}")
        lines.append(f"# TYPE {family.name} {_type(family, samples)}")
        lines += [f"{family.name}{suffix}{_braces(labels)} {_number(value)}" for suffix, labels, value in samples]
    lines.append("")
    return "\n".join(lines)


def _type(family: Family, samples: Samples) -> str:
    if family.kind is Kind.INFO:
        return Kind.GAUGE.value  # the text format knows no info type
    if family.kind is Kind.HISTOGRAM and not any(sample.suffix == "_bucket" for sample in samples):
        return "summary"
    return family.kind.value


def _braces(labels: Labels) -> str:
    return "{" + ",".join([f'{name}="{_escape(value)}"' for name, value in labels]) + "}" if labels else ""


def _escape(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
