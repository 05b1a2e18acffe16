"""The knobs of a wish: whether the engine has them at its version, what is legal, and how they are set."""

from recommender.errors import Refused
from recommender.knobs import Knob
from recommender.model import Apply, Evidence, KnobValue
from recommender.playbooks import PlanContext
from recommender.whatif.effects import MODELLED
from recommender.whatif.model import Setting


def check(wish: dict[str, KnobValue], evidence: Evidence, context: PlanContext, instance: str) -> tuple[Setting, ...]:
    """The settings, legal and each in its knob's own type, by name. Raises Refused with all that is wrong."""
    if context.knobs is None:
        raise Refused(f"no catalogue says how {context.engine or 'this engine'} is set; name the service's engine")
    found: list[Setting] = []
    problems: list[str] = []
    for name in sorted(wish):
        knob = context.knob(name)
        if knob is None:
            problems.append(_no_such(name, context))
            continue
        value = knob.parse(_plain(wish[name]))
        if value is None:
            problems.append(f"{name}: {_shown(wish[name])} is not legal for {knob.label}; it takes {knob.legal}")
            continue
        problems += _unfit(knob, value, context)
        found.append(_setting(knob, value, current(knob, instance, evidence, context), context))
    legal = {setting.knob: setting.new for setting in found}
    beside = {**context.neutral(instance), **legal}
    for name, value in legal.items():
        problems += [f"{name}: {text}" for text in context.knobs.conflicts(name, value, beside)]
    if problems:
        raise Refused("; ".join(problems))
    return tuple(found)


def current(knob: Knob, instance: str, evidence: Evidence, context: PlanContext) -> KnobValue | None:
    """What a replica runs with, as `known` has it, else what it is taken to run with: its default on this device."""
    found = known(knob, instance, evidence, context)
    if found is not None:
        return found
    gpu = context.facts.gpu
    return knob.default_on(memory_bytes=None if gpu is None else gpu.memory_bytes, gpu_name=gpu.name if gpu else None)


def known(knob: Knob, instance: str, evidence: Evidence, context: PlanContext) -> KnobValue | None:
    """What a replica surely runs with: its file, the inventory, a default that nothing has changed, what it tells."""
    configured, signal = context.configured(knob.name, instance), TOLD.get(knob.name)
    return configured if configured is not None else signal and knob.parse(evidence.value(signal, instance))


TOLD = {
    "max_running_requests": "replica:llm_max_running_requests",
    "max_batched_tokens": "replica:llm_max_batched_tokens",
    "kv_cache_memory_fraction": "replica:llm_kv_cache_memory_fraction",
    "max_model_length_tokens": "replica:llm_max_model_length_tokens",
    "tensor_parallel_size": "replica:llm_tensor_parallel_size",
}


def _no_such(name: str, context: PlanContext) -> str:
    knobs = context.knobs
    names = () if knobs is None else tuple(knob.name for knob in knobs.knobs)
    version = f"{context.engine} {context.engine_version}" if context.engine_version else f"{context.engine}"
    if context.knob_of_any_version(name) is None:
        return f"{_shown(name)}: {context.engine} has no such knob; it has {', '.join(sorted(names))}"
    if context.engine_version is None:
        return f"{name}: only some versions of {context.engine} have it, and which one runs is unknown"
    return f"{name}: {version} does not surely have it"


def _unfit(knob: Knob, value: KnobValue, context: PlanContext) -> list[str]:
    gpu, model = context.facts.gpu, context.facts.model
    if knob.name == "tensor_parallel_size" and isinstance(value, int) and model is not None and model.heads % value:
        return [f"{knob.name}: {model.heads} attention heads cannot be divided over {value} GPUs"]
    capability = None if gpu is None else gpu.compute_capability
    if knob.allowed_on(value, compute_capability=capability) is False:
        texts = [each.text for each in knob.requires if each.met(capability) is False and each.concerns(value)]
        return [f"{knob.name}: {value} on {gpu.name if gpu else 'this GPU'}: {'; '.join(texts)}"]
    return []


def _setting(knob: Knob, value: KnobValue, old: KnobValue | None, context: PlanContext) -> Setting:
    return Setting(
        knob=knob.name,
        flag=knob.flag_off if value is False and knob.flag_off else knob.label,
        old=old,
        new=value,
        engine_new=None if knob.is_unset(value) else knob.to_engine(value),
        apply=knob.apply,
        risk=knob.risk,
        cost=(context.knobs.cost(knob) if context.knobs else "") or _COST[knob.apply],
        modelled=knob.name in MODELLED,
    )


_COST = {
    Apply.LIVE: "acts at once",
    Apply.ADMISSION_ONLY: "acts at once, for new requests",
    Apply.RELOAD: "the model is loaded anew",
    Apply.RESTART: "the engine restarts and its cache is cold",
}


def _plain(value: KnobValue) -> KnobValue:
    return value.strip() if isinstance(value, str) else value


def _shown(value: object) -> str:
    """Foreign text in a message: short, and on one line."""
    return repr(value)[:80]
