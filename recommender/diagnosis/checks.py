"""Three-valued comparisons of a signal with a figure.

A check agrees, disagrees or is unknown. A signal that is absent makes it unknown, and so does a threshold that
Prometheus does not have: the shipped default is not put in its place, because then a diagnosis could contradict the
rules that a site runs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import ge, le, lt

from recommender.evidence import signal_query, unit_of
from recommender.figures import figure
from recommender.model import Check, CheckWeight, Evidence, Reading
from rules.catalog import THRESHOLDS, Threshold


@dataclass(frozen=True, slots=True)
class Discriminator:
    """A check, what it counts for, and what it is when the check disagrees."""

    check: Check
    weight: CheckWeight
    otherwise: str = ""


def defining(check: Check, otherwise: str = "") -> Discriminator:
    """The class is this: that it disagrees shows a look-alike."""
    return Discriminator(check, CheckWeight.DEFINING, otherwise)


def expected(check: Check, otherwise: str = "") -> Discriminator:
    """The class shows this, as a rule; that it is unknown makes the class less certain."""
    return Discriminator(check, CheckWeight.EXPECTED, otherwise)


def hint(check: Check, otherwise: str = "") -> Discriminator:
    """It counts where it is known, and many sites do not know it."""
    return Discriminator(check, CheckWeight.HINT, otherwise)


def harm(check: Check, otherwise: str = "") -> Discriminator:
    """What the class slows down is slow; where it is not, the class holds and explains nothing."""
    return Discriminator(check, CheckWeight.HARM, otherwise)


@dataclass(frozen=True, slots=True)
class Scope:
    """The evidence as seen from one replica, or from the service alone when `instance` is None."""

    evidence: Evidence
    instance: str | None = None

    def reading(self, signal: str) -> Reading:
        """The reading of a signal, by its level; with value None when it is absent."""
        of_service = self.instance is None or signal.startswith("service:")
        readings = (
            self.evidence.service_readings
            if of_service
            else self.evidence.replica_readings.get(self.instance or "", {})
        )
        found = readings.get(signal)
        return found if found is not None else self._absent(signal, of_service=of_service)

    def _absent(self, signal: str, *, of_service: bool) -> Reading:
        if of_service:
            query = signal_query(signal, service=self.evidence.service)
            return Reading(name=signal, query=query, value=None, unit=unit_of(signal))
        instance = self.instance or ""
        if signal.startswith("replica:"):
            query = signal_query(signal, service=self.evidence.service, instance=instance)
        else:
            placed = self.evidence.placements.get(instance)
            query = signal_query(signal, node=placed.node) if placed and placed.node else signal_query(signal)
        return Reading(name=signal, query=query, value=None, unit=unit_of(signal), instance=instance)

    def value(self, signal: str) -> float | None:
        """The value of a signal, by its level."""
        return self.reading(signal).value

    def at_least(self, label: str, signal: str, threshold: str) -> Check:
        """The signal reaches the threshold of this name."""
        return self._against(label, signal, THRESHOLDS[threshold], high=True)

    def below(self, label: str, signal: str, threshold: str) -> Check:
        """The signal is below the threshold of this name."""
        return self._against(label, signal, THRESHOLDS[threshold], high=False)

    def over_objective(self, label: str, signal: str, objective: str) -> Check:
        """The signal is over the service's objective of this name; unknown where buckets end before the objective."""
        limit = self.evidence.objectives.get(objective)
        reading = self.reading(signal)
        agrees = None if reading.value is None or limit is None else reading.value > limit
        words = ("over its objective", "within its objective")
        if self._told(signal, "p95_pinned"):
            label += " ≥"
            if agrees is False:
                agrees, words = None, ("", "and buckets end there; its objective is")
        elif bound := self._told(signal, "p95_coarse"):
            label += f" < {figure(bound, reading.unit)}, mean"
        text = _sentence(label, reading, limit, words, holds=agrees)
        return _check(text, reading, f"service:objective:{objective}", limit, agrees=agrees)

    def _told(self, signal: str, what: str) -> float | None:
        """What the buckets of a service's p95 cannot tell: the bound that it is beyond, or below."""
        stem, _, operation = signal.rpartition(":")
        return self.reading(f"{stem}:{what}").value if operation == "p95_5m" else None

    def within_objective(self, label: str, signal: str, objective: str) -> Check:
        """The signal is at or below the service's objective of this name."""
        over = self.over_objective(label, signal, objective)
        return over.model_copy(update={"agrees": None if over.agrees is None else not over.agrees})

    def positive(self, label: str, signal: str) -> Check:
        """The signal is above zero."""
        reading = self.reading(signal)
        agrees = None if reading.value is None else reading.value > 0
        return _check(
            _sentence(label, reading, 0.0, ("above", "not above"), holds=agrees), reading, None, 0.0, agrees=agrees
        )

    def below_one(self, label: str, signal: str) -> Check:
        """The signal is less than all of it; for ratios whose normal value is 1."""
        reading = self.reading(signal)
        agrees = None if reading.value is None else reading.value < 1
        text = _sentence(label, reading, 1.0, ("below", "not below"), holds=agrees)
        return _check(text, reading, None, 1.0, agrees=agrees)

    def zero(self, label: str, signal: str) -> Check:
        """The signal is a confirmed zero."""
        reading = self.reading(signal)
        agrees = None if reading.value is None else reading.value == 0
        text = f"{label} is unknown" if agrees is None else f"{label} {figure(reading.value, reading.unit)}"
        return _check(text, reading, None, 0.0, agrees=agrees)

    def ratio_at_least(self, label: str, signals: tuple[str, str], threshold: str) -> Check:
        """The first signal over the second reaches the threshold of this name; unknown where the second is zero."""
        return self._ratio(label, signals, threshold, ge, ("at or above", "below"))

    def ratio_below(self, label: str, signals: tuple[str, str], threshold: str) -> Check:
        """The first signal over the second is below the threshold of this name; unknown where the second is zero."""
        return self._ratio(label, signals, threshold, lt, ("below", "at or above"))

    def ratio_at_most(self, label: str, signals: tuple[str, str], threshold: str) -> Check:
        """The first signal over the second is at or below the threshold of this name; unknown where the second is 0."""
        return self._ratio(label, signals, threshold, le, ("at or below", "above"))

    def _ratio(
        self,
        label: str,
        signals: tuple[str, str],
        threshold: str,
        holds: Callable[[float, float], bool],
        words: tuple[str, str],
    ) -> Check:
        over, under = self.reading(signals[0]), self.reading(signals[1])
        limit = self.evidence.thresholds.get(threshold)
        ratio = over.value / under.value if over.value is not None and under.value else None
        agrees = None if ratio is None or limit is None else holds(ratio, limit)
        if ratio is None:
            text = f"{label} is unknown"
        elif limit is None:
            text = f"{label} {figure(ratio)}, its limit is unknown"
        else:
            text = f"{label} {figure(ratio)}, {words[0] if agrees else words[1]} {figure(limit)}"
        resolved = THRESHOLDS[threshold].resolved
        return Check(text=text, agrees=agrees, readings=(over, under), threshold=resolved, threshold_value=limit)

    def _against(self, label: str, signal: str, threshold: Threshold, *, high: bool) -> Check:
        reading = self.reading(signal)
        limit = self.evidence.thresholds.get(threshold.name)
        unknown = reading.value is None or limit is None
        reached = None if reading.value is None or limit is None else reading.value >= limit
        agrees = None if unknown else reached if high else not reached
        text = _sentence(label, reading, limit, ("at or above", "below"), holds=reached)
        return _check(text, reading, threshold.resolved, limit, agrees=agrees)


