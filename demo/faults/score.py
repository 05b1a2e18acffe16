"""Compares what was done to each fleet with what a person would have been told."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demo.faults.inhibition import Rule, heard
from demo.faults.run import Outcome
from rules.catalog.alerts import ALERTS, Bottleneck, BottleneckKind

B = Bottleneck
_SYMPTOMS = frozenset({B.QUEUE_BUILDUP, B.HIGH_LATENCY, B.LOW_THROUGHPUT, B.SLO_BURN})
# What one symptom brings with it where no cause is known; a cause, a fault or a lack brings any symptom.
_AMONG_SYMPTOMS = {
    B.QUEUE_BUILDUP: frozenset({B.HIGH_LATENCY, B.SLO_BURN}),
    B.HIGH_LATENCY: frozenset({B.SLO_BURN}),
    B.LOW_THROUGHPUT: _SYMPTOMS,
    B.SLO_BURN: frozenset({B.HIGH_LATENCY}),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judged outcome. `told`: classes that a person hears of. `false`: those of them that are wrong."""

    outcome: Outcome
    told: frozenset[Bottleneck]
    false: frozenset[Bottleneck]
    missing: tuple[str, ...]
    detected: bool

    @property
    def right(self) -> bool:
        """Whether nothing is wrong and nothing is missing."""
        return not self.false and not self.missing and (self.detected or self.outcome.scenario.injected is None)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Counts of runs; None where a ratio has no runs."""

    bottleneck: Bottleneck
    runs: int
    detected: int
    false: int

    @property
    def precision(self) -> float | None:
        """Share of those told of that were so."""
        return self.detected / (self.detected + self.false) if self.detected + self.false else None

    @property
    def recall(self) -> float | None:
        """Share of those done that were told of."""
        return self.detected / self.runs if self.runs else None


def judge(outcome: Outcome, rules: Sequence[Rule]) -> Verdict:
    """Inhibition is applied to all that ever fired: which of two came first is the table of times' matter."""
    scenario = outcome.scenario
    labels = [dict(firing.labels) for firing in outcome.firings]
    told = frozenset(Bottleneck(alert["bottleneck"]) for alert in heard(labels, rules))
    injected = scenario.injected
    false = told - accompanying(injected) - scenario.also - {injected}
    fired = {firing.alert for firing in outcome.firings}
    early = injected is not None and any(
        ALERTS[firing.alert].bottleneck is injected and firing.first < (scenario.onset or 0.0)
        for firing in outcome.firings
    )
    if injected is not None and early:
        false |= {injected}
    return Verdict(
        outcome=outcome,
        told=told,
        false=frozenset(false),
        missing=tuple(alert for alert in scenario.alerts if alert not in fired),
        detected=injected is not None and injected in told and scenario.alerts[0] in fired and not early,
    )


def accompanying(injected: Bottleneck | None) -> frozenset[Bottleneck]:
    """Classes that may be told of beside the injected one."""
    if injected is None:
        return frozenset()
    if injected in _AMONG_SYMPTOMS:
        return _AMONG_SYMPTOMS[injected]
    return _SYMPTOMS


def scores(verdicts: Sequence[Verdict]) -> list[ClassScore]:
    """Every class that has an alert, in the order of the taxonomy."""
    done = Counter(verdict.outcome.scenario.injected for verdict in verdicts)
    found = Counter(verdict.outcome.scenario.injected for verdict in verdicts if verdict.detected)
    false = Counter(one for verdict in verdicts for one in verdict.false)
    return [ClassScore(one, done[one], found[one], false[one]) for one in judged_classes()]


def judged_classes() -> list[Bottleneck]:
    """Classes of alerts that say something of the fleet."""
    named = {alert.bottleneck for alert in ALERTS.values() if alert.kind is not BottleneckKind.META}
    return [one for one in Bottleneck if one in named]


def matrix(verdicts: Iterable[Verdict]) -> Counter[tuple[Bottleneck | None, Bottleneck]]:
    """Runs by injected class (None: all was well) and class told of."""
    return Counter((verdict.outcome.scenario.injected, one) for verdict in verdicts for one in verdict.told)
