"""What JSON pages tell of an engine, as canonical families."""

from collections.abc import Collection, Iterator, Sequence

from exporters.catalog import INFERENCE_FAMILIES, Engine, Family
from exporters.inference.facts import Facts
from exporters.inference.models import info_labels
from exporters.inference.render import Sample, Samples

_INFO = "llm_engine_info"


def told(
    engine: Engine, facts: Facts, models: Sequence[str], given: Collection[str]
) -> Iterator[tuple[Family, Samples]]:
    """The families that the facts give, less those that the metrics page has `given`, once for each of `models`."""
    every = [(("engine", engine.value), ("model", model)) for model in models]
    if facts.version or any(models):
        yield INFERENCE_FAMILIES[_INFO], [Sample("", (*labels, ("version", facts.version)), 1.0) for labels in every]
    for name, value in facts.numbers.items():
        if name not in given:
            yield INFERENCE_FAMILIES[name], [Sample("", labels, value) for labels in every]
    for name, texts in facts.texts.items():
        if name not in given:
            family = INFERENCE_FAMILIES[name]
            own = info_labels(family, texts)
            yield family, [Sample("", (*labels, *own), 1.0) for labels in every]
