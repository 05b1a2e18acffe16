"""Which replicas a knob is changed on, and from which value.

A change needs the value that runs now: from the engine's configuration file, else from the inventory, else from the
engine itself. A value that was only observed sizes advice and is never the basis of a change.
"""

from collections.abc import Callable
from dataclasses import dataclass

from recommender.figures import figure
from recommender.knobs import Knob
from recommender.model import Ask, Change, Evidence, Finding, KnobValue
from recommender.playbooks.base import PlanContext
from recommender.sizing import NotApplicable, Sized

# What an engine tells of a knob that it runs with. vLLM tells its memory fraction, not its batch limit.
_TOLD_BY_ENGINE = {
    "max_running_requests": "replica:llm_max_running_requests:engine",
    "max_batched_tokens": "replica:llm_max_batched_tokens",
    "max_model_length_tokens": "replica:llm_max_model_length_tokens",
    "kv_cache_memory_fraction": "replica:llm_kv_cache_memory_fraction",
    "tensor_parallel_size": "replica:llm_tensor_parallel_size",
}
_ROUNDED = 0.001  # engines tell fractions with two or three digits
_MADE_OF_AUTO = frozenset({"fp32", "fp16", "bf16"})  # some engines tell what they made of "auto"
_TOLD_IN_WORDS = {"kv_cache_dtype": "kv_cache_dtype", "weight_quantization": "quantization"}


@dataclass(frozen=True, slots=True)
class ChangeScope:
    """The knob, the value it has, and the replicas that have it, the canary first."""

    engine: str
    knob: Knob
    old: KnobValue
    instances: tuple[str, ...]

    def change(self, sized: Sized, *, reason: str) -> Change:
        """The change of this knob to the sized value, in the knob's own type."""
        return self.change_to(sized.value, formula=sized.formula, inputs=sized.inputs, reason=reason)

    def change_to(self, value: KnobValue, *, formula: str, inputs: dict[str, float], reason: str) -> Change:
        """The change of this knob to `value`, e.g. to a word of a knob that is a choice."""
        return self.knob.change(self.engine, self.old, value, reason=reason, formula=formula, inputs=inputs)


@dataclass(frozen=True, slots=True)
class OldValueUnknown:
    """No configuration, inventory or engine tells the value, or that this version has the knob; `text` says what helps.

    So the change is sized as advice; `asks` are the facts that would let it be carried out.
    """

    text: str
    asks: tuple[Ask, ...] = ()


def affected(evidence: Evidence, finding: Finding) -> tuple[str, ...]:
    """The replicas of a finding, the one with the longest queue first; all replicas for a service-level finding."""
    instances = finding.instances or tuple(sorted(evidence.replica_readings))
    return tuple(
        sorted(instances, key=lambda i: (-(evidence.value("replica:llm_requests_waiting:avg2m", i) or 0.0), i))
    )


def canary_of(evidence: Evidence, finding: Finding) -> str:
    """The affected replica with the longest queue; empty when no replica is known, of which nothing is then known."""
    return next(iter(affected(evidence, finding)), "")


def known_everywhere(evidence: Evidence, instances: tuple[str, ...], signal: str) -> dict[str, float]:
    """The signal on each of these replicas; empty when it is unknown on one of them."""
    values = {instance: evidence.value(signal, instance) for instance in instances}
    known = {instance: value for instance, value in values.items() if value is not None}
    return known if len(known) == len(values) else {}


def change_scope(
    name: str, evidence: Evidence, finding: Finding, context: PlanContext
) -> ChangeScope | OldValueUnknown | NotApplicable:
    """Where knob `name` can be changed for a finding.

    All replicas that have the same value as the canary are changed, also those that do not show the bottleneck now:
    replicas of a service are interchangeable, and settings that drift apart help nobody.
    """
    if not context.replicas:
        return OldValueUnknown(
            f"{context.service} is not in the inventory: add it with its replicas to let OptiInfra carry this out."
        )
    knob = context.knob(name)
    if knob is None or context.knobs is None or (knob.config_key is None and knob.env is None):
        return _not_in_a_file(name, knob, context)
    managed = tuple(replica.instance for replica in context.replicas)
    candidates = [instance for instance in affected(evidence, finding) if instance in managed]
    if not candidates:
        return NotApplicable("none of the affected replicas is in the inventory; list them there by host and port")
    canary = candidates[0]
    if idle := _not_in_force(knob, canary, evidence, context):
        return NotApplicable(idle)
    old = _value(knob, canary, evidence, context)
    if old is None:
        how = f"write {knob.key} into its configuration file, or set services.{context.service}.settings.{name}"
        return OldValueUnknown(
            f"What {knob.label} is now is unknown: {how} in the inventory.",
            (Ask(fact=name, needed_for=f"to let OptiInfra change {knob.label}", how=how),),
        )
    same = [
        i
        for i in managed
        if i != canary and _value(knob, i, evidence, context) == old and not _not_in_force(knob, i, evidence, context)
    ]
    ordered = [i for i in candidates if i in same] + [i for i in same if i not in candidates]
    return ChangeScope(context.knobs.engine, knob, old, (canary, *ordered))


