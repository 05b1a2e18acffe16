"""What is known of a service's model and hardware, where each fact is from, and what has to be asked for.

A fact is what the engine or the device tells; failing that what the inventory says; failing that what the model's
`config.json` or the shipped table of models has. Two places that contradict each other give no fact and an `Ask`:
which of them is right is not for a program to guess.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from recommender import facts_told as telling
from recommender.facts_told import Said
from recommender.gpus import GPUS, Gpu
from recommender.inventory import ServiceConfig
from recommender.model import Ask, Evidence
from recommender.models import Unreadable, common_model, read_config_file
from recommender.sizing.model_facts import ModelFacts

T = TypeVar("T")
_MEMORY = "to show that a change fits in device memory"
# What a driver counts over what the sheet prints: 1.00 (L4) to 1.07 (H100, H200). A MIG slice has a fraction of it.
_DRIVER_OVER_SHEET = (0.95, 1.12)
_NO_SERVICE = ServiceConfig(engine="vllm")  # its engine is not read: a service outside the inventory declares nothing


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Facts of one service; None is unknown, and `asks` says how to give it. `sources`: field -> where it is from."""

    model: ModelFacts | None = None
    gpu: Gpu | None = None
    gpus_per_replica: int | None = None
    tensor_parallel: int | None = None
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    price_per_replica_hour: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[Ask, ...] = ()


@dataclass(slots=True)
class _Gathering:
    """Sources and asks, in the order in which the facts are looked at."""

    sources: dict[str, str] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)

    def choose(
        self,
        name: str,
        said: Sequence[Said[T]],
        ask: Ask,
        shown: Callable[[T], str] = str,
        same: Callable[[T], object] = lambda value: value,
    ) -> T | None:
        """What the first of `said` says, when nobody contradicts it; otherwise `ask` is asked.

        `same` gives what has to agree of two tellings, `shown` what people are told of one.
        """
        if not said:
            self.asks.append(ask)
            return None
        first = said[0]
        other = next((each for each in said if same(each.value) != same(first.value)), None)
        if other is not None:
            conflict = f"{first.source} says {shown(first.value)}, {other.source} says {shown(other.value)}"
            how = f"{conflict}: correct the one that is wrong, or {ask.how}"
            self.asks.append(ask.model_copy(update={"how": how}))
            return None
        self.sources[name] = first.source
        return first.value


def facts_of(service: ServiceConfig | None, evidence: Evidence, files: telling.Files | None = None) -> ServiceFacts:
    """The facts of a service: from its evidence and its entry in the inventory (None: it has none).

    `files` is what the configuration files of its replicas set, by neutral name.
    """
    config, files = service or _NO_SERVICE, files or {}
    key = f"services.{evidence.service}"
    gathering = _Gathering()
    model = _model(gathering, config, evidence, _ask_model(key))
    gpu = _gpu(gathering, config, evidence, _ask_gpu(key))
    count = gathering.choose("gpus_per_replica", telling.counts(config), _ask_count(key))
    ranks = telling.tensor_parallel(config, evidence, count, files)
    weights = telling.weight_dtypes(config, evidence, model, files)
    kv = telling.kv_dtypes(config, evidence, model, files)
    ask_kv = _ask_kv_dtype(key)
    if model is None and telling.keeps_kv_as_computed(config, evidence, files):
        how = f"it is auto, which is what the model computes in: give the model, or {ask_kv.how}"
        ask_kv = ask_kv.model_copy(update={"how": how})
    return ServiceFacts(
        model=model,
        gpu=gpu,
        gpus_per_replica=count,
        tensor_parallel=gathering.choose("tensor_parallel", ranks, _ask_tensor_parallel(key)),
        weight_dtype=gathering.choose("weight_dtype", weights, _ask_weight_dtype(key)),
        kv_dtype=gathering.choose("kv_dtype", kv, ask_kv),
        price_per_replica_hour=gathering.choose("price_per_replica_hour", telling.prices(config), _ask_price(key)),
        sources=gathering.sources,
        asks=tuple(gathering.asks),
    )


