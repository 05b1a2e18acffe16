"""docs/diagnosis.md shows the discriminators that decide."""

from pathlib import Path

from recommender.diagnosis.docs import PAGE, rendered, tables, write
from recommender.diagnosis.relations import PRECEDENCE


def test_the_page_is_what_the_code_writes() -> None:
    """Write it anew with `python -m recommender.diagnosis.docs`."""
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text
    assert text.count("\n### `") == len(PRECEDENCE)


def test_the_tables_say_what_is_compared_with_what() -> None:
    shown = "".join(tables())
    assert "| Batch limit in use at or above `admission_fullness_ratio` |" in shown
    assert "or (peak KV usage at or above `kv_cache_usage_peak_ratio` and preemptions per finished request" in shown
    assert "a busy host whose engine keeps its promise" in shown


def test_writing_changes_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- discriminators -->\nOLD TABLE\n<!-- /discriminators -->\nafter\n", encoding="utf-8")
    write(page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- discriminators -->\n")
    assert text.endswith("<!-- /discriminators -->\nafter\n")
    assert "OLD TABLE" not in text
