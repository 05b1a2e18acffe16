"""Predictions before and after, beside what is measured now."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from recommender.errors import NotFound
from recommender.feasibility import capacity_after, prove_all, setup_of
from recommender.model import Ask, Evidence, KnobValue
from recommender.playbooks import PlanContext
from recommender.sizing import NotApplicable
from recommender.sizing.batch import held_tokens
from recommender.sizing.fit import FittedStep
from recommender.sizing.load import EngineShape, Workload
from recommender.sizing.memory import ENGINE_MEMORY, Share
from recommender.sizing.predict import slowest
from recommender.sizing.ranges import Ranged, Steps, predict_range
from recommender.sizing.step_effects import Point
from recommender.whatif.effects import Question, Unknown, effect_of
from recommender.whatif.inputs import Gathered, busiest, gather
from recommender.whatif.metrics import ITL, LARGE_ERROR, far_off, metrics
from recommender.whatif.model import Input, LoadWish, Metric, WhatIf, Wish
from recommender.whatif.settings import check
from recommender.whatif.steps import steps_of


@dataclass(frozen=True, slots=True)
class _Point:
    """What one prediction is made from."""

    shape: EngineShape
    load: Workload
    steps: Steps


def what_if(wish: Wish, evidence: Evidence, context: PlanContext, fitted: FittedStep | NotApplicable) -> WhatIf:
    """Predict a replica of the service as it is and with the wish.

    Raises Refused for a setting that the engine does not take, NotFound where no replica is known.
    """
    instance = wish.instance or busiest(evidence)
    if instance is None or instance not in evidence.replica_readings:
        raise NotFound(
            f"Prometheus has no signals of {_named(wish.instance)} of service '{evidence.service}' now: they are what "
            "OptiInfra's rules record there (optiinfra diagnose --install-rules), of engines that it scrapes"
        )
    settings = check(wish.settings, evidence, context, instance)
    changes = {setting.knob: setting.new for setting in settings}
    found = gather(evidence, context, instance, wish.load)
    memory = prove_all(context.engine or "", context.facts, found.settings, changes, kv_capacity_tokens=found.capacity)
    now, text = _now(found, evidence, context, fitted, instance)
    effects: dict[str, str] = {}
    after = None if now is None else _after(now, changes, found, _Asked(evidence, context, instance, wish), effects)
    if more := _more_gpus(changes, found.settings, context):
        found.notes.append(more)
    metrics, limits = _metrics(now, after, evidence, instance, found)
    return WhatIf(
        service=evidence.service,
        instance=instance,
        at=evidence.at,
        engine=context.engine or "",
        engine_version=context.engine_version,
        settings=tuple(one.model_copy(update={"effect": effects.get(one.knob, "")}) for one in settings),
        load=found.load_text,
        load_after=", ".join(f"{name} {value:g}" for name, value in _given(wish)),
        step=text,
        inputs=_inputs(after, found, wish, changes),
        metrics=metrics,
        limited_by=limits[0],
        limited_by_after=limits[1],
        memory=memory,
        asks=_asks(found, memory.missing if memory is not None else (), context),
        notes=tuple(found.notes),
    )


def _more_gpus(changes: Mapping[str, KnobValue], settings: Mapping[str, KnobValue], context: PlanContext) -> str:
    """What a replica must have and does not; empty where it has it, or where that is unknown."""
    there = context.facts.gpus_per_replica
    if not changes.keys() & set(_OF_GPUS) or there is None:
        return ""
    needed = prod(_int({**settings, **changes}, name, 1) for name in _OF_GPUS)
    return f"It takes {needed} GPUs a replica, which has {there}." if needed > there else ""


_OF_GPUS = ("tensor_parallel_size", "pipeline_parallel_size")


def _named(instance: str | None) -> str:
    return "any replica" if instance is None else f"replica {instance!r:.80}"


def _now(
    found: Gathered, evidence: Evidence, context: PlanContext, fitted: FittedStep | NotApplicable, instance: str
) -> tuple[_Point | None, str]:
    if found.shape is None or found.load is None:
        return None, "not looked at: the shape or the load is unknown"
    steps = steps_of(fitted, context.facts, found.shape, found.load, evidence.value(ITL, instance))
    if isinstance(steps, NotApplicable):
        how = "let the signals run for a day under changing loads, or give the model and GPU (see the other questions)"
        found.asks.append(Ask(fact="step", needed_for="to predict what the replica does", how=f"{how}: {steps.reason}"))
        wanted = "to draw the roofline of the model and its GPU"
        found.asks += [
            ask.model_copy(update={"needed_for": wanted})
            for ask in context.facts.asks
            if ask.fact != "price_per_replica_hour"
        ]
        return None, "unknown"
    return _Point(found.shape, found.load, steps[0]), steps[1]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked at."""

    evidence: Evidence
    context: PlanContext
    instance: str
    wish: Wish


