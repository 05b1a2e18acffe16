"""`optiinfra export dcgm`: every field that the rules read, in a form that dcgm-exporter accepts."""

import csv
import re
from pathlib import Path

from click.testing import CliRunner

from recommender.cli import main
from rules.catalog.dcgm import DCGM_COUNTERS

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT / "tests" / "data" / "captures" / "dcgm"
RULES = ROOT / "rules" / "sources" / "dcgm.yml"


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Type and help by field, read as dcgm-exporter does: comments out, fields trimmed."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    parsed = [[cell.strip() for cell in row] for row in csv.reader(lines, skipinitialspace=True)]
    assert {len(row) for row in parsed} == {3}
    return {field: (kind, text) for field, kind, text in parsed}


def exported() -> dict[str, tuple[str, str]]:
    done = CliRunner().invoke(main, ["export", "dcgm"])
    assert done.exit_code == 0, done.output
    return rows(done.output)


def test_no_field_is_exported_twice() -> None:
    assert len({counter.field for counter in DCGM_COUNTERS}) == len(DCGM_COUNTERS)


def read_by_the_rules() -> set[str]:
    """Names in full, without the prefixes of regular expressions."""
    text = re.sub(r"(?m)^\s*#.*$", "", RULES.read_text(encoding="utf-8"))
    return {name for name in re.findall(r"\bDCGM_(?:FI|EXP)_[A-Z0-9_]+\b", text) if not name.endswith("_")}


def test_every_field_that_the_rules_read_is_exported_and_nothing_else_is() -> None:
    by_name = {name: counter for counter in DCGM_COUNTERS for name in (counter.field, *counter.also)}
    assert read_by_the_rules() - by_name.keys() == set()
    read = {by_name[name].field for name in read_by_the_rules()}
    labels = {counter.field for counter in DCGM_COUNTERS if counter.kind == "label"}
    assert exported().keys() == read | labels


def test_the_rules_read_every_name_that_a_field_has() -> None:
    fields = [counter for counter in DCGM_COUNTERS if counter.kind != "label"]
    assert {name for counter in fields for name in counter.also} <= read_by_the_rules()


def test_types_are_those_that_dcgm_exporter_knows() -> None:
    assert {kind for kind, _ in exported().values()} == {"gauge", "counter", "label"}


def test_fields_that_dcgm_exporter_lists_too_keep_its_type() -> None:
    # Commented lines are fields that it offers. It types the bandwidth as a counter, which it is not, and the
    # exporter's own counts likewise; pending pages are a flag.
    text = re.sub(r"(?m)^# (?=DCGM_(FI|EXP)\w+ ?,)", "", (CAPTURES / "dcp-metrics-included.csv").read_text())
    known, ours = rows(text), exported()
    rates = {"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "DCGM_EXP_XID_ERRORS_COUNT", "DCGM_FI_DEV_RETIRED_PENDING"}
    shared = (known.keys() & ours.keys()) - rates
    assert len(shared) >= 20
    assert {field: ours[field][0] for field in shared} == {field: known[field][0] for field in shared}