def any_of(*checks: Check) -> Check:
    """At least one check agrees; unknown when none does and one is unknown."""
    agrees = kleene_or(check.agrees for check in checks)
    shown = [check for check in checks if check.agrees] if agrees else list(checks)
    return _joined(shown, checks, agrees=agrees, word=" or " if not agrees else " and ")


def all_of(*checks: Check) -> Check:
    """All checks agree; unknown when none disagrees and one is unknown."""
    inverse = kleene_or(None if check.agrees is None else not check.agrees for check in checks)
    return _joined(list(checks), checks, agrees=None if inverse is None else not inverse, word=" and ")


def kleene_or(values: Iterable[bool | None]) -> bool | None:
    """Three-valued or."""
    seen = list(values)
    return True if True in seen else None if None in seen else False


def _joined(shown: list[Check], checks: tuple[Check, ...], *, agrees: bool | None, word: str) -> Check:
    one = shown[0]
    if len(shown) > 1:  # several figures have no one threshold; the one that is missing is what a person must know
        lacking = [check for check in checks if check.threshold is not None and check.threshold_value is None]
        one = lacking[0] if agrees is None and lacking else Check(text="", agrees=None)
    return Check(
        text=word.join(dict.fromkeys(check.text for check in shown)),
        agrees=agrees,
        readings=tuple(reading for check in checks for reading in check.readings),
        threshold=one.threshold,
        threshold_value=one.threshold_value,
    )


def _check(text: str, reading: Reading, threshold: str | None, limit: float | None, *, agrees: bool | None) -> Check:
    return Check(text=text, agrees=agrees, readings=(reading,), threshold=threshold, threshold_value=limit)


def _sentence(label: str, reading: Reading, limit: float | None, words: tuple[str, str], *, holds: bool | None) -> str:
    if reading.value is None:
        return f"{label} is unknown"
    shown = f"{label} {figure(reading.value, reading.unit)}"
    if limit is None:
        return f"{shown}, its limit is unknown"
    return f"{shown}, {words[0] if holds else words[1]} {figure(limit, reading.unit if limit else '')}"
