"""Every alert has a runbook page, every page an alert, and its queries parse and name series that exist."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporters.catalog import GPU_FAMILIES, HOST_FAMILIES, INFERENCE_FAMILIES, PRODUCT_FAMILIES, SCRAPE_FAMILIES
from rules.catalog import ALERTS
from rules.catalog.foreign import FOREIGN_SERIES

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))
SECTIONS = [
    "Meaning",
    "Impact",
    "Diagnosis",
    "Likely causes and look-alikes",
    "What OptiInfra proposes",
    "How to undo",
]


def queries(page: Path) -> list[str]:
    return re.findall(r"```promql\n(.*?)\n```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_alerts_and_pages_are_the_same_set() -> None:
    assert {page.stem for page in PAGES} == set(ALERTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_every_section_and_says_something_in_each(page: Path) -> None:
    title, *sections = re.split(r"^##? ", page.read_text(encoding="utf-8").lstrip("# "), flags=re.MULTILINE)
    assert title.strip() == page.stem
    assert [section.splitlines()[0] for section in sections] == SECTIONS
    assert all(len(section.split()) > 8 for section in sections)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_queries_and_names_thresholds_that_exist(page: Path, rules: list[dict[str, Any]]) -> None:
    known = {rule["record"] for rule in rules if "record" in rule}
    assert queries(page)
    assert set(re.findall(r"threshold:\w+|service:objective:\w+", page.read_text(encoding="utf-8"))) <= known


def test_every_query_parses(promtool: Callable[..., str], tmp_path: Path) -> None:
    rules = [
        {"record": "page:query", "expr": query, "labels": {"page": page.stem, "query": str(number)}}
        for page in PAGES
        for number, query in enumerate(queries(page))
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_series_of_a_query_exists(page: Path, rules: list[dict[str, Any]]) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    families = {**INFERENCE_FAMILIES, **SCRAPE_FAMILIES, **HOST_FAMILIES, **GPU_FAMILIES, **PRODUCT_FAMILIES}
    for query in queries(page):
        bare = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]|offset \w+|\b(by|on|ignoring|group_left) \([^)]*\)', " ", query)
        names = set(re.findall(r"\b[a-zA-Z_][\w:]*\b(?!\s*\()", bare)) - {"and", "or", "unless", "bool"}
        names -= {"count", "max", "sum"}  # aggregations whose `by (…)` was cut out
        assert names <= recorded | set(families) | FOREIGN_SERIES, query
