"""Defaults that run on the replicas of a service, as far as nothing that is seen speaks against them."""

from collections.abc import Mapping
from dataclasses import replace

from recommender.contracts import Configuration
from recommender.facts import ServiceFacts
from recommender.figures import figure
from recommender.gpus import Gpu
from recommender.knobs import KnobCatalog
from recommender.knobs.derive import Defaults, Setting, defaults_of
from recommender.model import Evidence, KnobValue
from recommender.playbooks.told import agree, told

_RANKS, _FACT = "tensor_parallel_size", "tensor_parallel"
# Signals that no replica can have above the knob.
_NEVER_ABOVE = {
    "max_running_requests": "replica:llm_requests_running:max2m",
    "max_batched_tokens": "replica:llm_step_tokens:mean_5m",
}


def defaults_here(
    files: Mapping[str, Configuration | None],
    knobs: KnobCatalog,
    version: str | None,
    *,
    gpu: Gpu | None,
    declared: Mapping[str, KnobValue],
    evidence: Evidence | None = None,
) -> dict[str, Defaults]:
    """Instance -> its defaults. Without evidence only files and inventory are looked at."""
    return {
        instance: _checked(
            defaults_of(
                file,
                Setting(
                    knobs=knobs,
                    version=version,
                    memory_bytes=None if gpu is None else gpu.memory_bytes,
                    gpu_name=None if gpu is None else gpu.name,
                    known={**_told(knobs, instance, evidence), **declared},
                ),
            ),
            knobs,
            instance,
            evidence,
        )
        for instance, file in files.items()
    }


def with_ranks(facts: ServiceFacts, defaults: Mapping[str, Defaults]) -> ServiceFacts:
    """The facts with the tensor parallel size that all replicas took by themselves, where nobody says another."""
    found = [each.values.get(_RANKS) for each in defaults.values()]
    first = found[0] if found else None
    asked = [ask for ask in facts.asks if ask.fact == _FACT]
    unsaid = facts.tensor_parallel is None and all(" says " not in ask.how for ask in asked)
    if first is None or not unsaid or not isinstance(first.value, int):
        return facts
    if any(each is None or each.value != first.value for each in found):
        return facts
    return replace(
        facts,
        tensor_parallel=first.value,
        sources={**facts.sources, _FACT: first.source},
        asks=tuple(ask for ask in facts.asks if ask.fact != _FACT),
    )


def _told(knobs: KnobCatalog, instance: str, evidence: Evidence | None) -> dict[str, KnobValue]:
    if evidence is None:
        return {}
    found = {knob.name: told(knob, instance, evidence) for knob in knobs.knobs}
    return {name: value for name, value in found.items() if value is not None}


def _checked(found: Defaults, knobs: KnobCatalog, instance: str, evidence: Evidence | None) -> Defaults:
    """The defaults, unless the engine tells other numbers or does more than they allow: then the promise is broken."""
    if evidence is None:
        return found
    for name, default in found.values.items():
        knob = knobs.get(name)
        said = None if knob is None else told(knob, instance, evidence)
        if knob is None or isinstance(default.value, bool | str):
            continue
        if said is not None and not agree(default.value, said):
            return found.refuted(f"{knob.label} would be {figure(default.value)} and the engine tells {said}")
        signal = _NEVER_ABOVE.get(name)
        seen = None if signal is None else evidence.value(signal, instance)
        if seen is not None and seen > default.value:
            return found.refuted(f"{knob.label} would be {figure(default.value)} and {signal} is {figure(seen)}")
    return found
