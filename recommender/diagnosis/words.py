"""Comparisons in words: what was found, and what was asked. Of most nobody asks, so that nothing is written before."""

from typing import NamedTuple, Protocol

from recommender.evidence import unit_of
from recommender.figures import figure


class Words(Protocol):
    """An answer in words, and what it compares."""

    def say(self) -> str:
        """What was found: "mean KV usage 1.64 %, below 75 %"."""
        ...

    def ask(self) -> str:
        """What was asked: "mean KV usage below `kv_cache_usage_room_ratio`"."""
        ...


class Compared(NamedTuple):
    """A value against a figure: `limit`, which is `named` in the question where it has a name.

    `signal` gives the unit; "" for a ratio of two. `words` are what it says where it agrees, and where it does not.
    """

    label: str
    signal: str
    value: float | None
    limit: float | None
    agrees: bool | None
    words: tuple[str, str]
    named: str = ""

    def say(self) -> str:
        """The value, and on which side of the figure it is."""
        unit = unit_of(self.signal) if self.signal else ""
        return _sentence(self.label, self.value, unit, self.limit, self.words[0 if self.agrees else 1])

    def ask(self) -> str:
        """The question, as the tables of docs/diagnosis.md have it."""
        return _question(self.label, self.words[0], f"`{self.named}`" if self.named else f"{self.limit:g}")


class Zero(NamedTuple):
    """A value that is asked to be zero."""

    label: str
    signal: str
    value: float | None

    def say(self) -> str:
        """The value alone."""
        known = self.value is not None
        return f"{self.label} {figure(self.value, unit_of(self.signal))}" if known else f"{self.label} is unknown"

    def ask(self) -> str:
        """The question."""
        return _question(self.label, "=", "0")


class Promised(NamedTuple):
    """A value against an objective. `bounds` are what the buckets of a p95 tell: it is beyond one, or below one."""

    label: str
    signal: str
    value: float | None
    limit: float | None
    objective: str
    asked: str
    bounds: "Bounds"

    def say(self) -> str:
        """The value, on which side of the objective it is, and what its buckets cannot tell."""
        unit = unit_of(self.signal)
        over = None if self.value is None or self.limit is None else self.value > self.limit
        pinned = self.bounds.bound(self.signal, "p95_pinned") is not None
        shown = self.label
        if pinned:
            shown += " ≥"
        elif below := self.bounds.bound(self.signal, "p95_coarse"):
            shown += f" < {figure(below, unit)}, mean"
        within = "and buckets end there; its objective is" if pinned and over is False else "within its objective"
        return _sentence(shown, self.value, unit, self.limit, "over its objective" if over else within)

    def ask(self) -> str:
        """The question."""
        return _question(self.label, self.asked, f"`{self.objective}`")


class Bounds(Protocol):
    """Knows what buckets tell: `checks.Scope`."""

    def bound(self, signal: str, what: str) -> float | None:
        """The bound that a p95 is beyond ("p95_pinned") or below ("p95_coarse"); None where it is neither."""
        ...


def _question(label: str, word: str, figure_name: str) -> str:
    return f"{label.removesuffix(':')} {word} {figure_name}"


def _sentence(label: str, value: float | None, unit: str, limit: float | None, word: str) -> str:
    if value is None:
        return f"{label} is unknown"
    shown = f"{label} {figure(value, unit)}"
    if limit is None:
        return f"{shown}, its limit is unknown"
    return f"{shown}, {word} {figure(limit, unit if limit else '')}"
