"""Queries of docs/{autoscaling,cookbook,scores}.md parse, read series that exist and give the answers shown there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rules import plain_yaml
from rules.lint import findings
from rules.pack import CONFIGURATION, RULES_DIR, Rule, load_rules
from tests.helpers.example_fleet import INTERVAL_SECONDS, input_series

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"autoscaling.md": 5, "cookbook.md": 20, "scores.md": 5}  # questions
RECIPE = re.compile(r"^### (\d+)\. (.*?)\n.*?```promql\n(.*?)\n```\n+```text\n(.*?)\n```", re.MULTILINE | re.DOTALL)
SAMPLE = re.compile(r"^(\{.*\}) (\S+)$")


def recipes(*pages: str) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Question, query and the samples of the answer; of all pages unless some are named."""
    found = []
    texts = [(DOCS / page).read_text(encoding="utf-8") for page in pages or PAGES]
    for number, question, query, answer in (recipe for text in texts for recipe in RECIPE.findall(text)):
        lines = [SAMPLE.match(line) for line in answer.splitlines()]
        samples = [{"labels": line[1], "value": float(line[2])} for line in lines if line]
        assert len(samples) == len(lines), f"{number}: an answer is labels and a value on each line"
        found.append((question, query, samples))
    return found


@pytest.mark.parametrize(("page", "count"), PAGES.items())
def test_a_page_answers_all_of_its_questions(page: str, count: int) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert len(recipes(page)) == count
    assert re.findall(r"^### (\d+)\.", text, re.MULTILINE) == [str(number) for number in range(1, count + 1)]
    assert text.count("```promql") == count
    assert all(question.endswith("?") for question, _, _ in recipes(page))


def test_every_query_reads_series_that_exist_and_matches_label_sets() -> None:
    asked = [
        Rule("cookbook.md", "cookbook", f"Question{number}", is_alert=True, expr=query, labels={}, annotations={})
        for number, (_, query, _) in enumerate(recipes(), start=1)
    ]
    checks = {"matching", "known series"}
    found = [each for each in findings([*load_rules(), *asked], []) if each.place.startswith("cookbook.md")]
    assert [f"{each.place}: {each.text}" for each in found if each.check in checks] == []


def test_every_query_gives_the_answer_on_the_page(promtool: Callable[..., str], tmp_path: Path) -> None:
    patterns = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["rule_files"]
    files = [path for pattern in patterns for path in sorted(RULES_DIR.glob(pattern))]
    groups = [group["name"] for path in files for group in plain_yaml.read(path)["groups"]]
    test = {
        "name": "the example fleet after ten minutes",
        "interval": f"{INTERVAL_SECONDS}s",
        "input_series": list(input_series()),
        # Rounded as the page writes them; rounding takes the names away.
        "promql_expr_test": [
            {"expr": f"round({query}, 0.001)", "eval_time": "10m", "exp_samples": samples}
            for _, query, samples in recipes()
        ],
    }
    document = {
        "rule_files": [str(path) for path in files],
        "evaluation_interval": f"{INTERVAL_SECONDS}s",
        "group_eval_order": groups,
        "tests": [test],
    }
    path = tmp_path / "cookbook.test.yml"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    promtool("test", "rules", path)
