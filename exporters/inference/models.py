"""Applies a `ModelList`: the JSON page of an engine that has no exposition becomes canonical families."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporters.catalog import INFERENCE_FAMILIES, EngineCatalogue, Family, ModelList, TextPointer, own_labels
from exporters.exposition import Labels
from exporters.inference import json_page
from exporters.inference.render import Sample, Samples


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """What the page lists: its items by model, and how many items named none or one that was there."""

    items: dict[str, object]
    skipped: int


def read(models: ModelList, page: object) -> LoadedModels | None:
    """The models of the page; None where it has no such list."""
    listed = next(json_page.find(page, models.items), None)
    if not isinstance(listed, list):
        return None
    name = TextPointer(models.model)
    items: dict[str, object] = {}
    for item in listed:
        model = next(json_page.texts(item, name), None)
        if model is not None:
            items.setdefault(model, item)
    return LoadedModels(items, len(listed) - len(items))


def families(catalogue: EngineCatalogue, models: ModelList, loaded: LoadedModels) -> Iterator[tuple[Family, Samples]]:
    """The canonical families that the items give; what they do not give is left out."""
    items = [((("engine", catalogue.engine.value), ("model", model)), item) for model, item in loaded.items.items()]
    for table, reading in ((models.numbers, json_page.number), (models.times, json_page.epoch_seconds)):
        for name, path in table.items():
            yield from _gauge(INFERENCE_FAMILIES[name], ((labels, reading(item, path)) for labels, item in items))
    for name, pointers in models.texts.items():
        family = INFERENCE_FAMILIES[name]
        found = ((labels, json_page.labels(item, pointers)) for labels, item in items)
        if samples := [Sample("", (*labels, *info_labels(family, texts)), 1.0) for labels, texts in found if texts]:
            yield family, samples


def info_labels(family: Family, texts: Mapping[str, str]) -> Labels:
    """The family's own labels in their order; what is not told is empty."""
    return tuple((label, texts.get(label, "")) for label in own_labels(family))


def _gauge(family: Family, figures: Iterable[tuple[Labels, float | None]]) -> Iterator[tuple[Family, Samples]]:
    if samples := [Sample("", labels, value) for labels, value in figures if value is not None]:
        yield family, samples
