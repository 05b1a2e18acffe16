"""Plan: one sized change, how it is judged and undone, and what else was considered."""

from enum import StrEnum

from pydantic import Field

from recommender.metrics import Work
from recommender.model.base import KnobValue, Model
from rules.catalog import Bottleneck


class Risk(StrEnum):
    """Risk class of a change: decides who approves and how it is verified."""

    LIVE = "live"
    RESTART = "restart"
    QUALITY = "quality"
    HARDWARE = "hardware"


class Direction(StrEnum):
    """Which way a metric should move."""

    LOWER = "lower"
    HIGHER = "higher"


class Expectation(Model):
    """Expected effect: the metric's new value over the old one as a range, with the source of the range."""

    metric: str
    direction: Direction
    low: float  # ratio new/old, pessimistic end
    mid: float | None = None  # ratio new/old, most likely; None: only the range is known
    high: float  # ratio new/old, optimistic end
    source: str


class Apply(StrEnum):
    """What makes a new value act."""

    LIVE = "live"  # a call to the running engine
    ADMISSION_ONLY = "admission_only"  # live, and only for requests that come after it
    RELOAD = "reload"  # the model is loaded anew, the process stays
    RESTART = "restart"


class Feasibility(Model):
    """The proof that a change fits: memory that it needs before and after, against what there is.

    `fits` None means that it cannot be shown: `missing` says which facts would show it.
    """

    fits: bool | None
    unit: str = "bytes"  # or "tokens": KV tokens against the KV capacity, where bytes are not known
    before: float | None = None
    after: float | None = None
    limit: float | None = None
    text: str
    missing: tuple[str, ...] = ()


class Change(Model):
    """One knob of one engine, old value to new value."""

    knob: str  # engine-neutral
    engine: str
    flag: str  # "--max-num-seqs", or the variable where an engine has only that: "OLLAMA_NUM_PARALLEL"
    config_key: str  # key in the engine's configuration file, dots between levels: "max-num-seqs"
    env: str | None = None  # environment variable that sets it
    apply: Apply = Apply.RESTART
    feasibility: Feasibility | None = None
    old: KnobValue  # neutral: base units and neutral words, as sizing and the inventory have them
    old_source: str = ""  # what tells it: a file, the inventory, the engine, or its default
    new: KnobValue
    engine_old: KnobValue | None = None  # as the engine writes it, e.g. in GiB; None: the same as `old`
    engine_new: KnobValue | None = None
    also: tuple[str, ...] = ()  # keys or variables that take the same value with it
    sets: dict[str, KnobValue] = Field(default_factory=dict)  # keys without whose value it would do nothing
    sets_old: dict[str, KnobValue] = Field(default_factory=dict)  # what of those the plan was made for
    unset: bool = False  # `new` is had by leaving the key out of the engine's configuration
    reason: str
    formula: str
    inputs: dict[str, float] = Field(default_factory=dict)
    risk: Risk

    @property
    def written_old(self) -> KnobValue:
        """The old value as the engine's configuration has it."""
        return self.old if self.engine_old is None else self.engine_old

    @property
    def written_new(self) -> KnobValue:
        """The new value as the engine's configuration has it; without meaning where `unset`."""
        return self.new if self.engine_new is None else self.engine_new

    @property
    def step(self) -> str:
        """Old and new value as the engine's configuration has them, for people, and what is set beside them."""
        steps = [f"{self.written_old} -> {'left out' if self.unset else self.written_new}"]
        steps += [f"{key}: {self.sets_old.get(key, 'as it was')} -> {value}" for key, value in self.sets.items()]
        return ", ".join(steps)


class Guard(Model):
    """A metric that must not get worse: canary against control, or against an absolute limit."""

    metric: str
    max_ratio: float | None = None  # canary/control above this is worse
    min_ratio: float | None = None  # canary/control below this is worse
    tolerated: float = 0.0  # a difference of up to this is never worse by its ratio
    max_value: float | None = None  # canary above this is worse
    max_increase: float | None = None  # canary - control above this is worse (error ratio, in ratio points)


class Verification(Model):
    """How a change is judged."""

    must_improve: Expectation
    min_improvement: float = 0.03  # relative change below which nothing is proven (tuning §7.2 no. 6)
    guards: tuple[Guard, ...] = ()
    settle_seconds: float
    window_seconds: float
    interval_seconds: float
    min_requests: int  # of `work`: least that each arm must have done
    work: Work = Work.FIRST_TOKENS
    max_extensions: int = 1


class Alternative(Model):
    """A playbook that was considered and not chosen, and why; or advice outside the engine."""

    playbook: str
    title: str
    reason: str
    change: Change | None = None


class RestartCost(Model):
    """What making the value act costs: seconds without the replica, and what is cold after."""

    seconds: float | None  # per replica, measured where it can be; None: unknown
    text: str


class QualityGate(Model):
    """Answers may change: a score of the team's own has to be compared before a roll-out."""

    text: str
    max_drop_ratio: float  # of the score, against the baseline


class Patch(Model):
    """The change as a person would write it somewhere: one format, ready to paste."""

    format: str  # "engine-config", "cli", "environment", "helm-values", "compose", "request", "http"
    title: str
    content: str


class PlanQuery(Model):
    """A query that judges a change, and what it must give."""

    text: str
    query: str


class Ask(Model):
    """A fact that would sharpen or permit a plan: what it is, what it is needed for, how to give it."""

    fact: str
    needed_for: str
    how: str


class EvidenceItem(Model):
    """A line of the plan's justification."""

    text: str
    query: str
    value: float | None
    threshold: float | None = None


class Plan(Model):
    """One sized change for a service, with its verification, roll-back and alternatives.

    `change` None or a reason in `withheld` makes it advice: a person must act outside OptiInfra.
    """

    service: str
    bottleneck: Bottleneck
    playbook: str  # "P04.1"
    title: str
    change: Change | None
    withheld: str = ""  # why a plan with a change is advice all the same: nobody can have it carried out
    instances: tuple[str, ...] = ()  # replicas to change, the canary first
    executor: str  # executor type; "none" when the service is not in the inventory
    healthy_replicas: int | None = None  # replicas of the service that answered at the evidence; None: unknown
    engine_version: str | None = None  # of the canary; None: unknown. With `gpu` what the effect ledger compares by
    gpu: str | None = None  # of the service's replicas, as the table of GPUs calls it; None: unknown
    confidence: float
    evidence: tuple[EvidenceItem, ...]
    expected: tuple[Expectation, ...] = ()
    verification: Verification | None = None
    rollback: str
    alternatives: tuple[Alternative, ...] = ()
    advice: tuple[str, ...] = ()
    restart: RestartCost | None = None
    quality_gate: QualityGate | None = None
    patches: tuple[Patch, ...] = ()
    verification_queries: tuple[PlanQuery, ...] = ()
    rollback_queries: tuple[PlanQuery, ...] = ()
    asks: tuple[Ask, ...] = ()

    @property
    def is_advice(self) -> bool:
        """Whether nothing of it is ever carried out."""
        return self.change is None or bool(self.withheld)
