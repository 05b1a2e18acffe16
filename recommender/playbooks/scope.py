"""Which replicas a knob is changed on, and from which value.

A change needs the value that runs now: from the engine's configuration file, else from the inventory, else the engine's
default where that surely holds, else from the engine itself. A value that was only observed sizes advice and is never
the basis of a change.
"""

from collections.abc import Callable
from dataclasses import dataclass

from recommender.figures import figure
from recommender.knobs import Knob
from recommender.knobs.derive import VERSION
from recommender.model import Ask, Change, Evidence, Finding, KnobValue
from recommender.playbooks.base import PlanContext
from recommender.playbooks.told import agree, told, told_as
from recommender.sizing import NotApplicable, Sized

_OF_EACH_RANK = frozenset({"max_running_requests", "max_batched_tokens"})
# What makes one replica compute prompts and another answers (SGLang, vLLM): such replicas are not interchangeable.
_ROLES = ("disaggregation-mode", "kv-transfer-config")


@dataclass(frozen=True, slots=True)
class ChangeScope:
    """The knob, the value it has, and the replicas that have it, the canary first."""

    engine: str
    knob: Knob
    old: KnobValue
    instances: tuple[str, ...]
    source: str = ""  # where the old value of the canary is from

    def change(self, sized: Sized, *, reason: str) -> Change:
        """The change of this knob to the sized value, in the knob's own type."""
        return self.change_to(sized.value, formula=sized.formula, inputs=sized.inputs, reason=reason)

    def change_to(self, value: KnobValue, *, formula: str, inputs: dict[str, float], reason: str) -> Change:
        """The change of this knob to `value`, e.g. to a word of a knob that is a choice."""
        change = self.knob.change(self.engine, self.old, value, reason=reason, formula=formula, inputs=inputs)
        return change.model_copy(update={"old_source": self.source})


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
    replicas of a service are interchangeable, and settings that drift apart help nobody. Those that compute prompts
    for others, or answers alone, are of another kind.
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
    if against := _of_a_rank(knob, canary, context) or _not_in_force(knob, canary, evidence, context):
        return NotApplicable(against)
    old = _value(knob, canary, evidence, context)
    if old is None:
        return _unknown(knob, canary, context)
    same = [
        i
        for i in managed
        if i != canary
        and _value(knob, i, evidence, context) == old
        and _role(i, context) == _role(canary, context)
        and not _not_in_force(knob, i, evidence, context)
    ]
    ordered = [i for i in candidates if i in same] + [i for i in same if i not in candidates]
    source = context.source(name, canary) or f"the engine itself ({told_as(knob)})"
    return ChangeScope(context.knobs.engine, knob, old, (canary, *ordered), source)


def _unknown(knob: Knob, canary: str, context: PlanContext) -> OldValueUnknown:
    """What would tell the value: a line in the file, the inventory, or what the default is not known by."""
    services = f"services.{context.service}"
    how = f"write {knob.key} into its configuration file, or set {services}.settings.{knob.name}"
    text = f"What {knob.label} is now is unknown: {how} in the inventory."
    here = context.defaults.get(canary)
    doubt = None if here is None else here.doubts.get(knob.name)
    if here is not None and knob.name in here.unread:
        text = f"What {knob.label} is now is unknown: its configuration file has a value of it that is not understood."
        how = f"write a plain value of {knob.key} into its configuration file"
    elif doubt is not None:
        settled = f", or set {services}.{doubt.key}" if doubt.key else ""
        how, text = f"{how}{settled}: {doubt.text}", f"{text} {doubt.text[:1].upper()}{doubt.text[1:]}."
    asks = [Ask(fact=knob.name, needed_for=f"to let OptiInfra change {knob.label}", how=how)]
    if doubt is not None and doubt.key == VERSION:
        asks.append(context.version.ask(context.service, f"to know the default of {knob.label}"))
    return OldValueUnknown(text, tuple(asks))


def ranks_of(instance: str, context: PlanContext) -> int:
    """Data-parallel ranks of a replica, each with weights, slots and a KV cache of its own; 1 where none is set."""
    ranks = context.configured("data_parallel_size", instance)
    return max(1, int(ranks)) if isinstance(ranks, int | float) else 1


def _of_a_rank(knob: Knob, instance: str, context: PlanContext) -> str:
    """Why a limit cannot be compared with what is seen: it is of a rank, and figures are of all ranks together."""
    ranks = ranks_of(instance, context)
    if knob.name not in _OF_EACH_RANK or ranks == 1:
        return ""
    return (
        f"{instance} has {ranks} data-parallel ranks: {knob.label} is of each of them, and what is seen is of all "
        "together, so it has to be sized by hand"
    )


def _role(instance: str, context: PlanContext) -> tuple[KnobValue | None, ...]:
    settings = context.settings.get(instance, {})
    return tuple(settings.get(key) for key in _ROLES)


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
        (context.version.ask(context.service, f"to know whether {knob.label} is there"),),
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
    configured, said = context.configured(knob.name, instance), told(knob, instance, evidence)
    if configured is None or said is None or agree(configured, said):
        return ""
    return (
        f"{knob.label} is configured as {configured} on {instance}, and the engine tells {said} of itself: it does not "
        "run with its configuration; restart it or correct the file or the inventory first"
    )


def _value(knob: Knob, instance: str, evidence: Evidence, context: PlanContext) -> KnobValue | None:
    configured = context.configured(knob.name, instance)
    return told(knob, instance, evidence) if configured is None else configured
