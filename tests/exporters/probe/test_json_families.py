"""Whatever JSON stands where an engine's pages are, the answer is legal and says nothing that cannot be."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporters.catalog import INFERENCE_FAMILIES, Engine, FactPage, load_engine
from exporters.inference import facts, json_page, models
from exporters.inference.plausible import plausible
from exporters.inference.render import render
from exporters.inference.told import told

CATALOGUES = [load_engine(engine) for engine in Engine]
PAGES = [(catalogue.engine, page) for catalogue in CATALOGUES for page in catalogue.pages]
(OLLAMA,) = [catalogue for catalogue in CATALOGUES if catalogue.models]

# The words of all pointers, so that generated pages have something at the places that are looked at.
WORDS = sorted(
    {word for _, page in PAGES for line in page.numbers.values() for product in line for factor in product
     if isinstance(factor, str) for word in factor.split(".")}
    | {"model_id", "version", "data", "id", "models", "name", "size", "size_vram", "expires_at", "details"}
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["m", "a\nb"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner), max_leaves=30
)
BODIES = VALUES.map(lambda value: json.dumps(value).encode())


def check(answer: str) -> None:
    seen = set()
    for family in text_string_to_metric_families(answer):
        assert family.name in INFERENCE_FAMILIES
        for sample in family.samples:
            series = (sample.name, *sample.labels.items())
            assert series not in seen
            seen.add(series)
            assert 0 <= sample.value < math.inf


@given(st.sampled_from(PAGES), BODIES)
def test_a_fact_page_of_any_content_gives_legal_families(of: tuple[Engine, FactPage], body: bytes) -> None:
    engine, page = of
    found = facts.read(page, json_page.parse(body))
    check(render(plausible(told(engine, found, found.models or ("",), ()))[0]))


@given(BODIES | st.lists(VALUES, max_size=4).map(lambda items: json.dumps({"models": items}).encode()))
def test_a_list_of_models_of_any_content_gives_legal_families(body: bytes) -> None:
    assert OLLAMA.models is not None
    loaded = models.read(OLLAMA.models, json_page.parse(body))
    if loaded is not None:
        check(render(plausible(models.families(OLLAMA, OLLAMA.models, loaded))[0]))