def _gpu(gathering: _Gathering, config: ServiceConfig, evidence: Evidence, ask: Ask) -> Gpu | None:
    """The product, with the memory that its driver counts where that is known."""
    if unlisted := telling.unlisted_products(evidence):
        found = f"{' and '.join(unlisted)} has no row in the table of GPUs; where one is close enough, {ask.how}"
        ask = ask.model_copy(update={"how": found})
    gpu = gathering.choose("gpu", telling.gpus(config, evidence), ask, lambda each: each.name)
    if gpu is None:
        return None
    for counted in telling.device_bytes(evidence):
        if not _DRIVER_OVER_SHEET[0] <= counted.value / gpu.memory_bytes <= _DRIVER_OVER_SHEET[1]:
            conflict = (
                f"{gathering.sources.pop('gpu')} says {gpu.name} with {gpu.memory_bytes / 1e9:.0f} GB, "
                f"{counted.source} counts {counted.value / 1e9:.0f} GB: a slice of a GPU has no row in the table"
            )
            gathering.asks.append(ask.model_copy(update={"how": f"{conflict}; {ask.how}"}))
            return None
    measured = telling.device_bytes(evidence)
    return gpu if not measured else replace(gpu, memory_bytes=min(each.value for each in measured))


def _model(gathering: _Gathering, config: ServiceConfig, evidence: Evidence, ask: Ask) -> ModelFacts | None:
    """The model by its own configuration, else by the names that the engine and the inventory have for it."""
    said: list[Said[ModelFacts]] = []
    if config.config_of_model is not None:
        read = read_config_file(Path(config.config_of_model))
        if isinstance(read, Unreadable):
            gathering.asks.append(ask.model_copy(update={"how": f"{read.reason}; correct it, or {ask.how}"}))
            return None
        said.append(Said(read, f"inventory: model_config ({read.source})"))
    names = list(telling.told(evidence, "model"))
    if config.model is not None:
        names.append(Said(config.model, "inventory: model"))
        if common_model(config.model) is None:
            ask = ask.model_copy(update={"how": f"the table does not have {config.model}: {ask.how}"})
    for name in names:
        known = common_model(name.value)
        if known is not None:
            said.append(Said(known, f"{known.source}, named by {name.source}"))
    return gathering.choose("model", said, ask, lambda each: each.name, _shape)


def _shape(model: ModelFacts) -> tuple[object, ...]:
    """What two tellings of one model must have in common."""
    return (model.layers, model.hidden_size, model.heads, model.kv_heads, model.head_dim, model.parameters)


def _ask_model(key: str) -> Ask:
    how = f"set {key}.model_config to the path of its Hugging Face config.json, or {key}.model to a name of the table"
    return Ask(fact="model", needed_for=_MEMORY, how=how)


def _ask_gpu(key: str) -> Ask:
    how = f"set {key}.hardware.gpu to one of {', '.join(GPUS)}"
    return Ask(fact="gpu", needed_for=_MEMORY, how=how)


def _ask_count(key: str) -> Ask:
    how = f"set {key}.hardware.gpus_per_replica"
    return Ask(fact="gpus_per_replica", needed_for=_MEMORY, how=how)


def _ask_tensor_parallel(key: str) -> Ask:
    how = f"set {key}.settings.tensor_parallel_size"
    return Ask(fact="tensor_parallel", needed_for=_MEMORY, how=how)


def _ask_weight_dtype(key: str) -> Ask:
    how = f"set {key}.hardware.weight_dtype, as bf16, fp8, int8, int4, mxfp4, or a GGUF file's own, as q4_k_m"
    return Ask(fact="weight_dtype", needed_for=_MEMORY, how=how)


def _ask_kv_dtype(key: str) -> Ask:
    how = f"set {key}.settings.kv_cache_dtype"
    return Ask(fact="kv_dtype", needed_for=_MEMORY, how=how)


def _ask_price(key: str) -> Ask:
    how = f"set {key}.cost.per_replica_hour, or per_gpu_hour with gpus_per_replica"
    return Ask(fact="price_per_replica_hour", needed_for="to compare what configurations cost", how=how)
