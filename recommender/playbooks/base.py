"""What a playbook is, and what it is given besides the evidence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recommender.contracts import ReplicaTarget
from recommender.inventory import VerificationConfig
from recommender.knobs import Knob, KnobCatalog
from recommender.metrics import VerificationMetric
from recommender.model import Change, Evidence, Expectation, Finding, Guard, KnobValue
from recommender.sizing import LinearItl, NotApplicable
from recommender.tuning_config import TuningConfig


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person can do outside OptiInfra, with the figures that size it."""

    text: str


@dataclass(frozen=True, slots=True)
class Effects:
    """What a change is expected to do, the one metric that must improve, and what must not get worse."""

    expected: tuple[Expectation, ...]
    must_improve: Expectation
    guards: tuple[Guard, ...]


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What the inventory and the executor know of a service; all empty for a service outside the inventory.

    `settings` are the engines' configurations: instance -> config key -> value, as `Executor.read` gives them.
    `declared` are the inventory's settings by neutral knob name. `itl` is a fitted latency model, when there is one.
    `tuning` is how this service's changes are sized. `start_seconds` is how long one of its replicas took to serve
    again after a restart, as measured; None when that was never seen.
    """

    service: str
    engine: str | None = None
    executor: str = "none"
    replicas: tuple[ReplicaTarget, ...] = ()
    knobs: KnobCatalog | None = None
    settings: Mapping[str, Mapping[str, KnobValue]] = field(default_factory=dict)
    declared: Mapping[str, KnobValue] = field(default_factory=dict)
    verification: VerificationConfig = field(default_factory=VerificationConfig)
    itl: LinearItl | None = None
    tuning: TuningConfig = field(default_factory=TuningConfig)
    start_seconds: float | None = None

    def knob(self, name: str) -> Knob | None:
        """The engine's knob of this neutral name, or None."""
        return None if self.knobs is None else self.knobs.get(name)

    def configured(self, name: str, instance: str) -> KnobValue | None:
        """The value of a knob on a replica: its configuration file's, else the inventory's; None when unknown."""
        if self.knobs is not None:
            own = self.knobs.neutral(self.settings.get(instance, {}))
            if name in own:
                return own[name]
        return self.declared.get(name)


Size = Callable[[Evidence, Finding, PlanContext], Change | Advice | NotApplicable]
Effect = Callable[[Change, Evidence, str, PlanContext], Effects]  # the string names the canary


@dataclass(frozen=True, slots=True)
class Playbook:
    """One action: how it is sized and, when it can change a knob, what it does. `id` cites tuning §3."""

    id: str
    title: str
    size: Size
    effects: Effect | None = None  # None: only ever advice
    rollback: str = ""


def advising(identifier: str, title: str, text: str) -> Playbook:
    """A playbook that always gives the same advice."""

    def size(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
        return Advice(text)

    return Playbook(identifier, title, size)


def error_guard(context: PlanContext) -> Guard:
    """Errors may not rise: in points of the error ratio, canary against control (tuning §7.2 no. 6)."""
    return Guard(metric=VerificationMetric.ERROR_RATIO, max_increase=context.verification.error_ratio_max_increase)


def preemption_guard(context: PlanContext) -> Guard:
    """Preemptions per finished request stay below the critical guard of tuning §7.2 no. 6."""
    return Guard(
        metric=VerificationMetric.PREEMPTIONS_PER_REQUEST, max_value=context.verification.preemptions_per_request_max
    )


def ratio_guard(metric: VerificationMetric, max_ratio: float) -> Guard:
    """Canary over control stays at or below `max_ratio`."""
    return Guard(metric=metric, max_ratio=max_ratio)
