"""The direct source rules of every engine give what the prober gives: PromQL against Python, value by value."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporters.catalog import Engine, EngineCatalogue, load_engine
from rules import plain_yaml
from tests.helpers.catalogue_pages import page
from tests.helpers.source_equality import SOURCES, Case, advanced, document, expected

DATA = Path(__file__).parents[1] / "data"
ENGINES = [engine for engine in Engine if load_engine(engine).families]
# Folders of captures that are not called like their engine.
FOLDERS = {"triton-trtllm": Engine.TRITON}
# Captured and synthetic pages: (page, engine). Captures of vLLM have a test of their own, for they are pairs.
PAGES = [
    (path, engine)
    for folder in (*(DATA / "captures").iterdir(), *(DATA / "synthetic").iterdir())
    for engine in Engine
    if engine in (FOLDERS.get(folder.name), folder.name) and folder != DATA / "captures" / "vllm"
    for path in sorted(folder.glob("*.prom"))
]


def made(catalogue: EngineCatalogue) -> Iterator[Case]:
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
    cases = list(made(load_engine(engine)))
    groups = plain_yaml.read(SOURCES / f"{engine.value}.yml")["groups"]
    records = {rule["record"] for group in groups for rule in group["rules"] if rule["record"].startswith("replica:")}
    assert {signal for case in cases for signal, _ in expected(case)} == records - {"replica:llm_up"}
    promtool("test", "rules", document(cases, tmp_path / "made.yml"))


def shown(path: Path, engine: Engine) -> Case:
    catalogue, text = load_engine(engine), path.read_text(encoding="utf-8")
    return Case(str(path.relative_to(DATA)), catalogue, text, advanced(catalogue, text))


def test_the_rules_read_every_page_of_the_test_data_as_the_prober_does(
    promtool: Callable[..., str], tmp_path: Path
) -> None:
    cases = [shown(*each) for each in PAGES]
    assert {case.catalogue.engine for case in cases if expected(case)} == {*ENGINES} - {Engine.VLLM}
    promtool("test", "rules", document(cases, tmp_path / "pages.yml"))