def _not_in_a_file(name: str, here: Knob | None, context: PlanContext) -> OldValueUnknown | NotApplicable:
    """Why not: no file has it, the engine never had it, or its version is too old, too new or unknown."""
    if here is not None:
        return OldValueUnknown(f"{here.label} is set by each request or on the command line: no file holds it.")
    knob = context.knob_of_any_version(name)
    if knob is None:
        return NotApplicable(f"no catalogue says how this engine's {name} is set")
    bounds = " ".join(
        part for part in (f"from {knob.since}" if knob.since else "", f"to {knob.until}" if knob.until else "") if part
    )
    if context.engine_version is not None:
        return NotApplicable(f"{context.engine} {context.engine_version} has no {knob.label}: it is there {bounds}")
    return OldValueUnknown(
        f"{knob.label} is there {bounds} of {context.engine}, whose version is unknown.",
        (
            Ask(
                fact="engine_version",
                needed_for=f"to know whether {knob.label} is there",
                how="scrape the engine through the exporter's prober, or record replica:llm_engine:info",
            ),
        ),
    )


# What shows that a configured value is not what runs: the signal, and whether a value of it can be with the configured.
_SEEN: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "max_running_requests": ("replica:llm_requests_running:max2m", lambda seen, set_to: seen <= set_to),
    "kv_cache_memory_fraction": (
        "replica:llm_kv_cache_memory_fraction",
        lambda seen, set_to: abs(seen - set_to) < 0.001,  # noqa: PLR2004 - engines write it with two or three digits
    ),
    "max_batched_tokens": ("replica:llm_max_batched_tokens", lambda seen, set_to: seen == set_to),
}


def not_what_runs(name: str, old: KnobValue, evidence: Evidence, canary: str) -> str:
    """Why the configured value cannot be what runs; empty when no signal of the canary speaks against it."""
    signal, possible = _SEEN[name]
    seen = evidence.value(signal, canary)
    if seen is None or isinstance(old, str) or possible(seen, float(old)):
        return ""
    return (
        f"{name} is configured as {old} on {canary}, but {signal} is {figure(seen)}: the engine does not run with its "
        "configuration; restart it or correct the file first"
    )


def _not_in_force(knob: Knob, instance: str, evidence: Evidence, context: PlanContext) -> str:
    """Why the configured value is not what runs: another setting overrides it, or the engine tells another one."""
    settings = context.settings.get(instance, {})
    if masked := next((key for key in knob.masked_by if settings.get(key) is not None), ""):
        return f"{masked} is set on {instance} and overrides {knob.label}"
    configured, told = context.configured(knob.name, instance), _told(knob, instance, evidence)
    if configured is None or told is None or _agree(configured, told):
        return ""
    return (
        f"{knob.label} is configured as {configured} on {instance}, and the engine tells {told} of itself: it does not "
        "run with its configuration; restart it or correct the file or the inventory first"
    )


def _agree(configured: KnobValue, told: KnobValue) -> bool:
    if isinstance(configured, str) or isinstance(told, str):
        return configured == told or (configured == "auto" and told in _MADE_OF_AUTO)
    return abs(configured - told) <= _ROUNDED * abs(configured)


def _value(knob: Knob, instance: str, evidence: Evidence, context: PlanContext) -> KnobValue | None:
    configured = context.configured(knob.name, instance)
    return _told(knob, instance, evidence) if configured is None else configured


def _told(knob: Knob, instance: str, evidence: Evidence) -> KnobValue | None:
    """What the engine tells of itself; None when it does not, or tells what the knob cannot have."""
    if signal := _TOLD_BY_ENGINE.get(knob.name):
        return knob.parse(evidence.value(signal, instance))
    fact = _TOLD_IN_WORDS.get(knob.name)
    word = None if fact is None else evidence.fact(fact, instance)
    return None if word is None else knob.from_engine(word)
