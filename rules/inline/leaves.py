"""What the inliner asks of a place: which series exist there, and which labels they must be given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from rules.inline.matchers import decide
from rules.inline.piece import Piece
from rules.inline.printed import number
from rules.pack import Rule
from rules.syntax import Series

Relabel: TypeAlias = tuple[str, str, str, str]
"""label_replace's (label, replacement, source label, regular expression), as between double quotes."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A selector as it is sent, and the labels that its series get afterwards."""

    series: Series
    relabels: tuple[Relabel, ...] = ()

    def relabelled(self, text: str) -> str:
        """`text`, an instant vector of this leaf's series, with their labels."""
        for label, replacement, source, pattern in self.relabels:
            text = f'label_replace({text},"{label}","{replacement}","{source}","{pattern}")'
        return text


class Place(Protocol):
    """A Prometheus without recorded series."""

    def leaf(self, series: Series, rule: Rule) -> Leaf | None:
        """How the selector that `rule` reads is sent there; None where there is no such series. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Series whose labels and values are known beforehand: a threshold, an objective, a knob of the inventory."""

    values: Sequence[tuple[Mapping[str, str], float]]

    def selected(self, series: Series) -> Piece | None:
        """The series that the selector's matchers let through, as PromQL; None when there are none."""
        passed = [
            (labels, value)
            for labels, value in self.values
            if decide(series.matchers, _all(labels, series)) is not None
        ]
        text = " or ".join(_literal(labels, value) for labels, value in passed)
        return Piece(text, 0, binds=len(passed) > 1) if passed else None


def _all(labels: Mapping[str, str], series: Series) -> Mapping[str, str]:
    """Every label that is asked for: one that is not there is empty."""
    return {label: labels.get(label, "") for label, _, _ in series.matchers}


def _literal(labels: Mapping[str, str], value: float) -> str:
    text = f"vector({number(value)})"
    for label, name in sorted(labels.items()):
        text = f'label_replace({text},"{label}","{escaped(name).replace("$", "$$")}","","")'
    return text


def escaped(value: str) -> str:
    """A label value as it stands between double quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
