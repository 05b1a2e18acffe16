"""The source rules are generated, committed, and record exactly the source signals."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from exporters.catalog import Engine, load_engine
from rules.build import HEADER, SOURCES_DIR, source_files
from rules.catalog import HISTOGRAMS, SOURCE_COUNTERS, SOURCE_EXTRA_WINDOWS, SOURCE_GAUGES, SOURCE_WINDOWS
from rules.cli import build

TESTS_DIR = SOURCES_DIR.parent / "tests"
COUNTERS = {
    f"{stem}:rate{window}": family
    for stem, family in SOURCE_COUNTERS.items()
    for window in (*SOURCE_WINDOWS, *SOURCE_EXTRA_WINDOWS.get(stem, ()))
}
BUCKETS = {
    f"{stem}{part}:rate{window}": family
    for stem, family in HISTOGRAMS.items()
    for part in ("_bucket", "_sum", "_count")
    for window in SOURCE_WINDOWS
}
SIGNALS = {**SOURCE_GAUGES, **COUNTERS, **BUCKETS}


def recorded(text: str) -> list[str]:
    return [rule["record"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", source_files())
def test_the_committed_file_is_what_the_catalogue_gives(name: str) -> None:
    assert (SOURCES_DIR / name).read_text(encoding="utf-8") == source_files()[name], "run: optiinfra build rules"


def test_generation_is_deterministic_and_marked() -> None:
    assert source_files() == source_files()
    assert all(text.startswith(HEADER) for text in source_files().values())


def test_the_prober_source_records_every_source_signal_once() -> None:
    assert sorted(recorded(source_files()["optiinfra.yml"])) == sorted(SIGNALS)


@pytest.mark.parametrize("engine", Engine)
def test_a_direct_source_records_the_signals_of_the_families_that_the_engine_gives(engine: Engine) -> None:
    catalogue = load_engine(engine)
    given = {"llm_up", *catalogue.families, *catalogue.numbers}
    signals = [record for record in recorded(source_files()[f"{engine.value}.yml"]) if record.startswith("replica:")]
    assert sorted(signals) == sorted(record for record, family in SIGNALS.items() if family in given)


def test_recorded_names_of_steps_are_named_after_their_level() -> None:
    steps = {r for r in recorded(source_files()["vllm.yml"]) if not r.startswith("replica:")}
    assert steps == {"optiinfra:digit", "instance:vllm_cache_config:labels", "instance:vllm_cache_config:number"}


def test_promtool_accepts_the_rules_and_the_unit_tests_pass() -> None:
    files = [str(SOURCES_DIR / name) for name in source_files()]
    subprocess.run(["promtool", "check", "rules", *files], check=True, capture_output=True, text=True)
    for test in sorted(TESTS_DIR.glob("sources_*.test.yml")):
        done = subprocess.run(["promtool", "test", "rules", str(test)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_check_fails_on_a_stale_file_and_names_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(build, ["--out", str(tmp_path)]).exit_code == 0
    assert run(build, ["--out", str(tmp_path), "--check"]).exit_code == 0
    (tmp_path / "vllm.yml").write_text("groups: []\n")
    stale = run(build, ["--out", str(tmp_path), "--check"])
    assert stale.exit_code == 1
    assert re.search(r"vllm\.yml differ .* optiinfra build rules", stale.output)
    assert (tmp_path / "vllm.yml").read_text() == "groups: []\n"
