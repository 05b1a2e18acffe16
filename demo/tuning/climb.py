"""From a bad configuration to a good one by nothing but the recommender's own plans, each proven on a canary first."""

from dataclasses import dataclass

from demo.faults.fleet import Fleet, Node, Replica, Way, instance
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.inference import WARM_UP_SECONDS, Phase, Run
from demo.faults.plans import Proposal, answers, propose
from demo.faults.promtool import Pack
from demo.faults.scenario import Kind, Scenario
from demo.tuning.configuration import Configuration
from demo.tuning.worth import Work, Worth, worth
from recommender.inventory import (
    DeclaredSettings,
    ObjectiveConfig,
    ReplicaConfig,
    ServiceConfig,
)
from recommender.model import Change

SEEDS = (71, 72)
"""One a replica."""
MOST_CHANGES = 4
_WATCHED_SECONDS = 780.0
_BESIDE_KV = 0.02
"""Share of the device that the driver and graphs take beside the engine's own."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One plan carried out: what was proposed, and the fleet's worth per replica with it.

    `kept` false: the canary was worse than its control in an objective, so the change was taken back.
    """

    change: Change
    playbook: str
    configuration: Configuration
    worth: Worth
    kept: bool


@dataclass(frozen=True, slots=True)
class Climb:
    """A way up, and why it ended: the proposal that had no change, or None after the last change that was allowed."""

    work: Work
    start: Configuration
    start_worth: Worth
    turns: tuple[Turn, ...]
    ended_by: Proposal | None

    @property
    def end(self) -> tuple[Configuration, Worth]:
        """Where it led."""
        kept = [(turn.configuration, turn.worth) for turn in self.turns if turn.kept]
        return kept[-1] if kept else (self.start, self.start_worth)


def climb(start: Configuration, work: Work, pack: Pack, *, changes: int = MOST_CHANGES) -> Climb:
    """Look, plan, try on one replica, keep or take back; until nothing is proposed or `changes` have been tried."""
    turns: list[Turn] = []
    at, at_worth = start, mean_worth(start, work)
    started, refused = at_worth, set[tuple[str, object]]()
    for _ in range(changes):
        proposal = look(at, work, pack)
        change = proposal.plan.change if proposal.plan is not None else None
        if change is None or (change.knob, change.new) in refused:
            return Climb(work, start, started, tuple(turns), proposal)
        tried = at.with_knob(change.knob, change.new)
        tried_worth = mean_worth(tried, work)
        kept = not _worse(tried_worth, at_worth, work)
        turns.append(Turn(change, proposal.plan.playbook if proposal.plan else "", tried, tried_worth, kept))
        if kept:
            at, at_worth = tried, tried_worth
        else:
            refused.add((change.knob, change.new))
    return Climb(work, start, started, tuple(turns), None)


def mean_worth(configuration: Configuration, work: Work) -> Worth:
    """Of the fleet, per replica; of the quantiles the worst."""
    each = [worth(configuration, work, seed) for seed in SEEDS]
    return Worth(
        goodput=sum(one.goodput for one in each) / len(each),
        ttft_p95_seconds=max(one.ttft_p95_seconds for one in each),
        itl_p95_seconds=max(one.itl_p95_seconds for one in each),
        tokens_per_second=sum(one.tokens_per_second for one in each) / len(each),
    )


def _worse(tried: Worth, before: Worth, work: Work) -> bool:
    """Whether an objective that was kept is broken now, or goodput fell."""
    newly = set(tried.broken(work)) - set(before.broken(work))
    return bool(newly) or tried.goodput < before.goodput


def look(configuration: Configuration, work: Work, pack: Pack) -> Proposal:
    """What is proposed for a fleet that has run with this configuration for a quarter of an hour."""
    scenario = story(configuration, work)
    (recorded,) = answers([scenario], pack, scenario.duration)
    return propose(scenario, recorded, service(configuration, work, scenario.name))


def story(configuration: Configuration, work: Work) -> Scenario:
    """The fleet as the corpus has fleets: two replicas, each on a node with one GPU."""
    setup = configuration.setup(work.step)
    phases = (Phase(-WARM_UP_SECONDS, work.load),)
    limit = configuration.max_running_requests
    replicas = tuple(
        Replica(Run(phases, seed, setup), way=Way.PROBED, node=number, limit=limit)
        for number, seed in enumerate(SEEDS, start=1)
    )
    gpu = GpuLife(((0.0, GpuState(memory=configuration.kv_cache_memory_fraction + _BESIDE_KV)),))
    objectives = (("ttft_p95_seconds", work.ttft_seconds), ("itl_p95_seconds", work.itl_seconds))
    fleet = Fleet(replicas, tuple(Node(gpus=(gpu,)) for _ in SEEDS), objectives)
    return Scenario(f"tuned-{work.name}", Kind.HEALTHY, fleet, SEEDS[0], _WATCHED_SECONDS)


def service(configuration: Configuration, work: Work, name: str) -> ServiceConfig:
    """The inventory's service of the fleet."""
    return ServiceConfig(
        engine="vllm",
        objectives=ObjectiveConfig(ttft_p95_seconds=work.ttft_seconds, itl_p95_seconds=work.itl_seconds),
        settings=DeclaredSettings(
            max_running_requests=configuration.max_running_requests,
            max_batched_tokens=configuration.max_batched_tokens,
            kv_cache_memory_fraction=configuration.kv_cache_memory_fraction,
            prefix_caching=configuration.prefix_caching,
        ),
        replicas=tuple(
            ReplicaConfig(url=f"http://{instance(name, number)}", node=f"{name}-n{number}")
            for number in range(1, len(SEEDS) + 1)
        ),
    )
