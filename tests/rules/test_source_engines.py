"""The direct source rules of every engine give what the prober gives: PromQL against Python, value by value."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporters.catalog import Engine, EngineCatalogue, load_engine
from tests.helpers.catalogue_pages import page
from tests.helpers.source_equality import Case, advanced, document, expected

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
ENGINES = [engine for engine in Engine if load_engine(engine).families]
# Folders of captures that are not called like their engine.
FOLDERS = {"triton-trtllm": Engine.TRITON}
# Captured pages of other engines than vLLM, whose versions have a test of their own: (page, engine).
PAGES = [
    (path, engine)
    for folder in sorted(CAPTURES.iterdir())
    for engine in Engine
    if engine in (FOLDERS.get(folder.name), folder.name) and engine is not Engine.VLLM
    for path in sorted(folder.glob("*.prom"))
]


def synthetic(catalogue: EngineCatalogue) -> Iterator[Case]:
    """Every source of the catalogue: each choice alone, all at once, in the other spelling, with gaps."""
    # What is there with every source present is what a release shows that keeps old names beside new ones.
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


def captured(path: Path, engine: Engine) -> Case:
    catalogue, text = load_engine(engine), path.read_text(encoding="utf-8")
    return Case(f"{path.parent.name}/{path.name}", catalogue, text, advanced(catalogue, text))


def test_the_rules_read_every_captured_page_as_the_prober_does(promtool: Callable[..., str], tmp_path: Path) -> None:
    cases = [captured(*page) for page in PAGES]
    assert {case.catalogue.engine for case in cases if expected(case)} >= {
        Engine.LLAMACPP,
        Engine.SGLANG,
        Engine.TRITON,
    }
    promtool("test", "rules", document(cases, tmp_path / "captured.yml"))
