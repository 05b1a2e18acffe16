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
    """An alert of a scenario: first and last second of the story at which it fired."""

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
    clocks: dict[tuple[float, float, float], list[Scenario]] = {}
    for one in scenarios:
        clocks.setdefault((one.lead, one.duration, one.interval), []).append(one)
    longest = sorted(clocks.items(), key=lambda clock: -(clock[0][0] + clock[0][1]) / clock[0][2])
    for _, same in longest:
        yield from (tuple(same[start : start + size]) for start in range(0, len(same), size))


def run_batch(batch: Sequence[Scenario], pack: Pack) -> list[Outcome]:
    """One promtool run. A batch has one clock."""
    duration, interval = batch[0].duration, batch[0].interval
    series = [one for scenario in batch for one in scenario.input_series()]
    # Without the lead: promtool gives up a query of more than 10,000 samples.
    window = f"[{duration:g}s:{interval:g}s]"
    end = batch[0].lead + duration
    questions = {
        f"min_over_time(timestamp({_FIRING}){window})": end,
        f"max_over_time(timestamp({_FIRING}){window})": end,
        f"min_over_time(timestamp({_EVIDENCE}){window})": end,
    }
    first, last, evidence = ask(pack, series, interval, questions)
    ends = {frozenset(sample.labels.items()): sample.value for sample in last}
    return [_outcome(scenario, first, ends, evidence) for scenario in batch]


def signals_at(scenario: Scenario, pack: Pack, at: float) -> list[Sample]:
    """Every recorded signal of a scenario at one second of its story: what a diagnosis at that moment would read."""
    question = {'{__name__=~"(replica|service|node|gpu):.+"}': scenario.lead + at}
    (found,) = ask(pack, scenario.input_series(), scenario.interval, question)
    return [sample for sample in found if _is_of(scenario, sample)]


def _outcome(
    scenario: Scenario, first: list[Sample], ends: dict[frozenset[tuple[str, str]], float], evidence: list[Sample]
) -> Outcome:
    firings = (
        Firing(
            sample.labels["alertname"],
            sample.value - scenario.lead,
            ends[frozenset(sample.labels.items())] - scenario.lead,
            tuple(sorted(sample.labels.items())),
        )
        for sample in first
        if _is_of(scenario, sample) and is_judged(sample.labels["alertname"])
    )
    held = (
        Evidence(sample.labels["bottleneck"], sample.value - scenario.lead, tuple(sorted(sample.labels.items())))
        for sample in evidence
        if _is_of(scenario, sample)
    )
    return Outcome(
        scenario, tuple(sorted(firings, key=lambda one: one.first)), tuple(sorted(held, key=lambda one: one.first))
    )


def _is_of(scenario: Scenario, sample: Sample) -> bool:
    return scenario.owns(sample.labels.get("service", ""), sample.labels.get("node", ""))