def _after(
    now: _Point, changes: Mapping[str, KnobValue], found: Gathered, asked: _Asked, effects: dict[str, str]
) -> _Point | None:
    """The point with the changes; None, with an ask, where one of them does what is not known.

    `effects` is told what each change does to a step.
    """
    context, wish = asked.context, asked.wish
    steps = _steps_after(now, changes, found, asked, effects)
    capacity = capacity_after(
        context.engine or "", context.facts, found.settings, changes, kv_capacity_tokens=found.capacity
    )
    fixed = changes.get("kv_cache_capacity_tokens")
    if isinstance(fixed, int):
        capacity = min(float(fixed), capacity) if capacity is not None else float(fixed)
    if capacity is None:
        setup = setup_of(context.engine or "", context.facts, {**found.settings, **changes})
        found.asks += [one for one in context.asks(*setup.missing()) if one.fact not in changes]
        found.notes.append("What the change makes of the KV cache cannot be said: see what is to be told.")
        return None
    shape = replace(
        now.shape,
        kv_capacity_tokens=capacity,
        max_running_requests=_int(changes, "max_running_requests", now.shape.max_running_requests),
        max_batched_tokens=_int(changes, "max_batched_tokens", now.shape.max_batched_tokens),
        chunked_prefill=bool(changes.get("chunked_prefill", now.shape.chunked_prefill)),
        reserves_answers=changes.get("capacity_policy", found.settings.get("capacity_policy")) == "guaranteed_no_evict",
    )
    load = _load_after(now.load, changes, found, wish)
    if load is not None and (own := _slot_tokens(shape, context)) is not None:
        longest = load.prompt_tokens + load.output_tokens
        if longest > own:
            found.notes.append(f"Requests of {longest:.0f} tokens do not fit slots of {own:.0f}.")
            return None
    return None if load is None or steps is None else _Point(shape, load, steps)


def _slot_tokens(shape: EngineShape, context: PlanContext) -> float | None:
    """Tokens of one slot, of an engine whose slots have a context of their own; None for one with a common pool."""
    engine = ENGINE_MEMORY.get(context.engine or "")
    if engine is None or engine.share is not Share.NONE:
        return None
    return shape.kv_capacity_tokens / shape.max_running_requests


def _int(changes: Mapping[str, KnobValue], name: str, old: int) -> int:
    value = changes.get(name)
    return value if isinstance(value, int) else old


def _load_after(load: Workload, changes: Mapping[str, KnobValue], found: Gathered, wish: Wish) -> Workload | None:
    load = _wished(load, wish.load)
    caching = changes.get("prefix_caching")
    if caching is False:
        return replace(load, prefix_hit_ratio=0.0)
    if caching is True and found.settings.get("prefix_caching") is not True and wish.load.prefix_hit_ratio is None:
        how = "give --load prefix_hit_ratio=…; the share of prompts that repeats cannot be seen while the cache is off"
        found.asks.append(Ask(fact="prefix_hit_ratio", needed_for="to predict what the cache is worth", how=how))
        return None
    return load


def _wished(load: Workload, wish: LoadWish) -> Workload:
    """The load with what was wished of it."""
    if wish.clients is not None:
        load = replace(load, clients=wish.clients, arrivals_per_second=None)
    elif wish.arrivals_per_second is not None:
        load = replace(load, clients=None, arrivals_per_second=wish.arrivals_per_second)
    return replace(
        load,
        prompt_tokens=wish.prompt_tokens or load.prompt_tokens,
        output_tokens=wish.output_tokens or load.output_tokens,
        prefix_hit_ratio=load.prefix_hit_ratio if wish.prefix_hit_ratio is None else wish.prefix_hit_ratio,
    )


