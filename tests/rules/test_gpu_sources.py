"""Each GPU source records what `GIVEN` says that it can, with the same meaning, and every record of it is tested."""

import re
from pathlib import Path
from typing import Any

import pytest

from rules import plain_yaml
from rules.catalog.dcgm import DCGM_COUNTERS
from rules.catalog.gpu_signals import GIVEN, GPU_SIGNALS
from rules.catalog.score_signals import SCORE_SIGNALS
from rules.catalog.signal import Level

ROOT = Path(__file__).parents[2]
RULES = ROOT / "rules"
DOCS = ROOT / "docs" / "gpu-sources.md"
CAPTURES = ROOT / "tests" / "data" / "captures" / "dcgm"
FIELDS = {counter.field for counter in DCGM_COUNTERS}
ALTERNATIVES = {"gpu:gpu_nvlink_bytes:rate5m", "gpu:gpu_xid_faults:increase10m"}
STEPS = {
    "dcgm": {"instance:dcgm_gpu:labels", "instance:dcgm_gpu:both_ways"},
    "nvidia_gpu_exporter": {"instance:nvidia_smi_gpu:labels", "instance:nvidia_smi_gpu:both_ways"},
    "optiinfra_gpu": {"instance:gpu_xid_events:sum"},
}
NAMES = {signal.name for signal in GPU_SIGNALS} - {"gpu:bottleneck:evidence"}


def recorded(source: str) -> list[str]:
    text = (RULES / "sources" / f"{source}.yml").read_text(encoding="utf-8")
    return [rule["record"] for group in plain_yaml.parse(text)["groups"] for rule in group["rules"]]


def unit_tests(source: str) -> list[dict[str, Any]]:
    text = (RULES / "tests" / f"{source}.test.yml").read_text(encoding="utf-8")
    return list(plain_yaml.parse(text)["tests"])


def documented() -> dict[str, tuple[str, ...]]:
    """Cells of the table in docs/gpu-sources.md, by signal."""
    rows = [line.strip("|").split("|") for line in DOCS.read_text(encoding="utf-8").splitlines() if "| `gpu:" in line]
    return {row[0].strip(" `"): tuple(cell.strip() for cell in row[1:]) for row in rows}


def test_the_documentation_says_which_source_gives_what() -> None:
    columns = ("optiinfra_gpu", "dcgm", "nvidia_gpu_exporter")
    table = documented()
    assert table.keys() == NAMES
    for column, source in enumerate(columns):
        assert {name for name, cells in table.items() if cells[column] != "—"} == GIVEN[source], source


def test_the_documentation_says_which_signals_dcgm_exporter_gives_with_its_own_list() -> None:
    text = re.sub(r"(?m)^#.*$", "", (CAPTURES / "default-counters.csv").read_text(encoding="utf-8"))
    known = set(re.findall(r"(?m)^(DCGM_\w+)", text))
    needed = {
        rule["record"]: set(re.findall(r"DCGM_(?:FI|EXP)_[A-Z0-9_]+", rule["expr"])) & FIELDS
        for group in plain_yaml.read(RULES / "sources" / "dcgm.yml")["groups"]
        for rule in group["rules"]
    }
    # Of two ways to a signal one is enough; a division needs both of its fields.
    enough = {name for name, fields in needed.items() if fields & known and (fields <= known or name in ALTERNATIVES)}
    assert {name for name, cells in documented().items() if cells[1] == "yes"} == enough - {"instance:dcgm_gpu:labels"}


@pytest.mark.parametrize("source", GIVEN)
def test_a_source_records_the_signals_that_it_can_give(source: str) -> None:
    assert sorted(recorded(source)) == sorted(GIVEN[source] | STEPS.get(source, set()))


@pytest.mark.parametrize("source", GIVEN)
def test_every_record_of_a_source_is_tested_with_a_value(source: str) -> None:
    cases = [case for test in unit_tests(source) for case in test["promql_expr_test"]]
    seen = {case["expr"] for case in cases if case["exp_samples"]}
    assert set(recorded(source)) <= seen


def test_a_gpu_has_at_most_31_series_and_its_signals_come_from_some_source() -> None:
    scores = [signal for signal in SCORE_SIGNALS if signal.level is Level.GPU]
    for source in GIVEN:
        # `both_ways` is there for GPUs of which this source gives next to nothing, since another one does.
        names = {name for name in recorded(source) if not name.endswith(":both_ways")}
        assert len(names) + len(scores) <= 31, source
    assert set().union(*GIVEN.values()) == NAMES
