"""Comparisons of a signal with a figure, as one replica or the service sees it.

An answer agrees, disagrees or is unknown. A signal that is absent makes it unknown, and so does a threshold that
Prometheus does not have: the shipped default is not put in its place, because then a diagnosis could contradict the
rules that a site runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import ge, gt, le, lt

from recommender.diagnosis.answer import Answer
from recommender.diagnosis.words import Compared, Promised, Zero
from recommender.evidence import signal_query, unit_of
from recommender.model import Evidence, Reading, numbers_of
from rules.catalog import OBJECTIVES, THRESHOLDS

_Compare = Callable[[float, float], bool]
# By name of a threshold or an objective, its series; made once, since every check of every replica names one.
_THRESHOLDS = {name: threshold.resolved for name, threshold in THRESHOLDS.items()}
_OBJECTIVES = {name: f"service:objective:{name}" for name in OBJECTIVES}


@dataclass(frozen=True, slots=True)
class Scope:
    """The evidence as seen from one replica, or from the service alone when `instance` is None."""

    evidence: Evidence
    instance: str | None = None
    _own: Mapping[str, float | None] = field(init=False, repr=False, compare=False)
    _service: Mapping[str, float | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:  # found once: every check of a replica reads them
        service = numbers_of(self.evidence.service_readings)
        readings = self.evidence.replica_readings.get(self.instance or "", {})
        object.__setattr__(self, "_own", service if self.instance is None else numbers_of(readings))
        object.__setattr__(self, "_service", service)

    def reading(self, signal: str) -> Reading:
        """The reading of a signal, by its level; with value None when it is absent."""
        instance = None if signal.startswith("service:") else self.instance
        of = self.evidence.service_readings if instance is None else self.evidence.replica_readings.get(instance, {})
        found = of.get(signal)
        if found is not None:
            return found
        return Reading(
            name=signal, query=self._query(signal, instance), value=None, unit=unit_of(signal), instance=instance
        )

    def value(self, signal: str) -> float | None:
        """The value of a signal, by its level."""
        return (self._service if signal.startswith("service:") else self._own).get(signal)

    def _query(self, signal: str, instance: str | None) -> str:
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
        return self._promised(label, signal, objective, over=True)

    def within_objective(self, label: str, signal: str, objective: str) -> Answer:
        """The signal is at or below the service's objective of this name."""
        return self._promised(label, signal, objective, over=False)

    def _promised(self, label: str, signal: str, objective: str, *, over: bool) -> Answer:
        value, limit = self.value(signal), self.evidence.objectives.get(objective)
        agrees = None if value is None or limit is None else (value > limit) is over
        if agrees is (not over) and self.bound(signal, "p95_pinned") is not None:
            agrees = None  # it may be anywhere above the last bound
        words = Promised(label, signal, value, limit, objective, f"{'over' if over else 'within'} its objective", self)
        return Answer(agrees, words, self, (signal,), _OBJECTIVES[objective], limit)

    def bound(self, signal: str, what: str) -> float | None:
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

    def positive(self, label: str, signal: str) -> Answer:
        """The signal is above zero."""
        return self._plain(label, signal, 0.0, gt, ("above", "not above"))

    def below_one(self, label: str, signal: str) -> Answer:
        """The signal is less than all of it; for ratios whose normal value is 1."""
        return self._plain(label, signal, 1.0, lt, ("below", "not below"))

    def zero(self, label: str, signal: str) -> Answer:
        """The signal is a confirmed zero."""
        value = self.value(signal)
        agrees = None if value is None else value == 0
        return Answer(agrees, Zero(label, signal, value), self, (signal,), None, 0.0)

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
        said = Compared(label, "", value, limit, agrees, words, threshold)
        return Answer(agrees, said, self, signals, _THRESHOLDS[threshold], limit)

    def _against(self, label: str, signal: str, threshold: str, holds: _Compare, words: tuple[str, str]) -> Answer:
        value, limit = self.value(signal), self.evidence.thresholds.get(threshold)
        agrees = None if value is None or limit is None else holds(value, limit)
        said = Compared(label, signal, value, limit, agrees, words, threshold)
        return Answer(agrees, said, self, (signal,), _THRESHOLDS[threshold], limit)

    def _plain(self, label: str, signal: str, limit: float, holds: _Compare, words: tuple[str, str]) -> Answer:
        value = self.value(signal)
        agrees = None if value is None else holds(value, limit)
        return Answer(agrees, Compared(label, signal, value, limit, agrees, words), self, (signal,), None, limit)
