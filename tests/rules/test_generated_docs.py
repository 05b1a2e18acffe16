"""The generated pages of docs/ are current, and say all that the catalogues say."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from rules.alert_docs import alerts_page
from rules.catalog import ALERTS
from rules.docs import DOCS_DIR, PAGES, build
from rules.pack import load_rules


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    assert (DOCS_DIR / name).read_text(encoding="utf-8") == PAGES[name](), "run: optiinfra build docs"


def test_pages_that_are_not_current_are_found_and_written(tmp_path: Path) -> None:
    asked = CliRunner().invoke(build, ["--out", str(tmp_path), "--check"])
    assert asked.exit_code == 1
    assert "engines.md, alerts.md, rule-groups.md differ" in asked.output
    assert CliRunner().invoke(build, ["--out", str(tmp_path)]).exit_code == 0
    (tmp_path / "alerts.md").write_text("by hand", encoding="utf-8")
    assert "alerts.md differ" in CliRunner().invoke(build, ["--out", str(tmp_path), "--check"]).output
    assert "wrote alerts.md" in CliRunner().invoke(build, ["--out", str(tmp_path)]).output
    assert CliRunner().invoke(build, ["--out", str(tmp_path), "--check"]).exit_code == 0


def test_every_alert_has_one_line_with_its_severity_class_and_meaning() -> None:
    lines = {match[1]: match[0] for match in re.finditer(r"^\| \[(\w+)\].*$", alerts_page(), re.MULTILINE)}
    summaries = {rule.name: rule.annotations["summary"] for rule in load_rules() if rule.is_alert}
    assert lines.keys() == ALERTS.keys()
    for name, alert in ALERTS.items():
        cells = [cell.strip() for cell in lines[name].strip("|").split(" | ")]
        assert cells[0] == f"[{name}](runbooks/{name}.md)"
        assert cells[1:4] == [alert.severity.value, f"`{alert.bottleneck.value}`", alert.level]
        assert cells[5] == summaries[name]
