"""docs/engines.md says what the catalogue says."""

from exporters.catalog import INFERENCE_FAMILIES, Engine, load_engine
from exporters.engine_docs import engines_page


def test_every_family_and_every_series_of_every_engine_is_on_the_page() -> None:
    page = engines_page()
    for family in INFERENCE_FAMILIES:
        assert f"| `{family}` |" in page
    for engine in Engine:
        for mapping in load_engine(engine).families.values():
            for source in mapping.sources:
                for term in (*source.required, *source.plus):
                    assert f"`{term.name}" in page