def _steps_after(
    now: _Point, changes: Mapping[str, KnobValue], found: Gathered, asked: _Asked, effects: dict[str, str]
) -> Steps | None:
    """The step with the changes, one after the other; None where one of them does what is not known."""
    steps: Steps | None = now.steps
    point = _point(now)
    for name, value in changes.items():
        effect = effect_of(
            Question(
                knob=name,
                new=value,
                changes=changes,
                settings=found.settings,
                facts=asked.context.facts,
                evidence=asked.evidence,
                instance=asked.instance,
                context=asked.context,
                point=point,
                step=now.steps.likely,
                hits_given=asked.wish.load.prefix_hit_ratio is not None,
            )
        )
        if isinstance(effect, Unknown):
            found.notes.append(f"What {name} makes of these figures is unknown: {effect.reason}.")
            found.asks += effect.asks
            steps = None
        elif effect is not None:
            effects[name] = effect.source
            steps = None if steps is None else effect.on(steps)
    if changes.keys() & {"kv_cache_dtype", "weight_quantization"}:
        found.notes.append("Other types may change answers: a quality gate decides before a roll-out.")
    if changes.keys() & {"speculative_decoding", "speculative_tokens"}:
        found.notes.append(
            "Under speculation ITL is the time of a token; engines tell that of what they stream at once."
        )
    if changes.get("speculative_decoding") not in _WITHOUT_DRAFT:
        found.notes.append("What a draft model takes of the KV cache's memory is unknown: its figures leave it out.")
    return steps


_WITHOUT_DRAFT = (None, "none", "ngram", "suffix")


def _point(now: _Point) -> Point:
    try:
        running = slowest(now.shape, now.steps.likely, now.load).running
    except ValueError:
        running = 1.0  # nothing can run like this, as is said where it is predicted
    return Point(running, held_tokens(now.load, now.shape), now.load.prompt_tokens)


def _metrics(
    now: _Point | None, after: _Point | None, evidence: Evidence, instance: str, found: Gathered
) -> tuple[tuple[Metric, ...], tuple[str | None, str | None]]:
    if now is None:
        return (), (None, None)
    predicted, then = _predict(now, found), None if after is None else _predict(after, found)
    if predicted is None:
        return (), (None, None)
    lines = metrics(predicted, then, evidence, instance)
    if off := far_off(lines):
        found.notes.append(
            f"At the present point the model is more than {100 * LARGE_ERROR:.0f} % off in {', '.join(off)}: take the "
            "direction, not the figures."
        )
    return lines, (predicted.likely.limited_by, None if then is None else then.likely.limited_by)


def _predict(point: _Point, found: Gathered) -> Ranged | None:
    try:
        return predict_range(point.shape, point.steps, point.load)
    except ValueError as exc:
        found.notes.append(f"Nothing can run like this: {exc}.")
        return None


_SHAPE = (("max_running_requests", "requests"), ("max_batched_tokens", "tokens"), ("kv_capacity_tokens", "tokens"))
_LOAD = (
    ("prompt_tokens", "tokens"),
    ("output_tokens", "tokens"),
    ("prefix_hit_ratio", "ratio"),
    ("output_cv", ""),
    ("arrivals_per_second", "requests/s"),
    ("clients", "requests"),
)


def _inputs(after: _Point | None, found: Gathered, wish: Wish, changes: Mapping[str, KnobValue]) -> tuple[Input, ...]:
    shapes = (found.shape, None if after is None else after.shape)
    loads = (found.load, None if after is None else after.load)
    rows = []
    for figures, (first, second) in ((_SHAPE, shapes), (_LOAD, loads)):
        for name, unit in figures:
            before = _figure({**found.settings, **_told(found)}, name) if first is None else getattr(first, name)
            then = _figure(changes, name) if second is None else getattr(second, name)
            if before is not None or then is not None or name not in {"arrivals_per_second", "clients"}:
                rows.append(Input(name=name, unit=unit, before=before, after=then, source=_source(name, found, wish)))
    return tuple(rows)


def _told(found: Gathered) -> dict[str, KnobValue]:
    """What is known of a shape that is not known whole."""
    return {} if found.capacity is None else {"kv_capacity_tokens": found.capacity}


def _figure(known: Mapping[str, KnobValue], name: str) -> float | None:
    value = known.get(name)
    return None if isinstance(value, bool | str) else value


def _given(wish: Wish) -> list[tuple[str, float]]:
    """What the wish says of the load, by name."""
    return [(name, value) for name, value in wish.load if value is not None]


def _source(name: str, found: Gathered, wish: Wish) -> str:
    asked = "; after as asked" if name in dict(_given(wish)) else ""
    key = "demand" if name in {"clients", "arrivals_per_second"} else name
    return found.sources.get(key, "lengths are taken as equal" if name == "output_cv" else "unknown") + asked


def _asks(found: Gathered, missing: tuple[str, ...], context: PlanContext) -> tuple[Ask, ...]:
    """Each once, in the order in which they came up."""
    asks = [*found.asks, *(context.asks(*missing) if missing else ())]
    return tuple({ask.fact: ask for ask in reversed(asks)}[fact] for fact in dict.fromkeys(ask.fact for ask in asks))
