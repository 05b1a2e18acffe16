"""What the knobs of a wish make of the step, each by the model that has it; what no model has stays unknown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from recommender.facts import ServiceFacts
from recommender.feasibility import setup_of
from recommender.model import Ask, Evidence, KnobValue
from recommender.playbooks import PlanContext
from recommender.playbooks.speculation import acceptance_of, gain_of
from recommender.sizing import NotApplicable, Sized
from recommender.sizing.dtypes import WEIGHT_DTYPES
from recommender.sizing.load import StepModel
from recommender.sizing.memory import MemorySetup
from recommender.sizing.roofline import Roofline
from recommender.sizing.step_effects import (
    KV,
    WEIGHTS,
    Factor,
    Published,
    StepEffect,
    fewer_bits,
    graphs,
    pipeline_parallel,
    speculation,
    tensor_parallel,
)
from recommender.whatif.steps import roofline_of

_DRAFTED, _ACCEPTED = "replica:llm_spec_draft_tokens:rate5m", "replica:llm_spec_accepted_tokens:rate5m"
_ACCEPTED_LENGTHS = (2.0, 3.3)  # tokens a verification gives, in creative text and in code: tuning §2.7
_FADES = 0.25  # of the ridge batch: from there 4-bit weights gain nothing for certain (tuning §2.2)


@dataclass(frozen=True, slots=True)
class Point:
    """Where the change is looked at: requests that run, KV tokens that one holds, prompt tokens, the present step."""

    running: float
    held_tokens: float
    prompt_tokens: float
    step: tuple[StepModel, ...]


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
        return _missing(question, "model", "gpu", "weight_dtype", "kv_dtype", "tensor_parallel")
    bits = [WEIGHT_DTYPES[each.weight_dtype or "bf16"].bits for each in (facts, after)]
    said = WEIGHTS.get(8 if min(bits) > 4 else 4, Published()) if bits[0] != bits[1] else Published()  # noqa: PLR2004 - bits
    (bytes_, arithmetic), (bytes_then, arithmetic_then) = (
        one.step_models(question.point.prompt_tokens) for one in (before, then)
    )
    gained = said.weights
    if min(bits) <= 4 and question.point.running >= _FADES * _ridge(before):  # noqa: PLR2004 - bits
        gained = 1.0
    return StepEffect(
        alpha=fewer_bits(bytes_then.alpha_seconds / bytes_.alpha_seconds, gained),
        beta=Factor() if _fitted(question) else _ratio(arithmetic.beta_seconds, arithmetic_then.beta_seconds),
        gamma=fewer_bits(arithmetic_then.gamma_seconds / arithmetic.gamma_seconds, said.prompts),
        source=f"roofline of {after.weight_dtype} over {facts.weight_dtype} (tuning §2.2); at worst {said.source}",
    )


def _kv(question: Question) -> StepEffect | Unknown:
    facts = question.facts
    after = replace(facts, kv_dtype=_setup(question, replace(facts, kv_dtype=None)).kv_dtype)
    before, then = roofline_of(facts), roofline_of(after)
    if isinstance(before, NotApplicable) or isinstance(then, NotApplicable):
        return _missing(question, "model", "gpu", "weight_dtype", "kv_dtype", "tensor_parallel")
    old, new = (one.step_models()[0].eta_seconds for one in (before, then))
    if old == new:
        return StepEffect(source="the KV cache has this type already")
    each, step = fewer_bits(new / old, KV.kv), question.point.step[0]
    beta = Factor()
    if step.eta_seconds == 0 and step.beta_seconds > 0:  # the fit could not tell KV reads from what a request costs
        share = min(1.0, old * question.point.held_tokens / step.beta_seconds)
        beta = Factor.among(1 - share * (1 - each.likely), 1.0, 1 - share * (1 - each.fast))
    return StepEffect(
        alpha=Factor(slow=KV.weights) if new < old else Factor(),
        beta=beta,
        eta=each,
        source=f"roofline of {after.kv_dtype} over {facts.kv_dtype} KV (tuning §2.2); {KV.source}",
    )


def _setup(question: Question, facts: ServiceFacts) -> MemorySetup:
    return setup_of(question.context.engine or "", facts, {**question.settings, **question.changes})


def _fitted(question: Question) -> bool:
    """Whether the step is a service's own: what a request costs in it beside KV is the host's, for the most part."""
    return len(question.point.step) == 1


def _ratio(old: float, new: float) -> Factor:
    return Factor.among(new / old) if old > 0 else Factor()


def _ridge(roofline: Roofline) -> float:
    by_bytes, by_arithmetic = roofline.step_models()
    return by_bytes.alpha_seconds / by_arithmetic.beta_seconds


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
    found = [_speed_up(question, each, (old, new)) for each in _acceptances(share, new, question.context)]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return _missing(question, "gpu", "weight_dtype")
    told = "as measured" if share is not None else "between 2.0 and 3.3 tokens a verification are published [guess]"
    return speculation(
        (min(known), known[1], max(known)),
        f"S = E/(1 + k·c + v) with {new} drafted tokens instead of {old} (tuning §2.7); {told}",
    )


def _acceptances(share: float | None, tokens: int, context: PlanContext) -> tuple[float, float, float]:
    """Of one token: at worst, likely, at best."""
    if share is not None:
        return share, share, share
    low, high = (acceptance_of(min(1.0, (length - 1) / max(1, tokens)), max(1, tokens)) for length in _ACCEPTED_LENGTHS)
    return low, min(max(low, context.tuning.speculation_acceptance), high), high


def _speed_up(question: Question, acceptance: float, tokens: tuple[int, int]) -> float | None:
    """Tokens per second after over before, with so many drafted tokens; 0: none."""
    values = []
    for each in tokens:
        gain = gain_of(acceptance, each, question.point.running, question.context) if each else None
        if isinstance(gain, NotApplicable):
            return None
        values.append(gain.value if isinstance(gain, Sized) else 1.0)
    return values[1] / values[0]


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
