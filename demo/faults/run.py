"""Runs scenarios through the rule pack and tells what fired, and when."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from demo.faults.promtool import Pack, Sample, ask
from demo.faults.scenario import Scenario, is_judged

RULES = Path(__file__).parents[2] / "rules"
_FIRING = 'ALERTS{alertstate="firing"}'
_EVIDENCE = '{__name__=~"(replica|service|node|gpu):bottleneck:evidence"}'


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert of a scenario: first and last second at which it fired."""

    alert: str
    first: float
    last: float
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A recorded condition: the first second at which it held."""

    bottleneck: str
    first: float
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rules said of a scenario."""

    scenario: Scenario
    firings: tuple[Firing, ...]
    evidence: tuple[Evidence, ...]


def run(scenarios: Sequence[Scenario], pack: Pack, *, processes: int = 1, size: int = 24) -> Iterator[Outcome]:
    """The outcome of every scenario, in no order; batches of equal clocks run side by side in processes."""
    batches = list(split(scenarios, size))
    if processes <= 1:
        for batch in batches:
            yield from run_batch(batch, pack)
        return
    with ProcessPoolExecutor(processes) as pool:
        for outcomes in pool.map(run_batch, batches, [pack] * len(batches)):
            yield from outcomes


def split(scenarios: Sequence[Scenario], size: int) -> Iterator[tuple[Scenario, ...]]:
    """Batches of scenarios with one clock, the longest first, so that no process is left with it at the end."""
    clocks = sorted({(one.duration / one.interval, one.duration, one.interval) for one in scenarios}, reverse=True)
    for _, duration, interval in clocks:
        same = [one for one in scenarios if (one.duration, one.interval) == (duration, interval)]
        yield from (tuple(same[start : start + size]) for start in range(0, len(same), size))


def run_batch(batch: Sequence[Scenario], pack: Pack) -> list[Outcome]:
    """One promtool run. A batch has one clock."""
    duration, interval = batch[0].duration, batch[0].interval
    series = [one for scenario in batch for recording in scenario.recordings() for one in recording.input_series()]
    window = f"[{duration:g}s:{interval:g}s]"
    questions = {
        f"min_over_time(timestamp({_FIRING}){window})": duration,
        f"max_over_time(timestamp({_FIRING}){window})": duration,
        f"min_over_time(timestamp({_EVIDENCE}){window})": duration,
    }
    first, last, evidence = ask(pack, series, interval, questions)
    ends = {frozenset(sample.labels.items()): sample.value for sample in last}
    return [_outcome(scenario, first, ends, evidence) for scenario in batch]


def signals_at(scenario: Scenario, pack: Pack, at: float) -> list[Sample]:
    """Every recorded signal of a scenario at one second: what a diagnosis at that moment would read."""
    series = [one for recording in scenario.recordings() for one in recording.input_series()]
    (found,) = ask(pack, series, scenario.interval, {'{__name__=~"(replica|service|node|gpu):.+"}': at})
    return [sample for sample in found if _is_of(scenario, sample)]


def _outcome(
    scenario: Scenario, first: list[Sample], ends: dict[frozenset[tuple[str, str]], float], evidence: list[Sample]
) -> Outcome:
    firings = (
        Firing(
            sample.labels["alertname"],
            sample.value,
            ends[frozenset(sample.labels.items())],
            tuple(sorted(sample.labels.items())),
        )
        for sample in first
        if _is_of(scenario, sample) and is_judged(sample.labels["alertname"])
    )
    held = (
        Evidence(sample.labels["bottleneck"], sample.value, tuple(sorted(sample.labels.items())))
        for sample in evidence
        if _is_of(scenario, sample)
    )
    return Outcome(
        scenario, tuple(sorted(firings, key=lambda one: one.first)), tuple(sorted(held, key=lambda one: one.first))
    )


def _is_of(scenario: Scenario, sample: Sample) -> bool:
    return scenario.owns(sample.labels.get("service", ""), sample.labels.get("node", ""))
