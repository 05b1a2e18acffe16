"""What the recommender would propose in a story: its own evidence, diagnosis and plan over the rules' real answers."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from demo.faults.fleet import instance
from demo.faults.promtool import Pack, ask
from demo.faults.promtool import Sample as Answer
from demo.faults.scenario import Scenario
from recommender.contracts import PromQL, Sample, Series
from recommender.diagnosis import diagnose
from recommender.evidence import gather, quote
from recommender.inventory import DeclaredSettings, Inventory, ObjectiveConfig, ReplicaConfig, ServiceConfig
from recommender.knobs import load
from recommender.model import Diagnosis, Evidence, Plan
from recommender.planner import context_of, make_plan

AT = datetime(2026, 1, 1, tzinfo=UTC)
"""The instant that evidence is of, whatever second of a story: plans do not depend on it."""
# Buckets are many, and the recommender leaves them out, too.
_NO_BUCKETS = '__name__!~".+_(bucket|sum|count):rate.+"'
_THRESHOLDS = '{__name__=~"threshold:.+"}'
_SELECTOR = re.compile(r"([\w:]*)\{(.*)\}", re.DOTALL)
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class NotASelectorError(ValueError):
    """A query of another kind than the recorded answers can be searched by."""


@dataclass(frozen=True, slots=True)
class Recorded(PromQL):
    """The answers of one instant, searched by instant vector selectors. There is no history."""

    samples: tuple[Sample, ...]

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:  # noqa: ARG002 - there is one instant
        """Series that the selector matches."""
        matchers = _matchers(query)
        return [one for one in self.samples if all(match(one.labels.get(label, "")) for label, match in matchers)]

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:  # noqa: ARG002 - PromQL's signature
        """Nothing: what is not known stays unknown."""
        return []


def _matchers(query: str) -> list[tuple[str, Callable[[str], bool]]]:
    selector = _SELECTOR.fullmatch(query.strip())
    if selector is None or _MATCHER.sub("", selector[2]).strip():
        raise NotASelectorError(query)
    found = [_matcher(*one) for one in _MATCHER.findall(selector[2])]
    return found if not selector[1] else [("__name__", selector[1].__eq__), *found]


def _matcher(label: str, operator: str, quoted: str) -> tuple[str, Callable[[str], bool]]:
    wanted = _ESCAPE.sub(lambda escape: {"n": "\n", "r": "\r", "t": "\t"}.get(escape[1], escape[1]), quoted)
    if operator in {"=", "!="}:
        return label, wanted.__eq__ if operator == "=" else wanted.__ne__
    pattern = re.compile(wanted)
    if operator == "=~":
        return label, lambda value: pattern.fullmatch(value) is not None
    return label, lambda value: pattern.fullmatch(value) is None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What came of one story: `plan` None when nothing is to be done."""

    scenario: Scenario
    evidence: Evidence
    diagnosis: Diagnosis
    plan: Plan | None


# Memory that grew at once grows no more half an hour later: what was done is over before the story is.
_OVER_BEFORE_THE_END: Mapping[str, float] = {"gpu-memory-exhausted": 4200.0}


def asked_at(scenario: Scenario) -> float:
    """The second of a story at which a plan is asked for: its end, if what was done is not over by then."""
    return _OVER_BEFORE_THE_END.get(scenario.name, scenario.duration)


def answers(scenarios: Sequence[Scenario], pack: Pack, at: float | None = None) -> list[list[Answer]]:
    """All that the rules have recorded of each scenario at second `at`, else when its plan is asked for.

    One promtool run, so equal intervals; stories may be of different length. A question each, because promtool answers
    none with more than 10,000 samples.
    """
    if len(intervals := {one.interval for one in scenarios}) != 1:
        raise ValueError(f"scenarios of one promtool run have one interval, not {sorted(intervals)}")
    series = [one for scenario in scenarios for one in scenario.input_series()]
    when = {one.name: one.lead + (asked_at(one) if at is None else at) for one in scenarios}
    questions = {question: when[one.name] for one in scenarios for question in _questions(one.name)}
    thresholds, *told = ask(pack, series, intervals.pop(), {_THRESHOLDS: max(when.values()), **questions})
    # A threshold is everybody's unless it names a service.
    common = [sample for sample in thresholds if not sample.labels.get("service")]
    return [[*common, *of_service, *of_nodes] for of_service, of_nodes in zip(told[::2], told[1::2], strict=True)]


def _questions(service: str) -> tuple[str, str]:
    nodes = quote(re.escape(service) + r"-n\d+")
    return (
        f'{{__name__=~"(replica|service):.+",{_NO_BUCKETS},service={quote(service)}}}',
        f'{{__name__=~"(node|gpu):.+",node=~{nodes}}}',
    )


def service_of(scenario: Scenario) -> ServiceConfig:
    """The inventory's service of a story: what its engines were started with, declared; nothing is carried out."""
    setup, engine = scenario.fleet.replicas[0].run.setup, scenario.fleet.replicas[0].engine.value
    has_share = load(engine).get("kv_cache_memory_fraction") is not None
    return ServiceConfig(
        engine=engine,
        objectives=ObjectiveConfig.model_validate(dict(scenario.fleet.objectives)),
        settings=DeclaredSettings(
            max_running_requests=setup.slots,
            max_batched_tokens=setup.step_tokens,
            prefix_caching=setup.prefix_caching,
            kv_cache_memory_fraction=setup.memory_fraction if has_share else None,
        ),
        replicas=tuple(
            ReplicaConfig(url=f"http://{instance(scenario.name, number)}", node=f"{scenario.name}-n{replica.node}")
            for number, replica in enumerate(scenario.fleet.replicas, start=1)
        ),
    )


def propose(scenario: Scenario, samples: Iterable[Answer], service: ServiceConfig) -> Proposal:
    """The recommender's own way from what Prometheus says to a plan, as if a person had asked."""
    promql = Recorded(tuple(Sample(one.labels, one.value) for one in samples))
    evidence = gather(promql, scenario.name, AT)
    diagnosis = diagnose(evidence)
    targets = Inventory(services={scenario.name: service}).targets(scenario.name)
    plan = make_plan(diagnosis, evidence, context_of(scenario.name, service, targets, None, evidence=evidence))
    return Proposal(scenario, evidence, diagnosis, plan)
