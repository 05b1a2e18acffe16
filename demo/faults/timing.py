"""How long after its onset each fault was told of, and how long it may take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from demo.faults.score import Verdict
from demo.faults.windows import WINDOWS
from rules.pack import Rule


@dataclass(frozen=True, slots=True)
class Detection:
    """One required alert of one run, seconds after the onset. `allowed` is window + `for` + two evaluations."""

    scenario: str
    alert: str
    evidence: float | None
    fired: float
    allowed: float


@dataclass(frozen=True, slots=True)
class AlertTimes:
    """All runs of one alert, seconds."""

    alert: str
    runs: int
    window: float
    waits: float
    intervals: float
    median: float
    worst: float
    late: tuple[str, ...]

    @property
    def allowed(self) -> float:
        """The most that it may take."""
        return self.window + self.waits + self.intervals


def waits(rules: Iterable[Rule], seconds: Mapping[str, float]) -> dict[str, float]:
    """`for` of each alert, in seconds; `seconds` knows the durations as they are written."""
    return {rule.name: seconds[rule.waits] if rule.waits else 0.0 for rule in rules if rule.is_alert}


def detections(verdicts: Iterable[Verdict], waiting: Mapping[str, float]) -> list[Detection]:
    """Every required alert that fired after the onset."""
    return [one for verdict in verdicts for one in _of(verdict, waiting)]


def by_alert(found: Iterable[Detection], verdicts: Iterable[Verdict], waiting: Mapping[str, float]) -> list[AlertTimes]:
    """One line an alert, in alphabetical order."""
    intervals = {verdict.outcome.scenario.name: verdict.outcome.scenario.interval for verdict in verdicts}
    grouped: dict[str, list[Detection]] = {}
    for one in found:
        grouped.setdefault(one.alert, []).append(one)
    return [
        AlertTimes(
            alert=alert,
            runs=len(group),
            window=WINDOWS[alert],
            waits=waiting[alert],
            intervals=2 * max(intervals[one.scenario] for one in group),
            median=median(one.fired for one in group),
            worst=max(one.fired for one in group),
            late=tuple(one.scenario for one in group if one.fired > one.allowed),
        )
        for alert, group in sorted(grouped.items())
    ]


def _of(verdict: Verdict, waiting: Mapping[str, float]) -> Iterable[Detection]:
    scenario = verdict.outcome.scenario
    if scenario.onset is None:
        return
    for alert in scenario.alerts:
        fired = [firing.first for firing in verdict.outcome.firings if firing.alert == alert]
        if not fired or min(fired) < scenario.onset:
            continue
        held = [
            one.first
            for one in verdict.outcome.evidence
            if scenario.injected is not None and one.bottleneck == scenario.injected and one.first >= scenario.onset
        ]
        yield Detection(
            scenario=scenario.name,
            alert=alert,
            evidence=min(held) - scenario.onset if held else None,
            fired=min(fired) - scenario.onset,
            allowed=WINDOWS[alert] + waiting[alert] + 2 * scenario.interval,
        )
