"""The direct source rules of every engine give what the prober gives: PromQL against Python, value by value."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporters.catalog import Engine, EngineCatalogue, load_engine
from tests.helpers.catalogue_pages import page
from tests.helpers.source_equality import Case, advanced, document

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
ENGINES = [engine for engine in Engine if load_engine(engine).families]


def synthetic(catalogue: EngineCatalogue) -> Iterator[Case]:
    """Every source of the catalogue: each choice alone, all at once, in the other spelling, with gaps."""
    most = max(len(mapping.sources) for mapping in catalogue.families.values())
    pages = {f"source {choice + 1} of each family": page(catalogue, choice) for choice in range(most)}
    pages["every source at once"] = page(catalogue)
    pages["colons rewritten"] = page(catalogue, rewritten=True)
    pages["nothing to add, a rank with gaps"] = page(catalogue, lone=True)
    for name, text in pages.items():
        yield Case(name, catalogue, text, advanced(catalogue, text))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_rules_read_every_source_as_the_prober_does(
    promtool: Callable[..., str], tmp_path: Path, engine: Engine
) -> None:
    promtool("test", "rules", document(synthetic(load_engine(engine)), tmp_path / "synthetic.yml"))
