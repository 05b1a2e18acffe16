"""Who says what of a service's model and hardware: the engine, its devices, its configuration file, the inventory."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from recommender.gpus import GPUS, Gpu, gpu_of_product
from recommender.inventory import ServiceConfig
from recommender.model import Evidence, KnobValue
from recommender.sizing.dtypes import WEIGHT_DTYPES, kv_dtype_of, weight_dtype_of
from recommender.sizing.model_facts import ModelFacts

T = TypeVar("T")
Files = Mapping[str, Mapping[str, KnobValue]]  # instance -> neutral name -> value that its configuration file sets
_TENSOR_PARALLEL = "replica:llm_tensor_parallel_size"
_FREE, _USED = "gpu:gpu_memory_free_bytes", "gpu:gpu_memory_used:ratio"
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,60}")
_NOTHING = frozenset({"", "none", "null"})  # how engines spell that nothing is set


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A fact and who says it."""

    value: T
    source: str


def told(evidence: Evidence, name: str) -> Iterator[Said[str]]:
    """What replicas and their devices tell in words, each different telling once."""
    seen: set[str] = set()
    for instance, facts in sorted(evidence.replica_facts.items()):
        fact = facts.get(name)
        if fact is not None and fact.value and fact.value not in seen:
            seen.add(fact.value)
            yield Said(fact.value, f"{instance} ({fact.query})")


def in_files(files: Files, name: str) -> Iterator[Said[KnobValue]]:
    """What configuration files set, each different value once."""
    seen: set[KnobValue] = set()
    for instance, settings in sorted(files.items()):
        value = settings.get(name)
        if value is not None and value not in seen:
            seen.add(value)
            yield Said(value, f"the configuration file of {instance}")


def _words(files: Files, name: str) -> list[Said[str]]:
    return [Said(each.value, each.source) for each in in_files(files, name) if isinstance(each.value, str)]


def gpus(config: ServiceConfig, evidence: Evidence) -> list[Said[Gpu]]:
    """Products: those that drivers name and the table has, then the inventory's."""
    said = [
        Said(gpu, each.source) for each in told(evidence, "gpu_name") if (gpu := gpu_of_product(each.value)) is not None
    ]
    if config.hardware.gpu is not None:
        said.append(Said(GPUS[config.hardware.gpu], "inventory: hardware.gpu"))
    if config.roofline is not None:
        said.append(Said(GPUS[config.roofline.gpu], "inventory: roofline.gpu"))
    return said


def unlisted_products(evidence: Evidence) -> tuple[str, ...]:
    """Names that drivers give and the table lacks; what is no product's name is not repeated."""
    names = {each.value for each in told(evidence, "gpu_name") if gpu_of_product(each.value) is None}
    return tuple(sorted(name for name in names if _PRODUCT.fullmatch(name)))


def counts(config: ServiceConfig) -> list[Said[int]]:
    """GPUs of a replica, where the inventory writes them: what it leaves to a default says nothing."""
    said = []
    if config.hardware.gpus_per_replica is not None:
        said.append(Said(config.hardware.gpus_per_replica, "inventory: hardware.gpus_per_replica"))
    for name, section in (("roofline", config.roofline), ("cost", config.cost)):
        if section is not None and "gpus_per_replica" in section.model_fields_set:
            said.append(Said(section.gpus_per_replica, f"inventory: {name}.gpus_per_replica"))
    said += [Said(len(each.gpus), f"inventory: gpus of {each.instance}") for each in config.replicas if each.gpus]
    return said


def tensor_parallel(config: ServiceConfig, evidence: Evidence, count: int | None, files: Files) -> list[Said[int]]:
    """Ranks: the engine's, its file's, the inventory's; `count` GPUs a replica, when that is one, leave no choice."""
    said = []
    for instance, readings in sorted(evidence.replica_readings.items()):
        reading = readings.get(_TENSOR_PARALLEL)
        if reading is not None and reading.value is not None and reading.value >= 1:
            said.append(Said(int(reading.value), f"{instance} ({reading.query})"))
    said += [Said(int(each.value), each.source) for each in in_files(files, "tensor_parallel_size")]
    declared = config.settings.declared().get("tensor_parallel_size")
    if isinstance(declared, int):
        said.append(Said(declared, "inventory: settings.tensor_parallel_size"))
    if not said and count == 1:
        said.append(Said(1, "one GPU a replica"))
    return said


def weight_dtypes(config: ServiceConfig, evidence: Evidence, model: ModelFacts | None, files: Files) -> list[Said[str]]:
    """The type as it is loaded; where nobody tells one, that of the checkpoint."""
    words = [*told(evidence, "weight_dtype"), *told(evidence, "quantization"), *_words(files, "weight_quantization")]
    declared = config.settings.declared().get("weight_quantization")
    if isinstance(declared, str):
        words.append(Said(declared, "inventory: settings.weight_quantization"))
    if config.hardware.weight_dtype is not None:
        words.append(Said(config.hardware.weight_dtype, "inventory: hardware.weight_dtype"))
    words = [each for each in words if each.value.strip().lower() not in _NOTHING]
    said = [Said(meant, each.source) for each in words if (meant := weight_dtype_of(each.value)) is not None]
    if said or model is None or model.weight_dtype is None:
        return said
    quantized = WEIGHT_DTYPES[model.weight_dtype].bits < 16  # noqa: PLR2004 - the bits of no quantization
    # A word that leaves the width open, as "gptq" does, is of a checkpoint that is quantized: 16 bits are not its type.
    return [Said(model.weight_dtype, model.source)] if quantized or not words else []


def kv_dtypes(config: ServiceConfig, evidence: Evidence, model: ModelFacts | None, files: Files) -> list[Said[str]]:
    """The type of the KV cache; "auto" is the one that the model computes in."""
    said = []
    for each in _kv_words(config, evidence, files):
        if _is_auto(each):
            if model is not None:
                said.append(Said(model.activation_dtype, f"{each.source}: auto, as the model computes"))
        elif (meant := kv_dtype_of(each.value, config.engine)) is not None:
            said.append(Said(meant, each.source))
    return said


def keeps_kv_as_computed(config: ServiceConfig, evidence: Evidence, files: Files) -> bool:
    """Whether somebody tells that the KV cache's type is "auto"."""
    return any(_is_auto(each) for each in _kv_words(config, evidence, files))


def _is_auto(word: Said[str]) -> bool:
    return word.value.strip().lower() == "auto"


def _kv_words(config: ServiceConfig, evidence: Evidence, files: Files) -> list[Said[str]]:
    words = [*told(evidence, "kv_cache_dtype"), *_words(files, "kv_cache_dtype")]
    declared = config.settings.declared().get("kv_cache_dtype")
    if isinstance(declared, str):
        words.append(Said(declared, "inventory: settings.kv_cache_dtype"))
    return words


def prices(config: ServiceConfig) -> list[Said[float]]:
    """The price of a replica for an hour."""
    return [] if config.cost is None else [Said(config.cost.replica_hour, "inventory: cost")]


def device_bytes(evidence: Evidence) -> list[Said[float]]:
    """Memory of one GPU as its driver counts it: what is free over the share that is."""
    said = []
    for instance, readings in sorted(evidence.replica_readings.items()):
        free, used = readings.get(_FREE), readings.get(_USED)
        if free is None or used is None or free.value is None or used.value is None or not 0 <= used.value < 1:
            continue
        if free.value > 0:
            said.append(Said(free.value / (1 - used.value), f"{instance} ({free.query} / (1 - {used.query}))"))
    return said
