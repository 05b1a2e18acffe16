"""Defaults that run on the replicas of a service, as far as nothing that is seen speaks against them."""

from collections.abc import Mapping

from recommender.contracts import Configuration
from recommender.figures import figure
from recommender.gpus import Gpu
from recommender.knobs import KnobCatalog
from recommender.knobs.derive import Defaults, Setting, defaults_of
from recommender.model import Evidence, KnobValue
from recommender.playbooks.told import agree, told

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
