"""From a bad configuration to a good one by nothing but the recommender's own plans, each proven on a canary first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from demo.faults.fleet import Fleet, Node, Replica, Way, instance
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.inference import WARM_UP_SECONDS, Phase, Run
from demo.faults.plans import Proposal, answers, propose
from demo.faults.promtool import Pack
from demo.faults.scenario import Kind, Scenario
from demo.tuning.configuration import MODEL_CONFIG, Configuration
from demo.tuning.worth import Work, Worth, worth
from recommender.inventory import DeclaredSettings, HardwareConfig, ObjectiveConfig, ReplicaConfig, ServiceConfig
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


@dataclass(slots=True)
class _Way:
    """A climb that is under way: where it is, and what has been tried and did not help."""

    name: str
    work: Work
    start: Configuration
    start_worth: Worth
    at: Configuration
    at_worth: Worth
    turns: list[Turn] = field(default_factory=list)
    refused: set[tuple[str, object]] = field(default_factory=set)
    ended_by: Proposal | None = None

    def turn(self, proposal: Proposal) -> None:
        """Try what is proposed, and keep it or take it back."""
        plan = proposal.plan
        change = None if plan is None else plan.change
        if plan is None or change is None or (change.knob, change.new) in self.refused:
            self.ended_by = proposal
            return
        tried = self.at.changed(change)
        worth = mean_worth(tried, self.work)
        kept = not _worse(worth, self.at_worth, self.work)
        self.turns.append(Turn(change, plan.playbook, tried, worth, kept))
        if kept:
            self.at, self.at_worth = tried, worth
        else:
            self.refused.add((change.knob, change.new))


def climb(starts: Sequence[tuple[Configuration, Work]], pack: Pack, *, changes: int = MOST_CHANGES) -> list[Climb]:
    """Look, plan, try on one replica, keep or take back; until nothing is proposed or `changes` have been tried.

    All climb together, as the services of one fleet: Prometheus evaluates its rules once for all of them.
    """
    ways = []
    for number, (start, work) in enumerate(starts):
        worth = mean_worth(start, work)
        ways.append(_Way(f"{work.name}-{number}", work, start, worth, start, worth))
    for _ in range(changes):
        climbing = [way for way in ways if way.ended_by is None]
        if not climbing:
            break
        for way, proposal in zip(climbing, look([(one.name, one.at, one.work) for one in climbing], pack), strict=True):
            way.turn(proposal)
    return [Climb(way.work, way.start, way.start_worth, tuple(way.turns), way.ended_by) for way in ways]


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


def look(services: Sequence[tuple[str, Configuration, Work]], pack: Pack) -> list[Proposal]:
    """What is proposed for each fleet, called so, that has run with its configuration for a quarter of an hour."""
    stories = [story(*one) for one in services]
    return [
        propose(scenario, recorded, service(*one))
        for one, scenario, recorded in zip(services, stories, answers(stories, pack, _WATCHED_SECONDS), strict=True)
    ]


def story(name: str, configuration: Configuration, work: Work) -> Scenario:
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
    return Scenario(name, Kind.HEALTHY, fleet, SEEDS[0], _WATCHED_SECONDS)


def service(name: str, configuration: Configuration, work: Work) -> ServiceConfig:
    """The inventory's service of the fleet."""
    return ServiceConfig(
        engine="vllm",
        model_config=str(MODEL_CONFIG),
        hardware=HardwareConfig(gpu="h100_sxm", gpus_per_replica=1),
        objectives=ObjectiveConfig(ttft_p95_seconds=work.ttft_seconds, itl_p95_seconds=work.itl_seconds),
        settings=DeclaredSettings(
            max_running_requests=configuration.max_running_requests,
            max_batched_tokens=configuration.max_batched_tokens,
            kv_cache_memory_fraction=configuration.kv_cache_memory_fraction,
            prefix_caching=configuration.prefix_caching,
            kv_cache_dtype="bf16",
        ),
        replicas=tuple(
            ReplicaConfig(url=f"http://{instance(name, number)}", node=f"{name}-n{number}")
            for number in range(1, len(SEEDS) + 1)
        ),
    )
