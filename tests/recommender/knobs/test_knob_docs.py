"""docs/knobs.md is what the catalogues say."""

from pathlib import Path

from click.testing import CliRunner

from recommender.cli import main
from recommender.knobs import engines, load
from recommender.knobs.docs import PAGE, knobs_page


def test_the_page_is_up_to_date() -> None:
    """To mend: optiinfra build knobs."""
    assert PAGE.read_text(encoding="utf-8") == knobs_page()


def test_every_knob_of_every_engine_has_a_row() -> None:
    text = knobs_page()
    sections = text.split("\n## ")[1:]
    assert len(sections) == len(engines())
    for section in sections:
        catalog = load(section.split("Engine `")[1].split("`")[0])
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert [row.split("`")[1] for row in rows] == [knob.name for knob in catalog.knobs]
        assert {row.replace("\\|", "").count("|") for row in rows} == {9}


def test_a_page_that_differs_is_said_and_written(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "knobs.md"
    stale = CliRunner().invoke(main, ["build", "knobs", "--check", "--out", str(page)])
    assert (stale.exit_code, "run: optiinfra build knobs" in stale.output) == (1, True)
    assert CliRunner().invoke(main, ["build", "knobs", "--out", str(page)]).output.endswith("knobs.md: written\n")
    assert CliRunner().invoke(main, ["build", "knobs", "--check", "--out", str(page)]).exit_code == 0
    assert page.read_text(encoding="utf-8") == knobs_page()
