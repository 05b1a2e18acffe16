"""What is known of a service's model and hardware, where each fact is from, and what has to be asked for.

A fact is what the engine or the device tells; failing that what the inventory says; failing that what the model's
`config.json` or the shipped table of models has. Two places that contradict each other give no fact and an `Ask`:
which of them is right is not for a program to guess.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from recommender.gpus import GPUS, Gpu, gpu_of_product
from recommender.inventory import ServiceConfig
from recommender.model import Ask, Evidence
from recommender.sizing.dtypes import WEIGHT_DTYPES, kv_dtype_of, weight_dtype_of
from recommender.sizing.model_facts import ModelFacts

T = TypeVar("T")
_MEMORY = "to show that a change fits in device memory"
_TENSOR_PARALLEL = "replica:llm_tensor_parallel_size"
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


@dataclass(frozen=True, slots=True)
class _Said(Generic[T]):
    """A fact and who says it."""

    value: T
    source: str


@dataclass(slots=True)
class _Gathering:
    """Sources and asks, in the order in which the facts are looked at."""

    sources: dict[str, str] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)

    def choose(self, name: str, said: Sequence[_Said[T]], ask: Ask, shown: Callable[[T], str] = str) -> T | None:
        """What the first of `said` says, when nobody contradicts it; otherwise `ask` is asked."""
        if not said:
            self.asks.append(ask)
            return None
        first = said[0]
        other = next((each for each in said if each.value != first.value), None)
        if other is not None:
            conflict = f"{first.source} says {shown(first.value)}, {other.source} says {shown(other.value)}"
            how = f"{conflict}: correct the one that is wrong, or {ask.how}"
            self.asks.append(ask.model_copy(update={"how": how}))
            return None
        self.sources[name] = first.source
        return first.value


def facts_of(service: ServiceConfig | None, evidence: Evidence) -> ServiceFacts:
    """The facts of a service: from its evidence and its entry in the inventory (None: it has none)."""
    config = service or _NO_SERVICE
    key = f"services.{evidence.service}"
    gathering = _Gathering()
    gpu = gathering.choose("gpu", _gpus(config, evidence), _ask_gpu(key), lambda each: each.name)
    count = gathering.choose("gpus_per_replica", _counts(config), _ask_count(key))
    return ServiceFacts(
        gpu=gpu,
        gpus_per_replica=count,
        tensor_parallel=gathering.choose(
            "tensor_parallel", _tensor_parallel(config, evidence, count), _ask_tensor_parallel(key)
        ),
        weight_dtype=gathering.choose("weight_dtype", _weight_dtypes(config, evidence), _ask_weight_dtype(key)),
        kv_dtype=gathering.choose("kv_dtype", _kv_dtypes(config, evidence), _ask_kv_dtype(key)),
        price_per_replica_hour=gathering.choose("price_per_replica_hour", _prices(config), _ask_price(key)),
        sources=gathering.sources,
        asks=tuple(gathering.asks),
    )


def _told(evidence: Evidence, name: str) -> Iterator[_Said[str]]:
    """What replicas and their devices tell in words, each different telling once."""
    seen: set[str] = set()
    for instance, facts in sorted(evidence.replica_facts.items()):
        fact = facts.get(name)
        if fact is not None and fact.value and fact.value not in seen:
            seen.add(fact.value)
            yield _Said(fact.value, f"{instance} ({fact.query})")


def _gpus(config: ServiceConfig, evidence: Evidence) -> list[_Said[Gpu]]:
    said = [
        _Said(gpu, each.source)
        for each in _told(evidence, "gpu_name")
        if (gpu := gpu_of_product(each.value)) is not None
    ]
    if config.hardware.gpu is not None:
        said.append(_Said(GPUS[config.hardware.gpu], "inventory: hardware.gpu"))
    if config.roofline is not None:
        said.append(_Said(GPUS[config.roofline.gpu], "inventory: roofline.gpu"))
    return said


def _counts(config: ServiceConfig) -> list[_Said[int]]:
    said = []
    if config.hardware.gpus_per_replica is not None:
        said.append(_Said(config.hardware.gpus_per_replica, "inventory: hardware.gpus_per_replica"))
    if config.roofline is not None:
        said.append(_Said(config.roofline.gpus_per_replica, "inventory: roofline.gpus_per_replica"))
    if config.cost is not None and config.cost.per_gpu_hour is not None:
        said.append(_Said(config.cost.gpus_per_replica, "inventory: cost.gpus_per_replica"))
    return said


def _tensor_parallel(config: ServiceConfig, evidence: Evidence, gpus: int | None) -> list[_Said[int]]:
    said = []
    for instance, readings in sorted(evidence.replica_readings.items()):
        reading = readings.get(_TENSOR_PARALLEL)
        if reading is not None and reading.value is not None and reading.value >= 1:
            said.append(_Said(int(reading.value), f"{instance} ({reading.query})"))
    declared = config.settings.declared().get("tensor_parallel_size")
    if isinstance(declared, int):
        said.append(_Said(declared, "inventory: settings.tensor_parallel_size"))
    if not said and gpus == 1:
        said.append(_Said(1, "one GPU a replica"))
    return said


def _weight_dtypes(config: ServiceConfig, evidence: Evidence) -> list[_Said[str]]:
    words = [*_told(evidence, "weight_dtype"), *_told(evidence, "quantization")]
    declared = config.settings.declared().get("weight_quantization")
    if isinstance(declared, str):
        words.append(_Said(declared, "inventory: settings.weight_quantization"))
    if config.hardware.weight_dtype is not None:
        words.append(_Said(config.hardware.weight_dtype, "inventory: hardware.weight_dtype"))
    return [_Said(meant, each.source) for each in words if (meant := weight_dtype_of(each.value)) is not None]


def _kv_dtypes(config: ServiceConfig, evidence: Evidence) -> list[_Said[str]]:
    words = list(_told(evidence, "kv_cache_dtype"))
    declared = config.settings.declared().get("kv_cache_dtype")
    if isinstance(declared, str):
        words.append(_Said(declared, "inventory: settings.kv_cache_dtype"))
    return [_Said(meant, each.source) for each in words if (meant := kv_dtype_of(each.value)) is not None]


def _prices(config: ServiceConfig) -> list[_Said[float]]:
    return [] if config.cost is None else [_Said(config.cost.replica_hour, "inventory: cost")]


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
    how = f"set {key}.hardware.weight_dtype to one of {', '.join(WEIGHT_DTYPES)}"
    return Ask(fact="weight_dtype", needed_for=_MEMORY, how=how)


def _ask_kv_dtype(key: str) -> Ask:
    how = f"set {key}.settings.kv_cache_dtype"
    return Ask(fact="kv_dtype", needed_for=_MEMORY, how=how)


def _ask_price(key: str) -> Ask:
    how = f"set {key}.cost.per_replica_hour, or per_gpu_hour with gpus_per_replica"
    return Ask(fact="price_per_replica_hour", needed_for="to compare what configurations cost", how=how)
