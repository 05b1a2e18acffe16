"""For every vLLM version the direct source rules give what the prober gives: PromQL against Python, value by value."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.catalog import Engine, load_engine
from tests.helpers.source_equality import Case, document, expected
from tests.helpers.vllm_versions import OLDER, two_ranks

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
VERSIONS = {"0.32.0": lambda text: text, "0.32.0, two ranks": two_ranks, **OLDER}


def case(version: str, state: str) -> Case:
    first, second = (
        VERSIONS[version]((CAPTURES / f"{state}{part}.prom").read_text(encoding="utf-8")) for part in ("", ".2")
    )
    return Case(f"{version}, {state}", load_engine(Engine.VLLM), first, second)


@pytest.mark.parametrize("state", ["kv_pressure", "prefix_hits"])
def test_direct_rules_give_what_the_prober_gives(promtool: Callable[..., str], tmp_path: Path, state: str) -> None:
    cases = [case(version, state) for version in VERSIONS]
    assert all(len(expected(each)) >= 80 for each in cases)
    promtool("test", "rules", document(cases, tmp_path / "versions.yml"))
