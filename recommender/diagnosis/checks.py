"""Comparisons of a signal with a figure, as one replica or the service sees it.

An answer agrees, disagrees or is unknown. A signal that is absent makes it unknown, and so does a threshold that
Prometheus does not have: the shipped default is not put in its place, because then a diagnosis could contradict the
rules that a site runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import ge, gt, le, lt

from recommender.diagnosis.answer import Answer
from recommender.evidence import signal_query, unit_of
from recommender.figures import figure
from recommender.model import Evidence, Reading
from rules.catalog import THRESHOLDS

_Compare = Callable[[float, float], bool]


@dataclass(frozen=True, slots=True)
class Scope:
    """The evidence as seen from one replica, or from the service alone when `instance` is None."""

    evidence: Evidence
    instance: str | None = None
    _own: Mapping[str, Reading] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        of = self.evidence.service_readings
        own = of if self.instance is None else self.evidence.replica_readings.get(self.instance, {})
        object.__setattr__(self, "_own", own)  # found once: every check of a replica reads it

    def reading(self, signal: str) -> Reading:
        """The reading of a signal, by its level; with value None when it is absent."""
        found = self._found(signal)
        if found is not None:
            return found
        return Reading(
            name=signal, query=self._query(signal), value=None, unit=unit_of(signal), instance=self._of(signal)
        )

    def value(self, signal: str) -> float | None:
        """The value of a signal, by its level."""
        found = self._found(signal)
        return None if found is None else found.value

    def _found(self, signal: str) -> Reading | None:
        if signal.startswith("service:"):
            return self.evidence.service_readings.get(signal)
        return self._own.get(signal)

    def _of(self, signal: str) -> str | None:
        return None if signal.startswith("service:") else self.instance

    def _query(self, signal: str) -> str:
        instance = self._of(signal)
        if instance is None:
            return signal_query(signal, service=self.evidence.service)
        if signal.startswith("replica:"):
            return signal_query(signal, service=self.evidence.service, instance=instance)
        placed = self.evidence.placements.get(instance)
        return signal_query(signal, node=placed.node) if placed and placed.node else signal

    def at_least(self, label: str, signal: str, threshold: str) -> Answer:
        """The signal reaches the threshold of this name."""
        return self._against(label, signal, threshold, ge, ("at or above", "below"))

    def below(self, label: str, signal: str, threshold: str) -> Answer:
        """The signal is below the threshold of this name."""
        return self._against(label, signal, threshold, lt, ("below", "at or above"))

    def over_objective(self, label: str, signal: str, objective: str) -> Answer:
        """The signal is over the service's objective of this name; unknown where buckets end before the objective."""
        limit = self.evidence.objectives.get(objective)
        value = self.value(signal)
        over = None if value is None or limit is None else value > limit
        pinned = self._told(signal, "p95_pinned") is not None
        words = ("over its objective", "within its objective")
        if pinned and over is False:
            words = ("", "and buckets end there; its objective is")

        def say() -> str:
            shown = label
            if pinned:
                shown += " ≥"
            elif bound := self._told(signal, "p95_coarse"):
                shown += f" < {figure(bound, unit_of(signal))}, mean"
            return _sentence(shown, value, unit_of(signal), limit, words[0] if over else words[1])

        agrees = None if pinned and over is False else over
        return Answer(
            agrees,
            say,
            lambda: _question(label, "over its objective", objective),
            self,
            (signal,),
            f"service:objective:{objective}",
            limit,
        )

    def _told(self, signal: str, what: str) -> float | None:
        """What the buckets of a p95 cannot tell: the bound that it is beyond, or below. The rules tell it of services.

        A replica's p95 at or below the bound that its service's is below is such a mean, too.
        """
        level, _, rest = signal.partition(":")
        if level not in {"service", "replica"} or not rest.endswith(":p95_5m"):
            return None
        bound = self.value(f"service:{rest.removesuffix('p95_5m')}{what}")
        if level == "service" or bound is None:
            return bound
        value = self.value(signal)
        return bound if what == "p95_coarse" and value is not None and value <= bound else None

    def within_objective(self, label: str, signal: str, objective: str) -> Answer:
        """The signal is at or below the service's objective of this name."""
        over = self.over_objective(label, signal, objective)
        return over._replace(
            agrees=None if over.agrees is None else not over.agrees,
            ask=lambda: _question(label, "within its objective", objective),
        )

    def positive(self, label: str, signal: str) -> Answer:
        """The signal is above zero."""
        return self._plain(label, signal, 0.0, gt, ("above", "not above"))

    def below_one(self, label: str, signal: str) -> Answer:
        """The signal is less than all of it; for ratios whose normal value is 1."""
        return self._plain(label, signal, 1.0, lt, ("below", "not below"))

    def zero(self, label: str, signal: str) -> Answer:
        """The signal is a confirmed zero."""
        value = self.value(signal)

        def say() -> str:
            return f"{label} is unknown" if value is None else f"{label} {figure(value, unit_of(signal))}"

        agrees = None if value is None else value == 0
        return Answer(agrees, say, lambda: f"{label.removesuffix(':')} = 0", self, (signal,), None, 0.0)

    def ratio_at_least(self, label: str, signals: tuple[str, str], threshold: str) -> Answer:
        """The first signal over the second reaches the threshold of this name; unknown where the second is zero."""
        return self._ratio(label, signals, threshold, ge, ("at or above", "below"))

    def ratio_below(self, label: str, signals: tuple[str, str], threshold: str) -> Answer:
        """The first signal over the second is below the threshold of this name; unknown where the second is zero."""
        return self._ratio(label, signals, threshold, lt, ("below", "at or above"))

    def ratio_at_most(self, label: str, signals: tuple[str, str], threshold: str) -> Answer:
        """The first signal over the second is at or below the threshold of this name; unknown where the second is 0."""
        return self._ratio(label, signals, threshold, le, ("at or below", "above"))

    def _ratio(
        self, label: str, signals: tuple[str, str], threshold: str, holds: _Compare, words: tuple[str, str]
    ) -> Answer:
        over, under = self.value(signals[0]), self.value(signals[1])
        value = over / under if over is not None and under else None
        limit = self.evidence.thresholds.get(threshold)
        agrees = None if value is None or limit is None else holds(value, limit)
        return Answer(
            agrees,
            lambda: _sentence(label, value, "", limit, words[0] if agrees else words[1]),
            lambda: _question(label, words[0], threshold),
            self,
            signals,
            THRESHOLDS[threshold].resolved,
            limit,
        )

    def _against(self, label: str, signal: str, threshold: str, holds: _Compare, words: tuple[str, str]) -> Answer:
        value, limit = self.value(signal), self.evidence.thresholds.get(threshold)
        agrees = None if value is None or limit is None else holds(value, limit)
        return Answer(
            agrees,
            lambda: _sentence(label, value, unit_of(signal), limit, words[0] if agrees else words[1]),
            lambda: _question(label, words[0], threshold),
            self,
            (signal,),
            THRESHOLDS[threshold].resolved,
            limit,
        )

    def _plain(self, label: str, signal: str, limit: float, holds: _Compare, words: tuple[str, str]) -> Answer:
        value = self.value(signal)
        agrees = None if value is None else holds(value, limit)
        return Answer(
            agrees,
            lambda: _sentence(label, value, unit_of(signal), limit, words[0] if agrees else words[1]),
            lambda: f"{label.removesuffix(':')} {words[0]} {limit:g}",
            self,
            (signal,),
            None,
            limit,
        )


def _question(label: str, word: str, figure_name: str) -> str:
    return f"{label.removesuffix(':')} {word} `{figure_name}`"


def _sentence(label: str, value: float | None, unit: str, limit: float | None, word: str) -> str:
    if value is None:
        return f"{label} is unknown"
    shown = f"{label} {figure(value, unit)}"
    if limit is None:
        return f"{shown}, its limit is unknown"
    return f"{shown}, {word} {figure(limit, unit if limit else '')}"
