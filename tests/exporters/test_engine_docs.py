"""docs/engines.md says what the catalogue says."""

from pathlib import Path

from click.testing import CliRunner

from exporters.catalog import INFERENCE_FAMILIES, Engine, load_engine
from exporters.engine_docs import ENGINES_PAGE, build, engines_page


def test_the_page_is_current() -> None:
    assert ENGINES_PAGE.read_text(encoding="utf-8") == engines_page(), "run: optiinfra build docs"


def test_every_family_and_every_series_of_every_engine_is_on_the_page() -> None:
    page = engines_page()
    for family in INFERENCE_FAMILIES:
        assert f"| `{family}` |" in page
    for engine in Engine:
        for mapping in load_engine(engine).families.values():
            for source in mapping.sources:
                for term in (*source.required, *source.plus):
                    assert f"`{term.name}" in page


def test_a_page_that_is_not_current_is_found_and_written(tmp_path: Path) -> None:
    out = tmp_path / "engines.md"
    asked = CliRunner().invoke(build, ["--out", str(out), "--check"])
    assert asked.exit_code == 1
    assert f"{out} differs" in asked.output
    assert CliRunner().invoke(build, ["--out", str(out)]).exit_code == 0
    assert CliRunner().invoke(build, ["--out", str(out), "--check"]).exit_code == 0
    assert out.read_text(encoding="utf-8") == engines_page()
