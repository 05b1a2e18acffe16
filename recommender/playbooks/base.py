"""What a playbook is, and what it is given besides the evidence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from recommender.contracts import ReplicaTarget
from recommender.engine_version import EngineVersion
from recommender.errors import NotFound
from recommender.facts import ServiceFacts
from recommender.inventory import TuningConfig, VerificationConfig
from recommender.knobs import Knob, KnobCatalog, load
from recommender.knobs.derive import Defaults
from recommender.ledger import SiteEffects
from recommender.model import Ask, Change, Evidence, Finding, KnobValue
from recommender.playbooks.effects import Effects
from recommender.sizing import LinearItl, NotApplicable
from recommender.sizing.load import StepModel
from recommender.sizing.told_capacity import CONFLICT

LMCACHE = "lmcache"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person can do outside OptiInfra, with the figures that size it, and the facts that would say more."""

    text: str
    asks: tuple[Ask, ...] = ()


# Where the inventory takes a fact that is no setting of an engine; empty: nowhere, it is measured.
_KEYS = {
    "model": "model",
    "gpu": "hardware.gpu",
    "gpus_per_replica": "hardware.gpus_per_replica",
    "weight_dtype": "hardware.weight_dtype",
    "kv_dtype": "settings.kv_cache_dtype",
    "tensor_parallel": "settings.tensor_parallel_size",
    "gpu_memory_free_bytes": "",
}
_OF_CAPACITY = (
    "model, hardware.gpu, hardware.weight_dtype, settings.kv_cache_dtype, tensor_parallel_size or "
    "kv_cache_memory_fraction; where the cache was given another size, settings.kv_cache_capacity_tokens or "
    "kv_cache_memory_bytes"
)


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What the inventory and the executor know of a service; all empty for a service outside the inventory.

    `settings` are the engines' configurations: instance -> config key -> value, as `Executor.read` gives them.
    `declared` are the inventory's settings by neutral knob name. `itl` is a fitted latency model, when there is one,
    and `step` the whole step of the engine, prompts included.
    `tuning` is how this service's changes are sized. `start_seconds` is how long one of its replicas took to serve
    again after a restart, as measured; None when that was never seen. `ledger` is what changes did at this site.
    `defaults` are what replicas run with of knobs that nobody set, where that is known. `version` says where the
    engine's is from, or why it is unknown. `facts` are what is known of the model and its GPUs. `companions`:
    instance -> what stands beside a replica ("lmcache", "kvoptkit"). `lmcache`: as `settings`, of LMCache in a replica.
    """

    service: str
    engine: str | None = None
    engine_version: str | None = None
    executor: str = "none"
    replicas: tuple[ReplicaTarget, ...] = ()
    knobs: KnobCatalog | None = None
    settings: Mapping[str, Mapping[str, KnobValue]] = field(default_factory=dict)
    declared: Mapping[str, KnobValue] = field(default_factory=dict)
    defaults: Mapping[str, Defaults] = field(default_factory=dict)
    version: EngineVersion = field(default_factory=EngineVersion)
    verification: VerificationConfig = field(default_factory=VerificationConfig)
    itl: LinearItl | None = None
    step: StepModel | None = None
    tuning: TuningConfig = field(default_factory=TuningConfig)
    start_seconds: float | None = None
    ledger: SiteEffects = field(default_factory=SiteEffects)
    facts: ServiceFacts = field(default_factory=ServiceFacts)
    companions: Mapping[str, str] = field(default_factory=dict)
    lmcache: Mapping[str, Mapping[str, KnobValue]] = field(default_factory=dict)

    def of(self, engine: str) -> "PlanContext":
        """The context of a change of `engine`: this one, or that of LMCache in the replicas that name its file."""
        if engine == self.engine or engine != LMCACHE:
            return self
        within = tuple(replica for replica in self.replicas if replica.lmcache_config_file)
        knobs = load(engine).at(None)  # which version lives in a replica, nobody tells
        return replace(self, engine=engine, knobs=knobs, settings=self.lmcache, defaults={}, replicas=within)

    def knob(self, name: str) -> Knob | None:
        """The engine's knob of this neutral name, or None."""
        return None if self.knobs is None else self.knobs.get(name)

    def knob_of_any_version(self, name: str) -> Knob | None:
        """The knob as some version of the engine has it; None when none that is known does."""
        try:
            return None if self.engine is None else load(self.engine).get(name)
        except NotFound:
            return None

    def configured(self, name: str, instance: str) -> KnobValue | None:
        """The value of a knob on a replica: its file's, else the inventory's, else a default that surely holds.

        None when unknown, as it is where the file names the knob with a value that is not understood.
        """
        if self.knobs is not None:
            own = self.knobs.neutral(self.settings.get(instance, {}))
            if name in own:
                return own[name]
        here = self.defaults.get(instance, Defaults())
        if name in self.declared or name in here.unread:
            return None if name in here.unread else self.declared[name]
        return here.values[name].value if name in here.values else None

    def source(self, name: str, instance: str) -> str:
        """Where `configured` has a value from, in words; empty when it has none."""
        knob, here = self.knob(name), self.defaults.get(instance, Defaults())
        if knob is None or self.configured(name, instance) is None:
            return ""
        if self.knobs is not None and name in self.knobs.neutral(self.settings.get(instance, {})):
            return f"the configuration file of {instance}"
        return f"inventory: settings.{name}" if name in self.declared else here.values[name].source

    def conflicts(self, name: str, value: KnobValue, instance: str) -> tuple[str, ...]:
        """Why a knob cannot have this value beside a replica's other settings; empty when nothing known is against."""
        return () if self.knobs is None else self.knobs.conflicts(name, value, self.neutral(instance))

    def asks(self, *facts: str) -> tuple[Ask, ...]:
        """How these facts can be given: as `facts` asks for them, else as a setting of the inventory.

        A proof names all that it takes; what is known of it is not asked for.
        """
        asked = {ask.fact: ask for ask in self.facts.asks}
        unknown = [fact for fact in dict.fromkeys(facts) if getattr(self.facts, fact, None) is None]
        return tuple(asked.get(fact) or self._ask(fact) for fact in unknown)

    def _ask(self, fact: str) -> Ask:
        if fact == CONFLICT:
            how = f"correct what is wrong of services.{self.service}: {_OF_CAPACITY}"
            return Ask(fact=fact, needed_for="to show that a change fits", how=how)
        key = _KEYS.get(fact, f"settings.{fact}")
        how = f"set services.{self.service}.{key}" if key else "run the exporter on the node, or dcgm-exporter"
        return Ask(fact=fact, needed_for="to show that a change fits", how=how)

    def neutral(self, instance: str) -> Mapping[str, KnobValue]:
        """All settings of a replica that are known, by neutral name."""
        own = {} if self.knobs is None else self.knobs.neutral(self.settings.get(instance, {}))
        here = self.defaults.get(instance, Defaults())
        unset = {name: each.value for name, each in here.values.items()}
        return {**unset, **{name: value for name, value in self.declared.items() if name not in here.unread}, **own}


Size = Callable[[Evidence, Finding, PlanContext], Change | Advice | NotApplicable]
Effect = Callable[[Change, Evidence, str, PlanContext], Effects]  # the string names the canary


@dataclass(frozen=True, slots=True)
class Playbook:
    """One action: how it is sized and, when it can change a knob, what it does. `id` cites tuning §3.

    `engines` are those that it speaks of; of another engine it is not considered.
    """

    id: str
    title: str
    size: Size
    effects: Effect | None = None  # None: only ever advice
    rollback: str = ""
    engines: frozenset[str] | None = None  # None: every engine


def advising(identifier: str, title: str, text: str) -> Playbook:
    """A playbook that always gives the same advice."""

    def size(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
        return Advice(text)

    return Playbook(identifier, title, size)
