"""What a prediction is made from: the replica's shape and load, each figure with its source; unknown is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from recommender.feasibility import setup_of
from recommender.model import Ask, Evidence, KnobValue
from recommender.playbooks import PlanContext
from recommender.sizing.load import EngineShape, Workload
from recommender.sizing.memory import kv_capacity_after
from recommender.whatif.model import LoadWish
from recommender.whatif.settings import TOLD, current, known

# Tokens of one KV block: engine-knobs §1 (vLLM), §4a (TensorRT-LLM: tokens_per_block); others count single tokens.
BLOCK_TOKENS: Mapping[str, int] = {"vllm": 16, "tensorrt_llm": 32, "triton": 32}
_FOR = "to predict what the replica does"


@dataclass(slots=True)
class Gathered:
    """Figures of one replica as it is; `asks` names those that are missing."""

    settings: dict[str, KnobValue]
    sources: dict[str, str] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shape: EngineShape | None = None
    load: Workload | None = None
    capacity: float | None = None
    load_text: str = "unknown"


def busiest(evidence: Evidence) -> str | None:
    """The replica with the longest queue, then the largest batch; of those that answer, where any does."""
    up = [one for one in evidence.replica_readings if evidence.value("replica:llm_up", one) != 0]
    names = up or list(evidence.replica_readings)
    return min(
        names,
        key=lambda one: (
            -(evidence.value("replica:llm_requests_waiting:avg2m", one) or 0.0),
            -(evidence.value("replica:llm_requests_running:avg2m", one) or 0.0),
            one,
        ),
        default=None,
    )


def gather(evidence: Evidence, context: PlanContext, instance: str, wish: LoadWish) -> Gathered:
    """Shape and load of a replica as it runs; `wish` fills what is not measured of the load."""
    found = Gathered(settings=_settings(evidence, context, instance))
    found.capacity = _capacity(found, evidence, context, instance)
    slots = _whole(found, "max_running_requests", evidence, context, instance)
    budget = _whole(found, "max_batched_tokens", evidence, context, instance)
    if slots is not None and budget is not None and found.capacity is not None:
        found.shape = EngineShape(
            max_running_requests=slots,
            max_batched_tokens=budget,
            kv_capacity_tokens=found.capacity,
            block_size_tokens=BLOCK_TOKENS.get(context.engine or "", 1),
            # Who serves prompts that are longer than a step splits them; for shorter ones it makes no difference.
            chunked_prefill=True,
            reserves_answers=found.settings.get("capacity_policy") == "guaranteed_no_evict",
        )
    ranks = found.settings.get("data_parallel_size")
    if isinstance(ranks, int) and ranks > 1:
        found.shape = None
        found.notes.append(
            f"It has {ranks} data-parallel ranks: which of its limits and figures are of one rank is not known, so "
            "it is not predicted as if it were one engine."
        )
    found.load = _load(found, evidence, instance, wish)
    if found.load is not None and found.shape is not None:
        found.shape = replace(found.shape, chunked_prefill=_chunked(found, found.load, found.shape))
        found.load = _spread(found, evidence, instance, found.load, found.shape)
    return found


def _settings(evidence: Evidence, context: PlanContext, instance: str) -> dict[str, KnobValue]:
    """All knobs of which the present value is surely known."""
    knobs = () if context.knobs is None else context.knobs.knobs
    values = {knob.name: known(knob, instance, evidence, context) for knob in knobs}
    return {**context.declared, **{name: value for name, value in values.items() if value is not None}}


def _whole(found: Gathered, name: str, evidence: Evidence, context: PlanContext, instance: str) -> int | None:
    value, knob = found.settings.get(name), context.knob(name)
    if value is None:
        value = evidence.value(TOLD[name], instance)
    if value is None and knob is not None:
        value = current(knob, instance, evidence, context)
    if value is None or isinstance(value, str) or value < 1:
        found.asks.append(
            Ask(fact=name, needed_for=_FOR, how=f"set services.{context.service}.settings.{name} in the inventory")
        )
        return None
    if context.configured(name, instance) is not None:
        found.sources[name] = context.source(name, instance) or "configuration"
    elif evidence.value(TOLD[name], instance) is not None:
        found.sources[name] = TOLD[name]
    else:
        found.sources[name] = "taken to be the engine's default on this device: nobody tells it"
    return int(value)


def _capacity(found: Gathered, evidence: Evidence, context: PlanContext, instance: str) -> float | None:
    name = "replica:llm_kv_cache_capacity_tokens"
    told = evidence.value(name, instance)
    if told is not None and told > 0:
        found.sources["kv_capacity_tokens"] = name
        return told
    setup = setup_of(context.engine or "", context.facts, found.settings)
    tokens = kv_capacity_after(setup, setup)
    if tokens is not None and tokens > 0:
        slots = tokens == setup.context_tokens
        found.sources["kv_capacity_tokens"] = "the context of all slots" if slots else _COMPUTED
        return tokens
    how = f"the engine does not tell it; set services.{context.service}.settings.kv_cache_capacity_tokens, or give"
    missing = [*setup.missing(), *(() if setup.memory_fraction else ("kv_cache_memory_fraction",))]
    found.asks.append(
        Ask(fact="kv_cache_capacity_tokens", needed_for=_FOR, how=f"{how} {', '.join(missing) or 'its facts'}")
    )
    return None


_COMPUTED = "what the engine's share of the memory leaves beside weights and activations (tuning §2.1)"


@dataclass(frozen=True, slots=True)
class _Look:
    """Where figures of the load come from: what is measured goes first, what is given fills the gaps."""

    evidence: Evidence
    instance: str
    found: Gathered

    def value(self, name: str, signal: str, given: float | None) -> float | None:
        value = self.evidence.value(signal, self.instance)
        if value is None and given is None:
            how = f"give it with --load {name}=…, or let the engine tell it ({signal})"
            self.found.asks.append(Ask(fact=name, needed_for=_FOR, how=how))
            return None
        self.found.sources[name] = "given" if value is None else signal
        return given if value is None else value


def _load(found: Gathered, evidence: Evidence, instance: str, wish: LoadWish) -> Workload | None:
    look = _Look(evidence, instance, found)
    prompt = look.value("prompt_tokens", "replica:llm_request_prompt_tokens:mean_5m", wish.prompt_tokens)
    output = look.value("output_tokens", "replica:llm_request_generation_tokens:mean_5m", wish.output_tokens)
    arrivals, clients = _demand(look, wish)
    hit = _hit_ratio(look, wish)
    if prompt is None or output is None or (arrivals is None and clients is None):
        return None
    return Workload(
        max(1.0, prompt), max(1.0, output), arrivals_per_second=arrivals, clients=clients, prefix_hit_ratio=hit
    )


def _demand(look: _Look, wish: LoadWish) -> tuple[float | None, float | None]:
    """Arrivals or clients: while a queue never empties, completions say nothing of arrivals."""
    running, waiting, always = (
        look.evidence.value(f"replica:llm_requests_{part}", look.instance)
        for part in ("running:avg2m", "waiting:avg2m", "waiting:min2m")
    )
    found = look.found
    if always is not None and always > 0 and running is not None and waiting is not None:
        found.sources["demand"] = "running and waiting, because requests always wait"
        found.load_text = f"{running + waiting:.3g} requests in the system all the time, since some always wait"
        return None, running + waiting
    rate = look.evidence.value("replica:llm_requests:rate5m", look.instance)
    if rate is not None and rate > 0:
        found.sources["demand"] = "replica:llm_requests:rate5m"
        found.load_text = f"{rate:.3g} requests/s"
        return rate, None
    if wish.arrivals_per_second is None and wish.clients is None:
        how = "give --load arrivals_per_second=… or clients=…; no requests end there now"
        found.asks.append(Ask(fact="arrivals_per_second", needed_for=_FOR, how=how))
        return None, None
    found.sources["demand"] = "given"
    found.load_text = "given"
    return (None, wish.clients) if wish.clients is not None else (wish.arrivals_per_second, None)


def _hit_ratio(look: _Look, wish: LoadWish) -> float:
    name, sources = "replica:llm_prefix_cache_hit:ratio_rate5m", look.found.sources
    if look.found.settings.get("prefix_caching") is False:
        sources["prefix_hit_ratio"] = "prefix caching is off"
        return 0.0
    value = look.evidence.value(name, look.instance)
    if value is not None:
        sources["prefix_hit_ratio"] = name
        return min(1.0, max(0.0, value))
    sources["prefix_hit_ratio"] = (
        "not told: all prompt tokens are counted, cached ones included" if wish.prefix_hit_ratio is None else "given"
    )
    return wish.prefix_hit_ratio or 0.0


def _chunked(found: Gathered, load: Workload, shape: EngineShape) -> bool:
    off = found.settings.get("chunked_prefill") is False
    return not off or load.computed_prompt_tokens > shape.max_batched_tokens


def _spread(found: Gathered, evidence: Evidence, instance: str, load: Workload, shape: EngineShape) -> Workload:
    """How far answers differ in length, from the KV tokens that a request holds: tau = P + E[O²]/(2·E[O]) + block/2.

    Prompts that share blocks hold fewer, so with hits it says nothing.
    """
    held = evidence.value("replica:llm_tokens_per_running_request:avg5m", instance)
    if held is None or load.prefix_hit_ratio > 0 or load.output_tokens < 2:  # noqa: PLR2004 - one token has no spread
        return load
    generated = held - load.prompt_tokens - (shape.block_size_tokens - 1) / 2
    square = 2 * generated * load.output_tokens / load.output_tokens**2
    cv = min(1.5, max(0.0, square - 1) ** 0.5)
    found.sources["output_cv"] = "KV tokens that a request holds"
    return replace(load, output_cv=cv)
