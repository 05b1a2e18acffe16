"""Every engine's pages become the canonical table that is committed for them: `REGEN=1` writes the tables anew."""

import os
import re
import subprocess
from dataclasses import replace

import pytest

from exporters.catalog import Engine
from tests.helpers.engine_cases import CASES, TABLES, EngineCase, table


@pytest.fixture(name="case", params=CASES, ids=lambda case: case.name, scope="module")
def _case(request: pytest.FixtureRequest) -> EngineCase:
    return request.param  # type: ignore[no-any-return]  # pytest knows no type of a parameter


@pytest.fixture(name="answer", scope="module")
def _answer(case: EngineCase) -> str:
    return case.answer()


def test_the_prober_answers_what_the_table_says(case: EngineCase, answer: str) -> None:
    found = table(answer)
    if os.environ.get("REGEN") == "1":
        case.table_file.write_text(found, encoding="utf-8")
    assert found == case.table_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", [case for case in CASES if ":" in case.text], ids=lambda case: case.name)
def test_names_with_colons_rewritten_by_a_pipeline_give_the_same(case: EngineCase) -> None:
    rewritten = re.sub(r"(?m)^(# [A-Z]+ )?([a-z]+):", r"\1\2_", case.text)
    assert table(replace(case, metrics=rewritten).answer()) == case.table_file.read_text(encoding="utf-8")


def test_promtool_finds_nothing_to_say(answer: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=answer, capture_output=True, check=False, encoding="utf-8"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_engine_has_a_table_and_every_table_a_case() -> None:
    assert {path.name for path in TABLES.glob("*.txt")} == {case.table_file.name for case in CASES}
    tables = "".join(path.read_text(encoding="utf-8") for path in TABLES.glob("*.txt"))
    for engine in Engine:
        assert f'llm_up{{engine="{engine}"}} 1' in tables
