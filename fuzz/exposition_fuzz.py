"""Fuzzes the exposition reader against the reference parser, and all that is made of a reading. Run by `fuzz`."""

import sys

import atheris

with atheris.instrument_imports(include=["exporters.exposition", "exporters.inference.plausible"]):
    from prometheus_client.parser import text_string_to_metric_families

    from exporters.catalog import Engine, load_engine
    from exporters.exposition import Reader
    from exporters.inference.mapping import Mapper
    from exporters.inference.plausible import plausible
    from exporters.inference.render import render
    from tests.helpers.exposition_oracle import disagreement

MAPPERS = [Mapper(load_engine(engine)) for engine in Engine]
WANTED = frozenset().union(*(mapper.wanted for mapper in MAPPERS)) | {"a", "b_total"}
READER = Reader(WANTED, cache_size=64)


def one_input(data: bytes) -> None:
    """Raises where something is wrong."""
    text = data.decode("utf-8", errors="replace")
    found = disagreement(READER, text, WANTED)
    if found is not None:
        raise AssertionError(found)
    reading = READER.read(text)
    for mapper in MAPPERS:
        if not mapper.wanted.isdisjoint(reading.samples):
            families, _ = plausible(mapper.families(reading))
            list(text_string_to_metric_families(render(families)))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
