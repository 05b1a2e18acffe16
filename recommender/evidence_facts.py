"""What engines and devices tell in words: the labels of recorded info series, as facts of the replicas."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from recommender.model import Fact

ENGINE_INFO, CONFIG_INFO, GPU_INFO = "replica:llm_engine:info", "replica:llm_config:info", "gpu:gpu:info"
# A series that every replica with a model has: its labels name the model that it serves.
_SERVES = "replica:llm_requests_running"
_UP = "replica:llm_up"
# Series -> its labels that are facts, by the facts' names.
_LABELS: Mapping[str, Mapping[str, str]] = {
    ENGINE_INFO: {"engine": "engine", "engine_version": "version"},
    CONFIG_INFO: {
        "kv_cache_dtype": "kv_cache_dtype",
        "prefix_caching": "prefix_caching",
        "quantization": "quantization",
    },
    _SERVES: {"model": "model"},
    _UP: {"engine": "engine"},  # of engines that are scraped directly, or tell no version, or are down
    GPU_INFO: {"gpu_name": "name", "gpu_compute_capability": "compute_capability"},
}
_MOST_CHARACTERS = 200  # of a fact; a longer text is no word of an engine


class Labelled(Protocol):
    """A sample, as far as its labels go."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Label names and values, `__name__` among them."""
        ...


def replica_facts(
    named: Mapping[str, Iterable[Labelled]],
    beside: Mapping[str, Iterable[Labelled]],
    gpus: Mapping[str, Iterable[str]],
    query: Callable[..., str],
) -> dict[str, dict[str, Fact]]:
    """Facts by instance and name.

    `named`, `beside`: series of the service and of its nodes, by name. `gpus`: instance -> its GPUs, as "node/index".
    `query`: name and labels of a series -> PromQL.

    A label that is empty, or that several series of one replica give differently, is no fact: nobody can say which of
    them holds.
    """
    said: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    sources: dict[tuple[str, str], str] = {}
    for name in _LABELS.keys() - {GPU_INFO}:
        for sample in named.get(name, ()):
            if instance := sample.labels.get("instance"):
                _add(said[instance], sample, name)
                asked = query(name, service=sample.labels.get("service", ""), instance=instance)
                for fact in _LABELS[name]:  # whichever of several series comes first
                    sources[instance, fact] = min(asked, sources.get((instance, fact), asked))
    devices: dict[str, list[Labelled]] = defaultdict(list)
    for sample in beside.get(GPU_INFO, ()):
        devices[f"{sample.labels.get('node', '')}/{sample.labels.get('gpu', '')}"].append(sample)
    for instance, own in gpus.items():
        if found := [sample for gpu in own for sample in devices.get(gpu, ())]:
            for sample in found:
                _add(said[instance], sample, GPU_INFO)
            asked = query(GPU_INFO, node=min(sample.labels.get("node", "") for sample in found))
            sources |= {(instance, fact): asked for fact in _LABELS[GPU_INFO]}
    return {
        instance: facts
        for instance, found in sorted(said.items())
        if (
            facts := {
                name: Fact(name=name, value=next(iter(values)), query=sources[instance, name], instance=instance)
                for name, values in sorted(found.items())
                if len(values) == 1
            }
        )
    }


def _add(found: dict[str, set[str]], sample: Labelled, name: str) -> None:
    for fact, label in _LABELS[name].items():
        value = sample.labels.get(label, "")
        if value and len(value) <= _MOST_CHARACTERS:
            found[fact].add(value)
