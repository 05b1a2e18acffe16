"""What the knobs of a wish make of the step, each by the model that has it; what no model has stays unknown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from recommender.facts import ServiceFacts
from recommender.feasibility import setup_of
from recommender.model import Ask, Evidence, KnobValue
from recommender.playbooks import PlanContext
from recommender.playbooks.speculation import acceptance_of, speed_ups
from recommender.service_roofline import roofline_of
from recommender.sizing import NotApplicable
from recommender.sizing.dtypes import WEIGHT_DTYPES
from recommender.sizing.load import StepModel
from recommender.sizing.memory import MemorySetup
from recommender.sizing.step_effects import (
    Point,
    StepEffect,
    graphs,
    kv_cache,
    pipeline_parallel,
    speculation,
    tensor_parallel,
    weights,
)

_DRAFTED, _ACCEPTED = "replica:llm_spec_draft_tokens:rate5m", "replica:llm_spec_accepted_tokens:rate5m"


@dataclass(frozen=True, slots=True)
class Question:
    """One knob of a wish beside all others. `facts` are those before; `settings` the present ones.

    `hits_given`: how much of the prompts is found after the change is part of the wish.
    """

    knob: str
    new: KnobValue
    changes: Mapping[str, KnobValue]
    settings: Mapping[str, KnobValue]
    facts: ServiceFacts
    evidence: Evidence
    instance: str
    context: PlanContext
    point: Point
    step: tuple[StepModel, ...]  # as it is likely now
    hits_given: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why nothing can be said of a knob, and what would change that."""

    reason: str
    asks: tuple[Ask, ...] = ()


def effect_of(question: Question) -> StepEffect | Unknown | None:
    """What a knob makes of the step; None for one that changes shape, load or memory alone."""
    if question.knob in _OF_SHAPE:
        return None
    known = _EFFECTS.get(question.knob)
    if known is None:
        return Unknown("no formula and no published figure says what it does to them")
    return known(question)


# What `compare` changes the shape or the load by.
_OF_SHAPE = frozenset(
    {
        "max_running_requests",
        "max_batched_tokens",
        "chunked_prefill",
        "capacity_policy",
        "prefix_caching",
        "kv_cache_memory_fraction",
        "kv_cache_memory_bytes",
        "kv_cache_capacity_tokens",
        "context_tokens",
        "max_model_length_tokens",
    }
)


def _missing(question: Question, *facts: str) -> Unknown:
    return Unknown(f"{' and '.join(facts)} must be known", question.context.asks(*facts))


def _tensor(question: Question) -> StepEffect | Unknown:
    old, gpu = question.facts.tensor_parallel, question.facts.gpu
    missing = [name for name, value in (("gpu", gpu), ("tensor_parallel", old)) if value is None]
    if gpu is None or old is None:
        return _missing(question, *missing)
    found = tensor_parallel(gpu, (old, _count(question.new)))
    return Unknown(found.reason) if isinstance(found, NotApplicable) else found


def _pipeline(question: Question) -> StepEffect | Unknown:
    told = question.context.configured(question.knob, question.instance)
    facts = question.facts
    alone = facts.gpus_per_replica is not None and facts.gpus_per_replica == facts.tensor_parallel
    if not isinstance(told, int) and not alone:
        return _missing(question, question.knob)
    found = pipeline_parallel((_count(told) if isinstance(told, int) else 1, _count(question.new)))
    return Unknown(found.reason) if isinstance(found, NotApplicable) else found


def _count(value: KnobValue) -> int:
    return int(value) if isinstance(value, int | float) else 1


def _weights(question: Question) -> StepEffect | Unknown:
    facts = question.facts
    after = replace(facts, weight_dtype=_setup(question, replace(facts, weight_dtype=None)).weight_dtype)
    before, then = roofline_of(facts), roofline_of(after)
    if isinstance(before, NotApplicable) or isinstance(then, NotApplicable):
        return _missing(question, *_OF_ROOFLINE)
    old, new = (WEIGHT_DTYPES[each.weight_dtype or ""].bits for each in (facts, after))
    return weights(before, then, (old, new), at=question.point, fitted=len(question.step) == 1)


def _kv(question: Question) -> StepEffect | Unknown:
    facts = question.facts
    after = replace(facts, kv_dtype=_setup(question, replace(facts, kv_dtype=None)).kv_dtype)
    before, then = roofline_of(facts), roofline_of(after)
    if isinstance(before, NotApplicable) or isinstance(then, NotApplicable):
        return _missing(question, *_OF_ROOFLINE)
    return kv_cache(before, then, question.step[0], at=question.point)


_OF_ROOFLINE = ("model", "gpu", "weight_dtype", "kv_dtype", "tensor_parallel")


def _setup(question: Question, facts: ServiceFacts) -> MemorySetup:
    return setup_of(question.context.engine or "", facts, {**question.settings, **question.changes})


def _speculation(question: Question) -> StepEffect | Unknown:
    """S = E/(1 + k·c + v) after over before; acceptance as it is measured, else between what is published."""
    method = question.changes.get("speculative_decoding", question.settings.get("speculative_decoding"))
    if question.knob == "speculative_tokens" and "speculative_decoding" in question.changes:
        return StepEffect(source="as speculative_decoding has it")
    drafted, accepted = (question.evidence.value(name, question.instance) for name in (_DRAFTED, _ACCEPTED))
    running = bool(drafted)
    tokens = question.settings.get("speculative_tokens") if running else 0
    after = question.changes.get("speculative_tokens", tokens or question.context.tuning.speculative_tokens)
    if running and (not isinstance(tokens, int) or accepted is None):
        return _missing(question, "speculative_tokens")
    old = tokens if isinstance(tokens, int) else 0
    new = 0 if method == "none" else _count(after)
    share = acceptance_of(min(1.0, (accepted or 0.0) / drafted), old) if drafted and old else None
    gains = speed_ups(share, (old, new), question.point.running, question.context)
    if gains is None:
        return _missing(question, "gpu", "weight_dtype")
    told = "as measured" if share is not None else "between 2.0 and 3.3 tokens a verification are published [guess]"
    return speculation(
        gains,
        f"S = E/(1 + k·c + v) with {new} drafted tokens instead of {old} (tuning §2.7); {told}",
    )


def _graphs(question: Question) -> StepEffect | Unknown:
    old = question.settings.get(question.knob)
    if not isinstance(old, int):
        return _missing(question, question.knob)
    return graphs(old, _count(question.new), question.point.running)


def _offload(question: Question) -> StepEffect | Unknown:
    """What is found in host memory is not computed: how much that is nobody can tell before."""
    if question.hits_given:
        return StepEffect(source="what is found, on the device or in host memory, is not computed (tuning §2.4)")
    how = (
        "give --load prefix_hit_ratio=…: the share of prompt tokens that is then found, on the device or in host memory"
    )
    asked = Ask(fact="prefix_hit_ratio", needed_for="to predict what more room for KV is worth", how=how)
    return Unknown("how much more of the prompts is then found is not known", (asked,))


_EFFECTS: Mapping[str, Callable[[Question], StepEffect | Unknown]] = {
    "tensor_parallel_size": _tensor,
    "pipeline_parallel_size": _pipeline,
    "weight_quantization": _weights,
    "kv_cache_dtype": _kv,
    "speculative_decoding": _speculation,
    "speculative_tokens": _speculation,
    "graph_max_batch": _graphs,
    "kv_offload_bytes": _offload,
}
MODELLED = _OF_SHAPE | frozenset(_EFFECTS)
