"""The source rules are generated, committed, and record exactly the source signals."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.catalog import COMPANIONS, INFERENCE_FAMILIES, Engine, EngineCatalogue, Kind, load_engine
from rules import plain_yaml
from rules.build import HEADER, SOURCES_DIR, source_files
from rules.catalog import (
    HISTOGRAMS,
    SERVICE_BUCKETS,
    SOURCE_COUNTERS,
    SOURCE_GAUGES,
    SOURCE_INFOS,
    service_stem,
    source_windows,
)
from rules.cli import build

COUNTERS = {
    f"{stem}:rate{window}": family for stem, family in SOURCE_COUNTERS.items() for window in source_windows(stem)
}
PARTS = {
    f"{stem}{part}:rate{window}": (family, part)
    for stem, family in HISTOGRAMS.items()
    for part in ("_bucket", "_sum", "_count")
    for window in source_windows(stem, part)
}
SIGNALS = {**SOURCE_GAUGES, **SOURCE_INFOS, **COUNTERS, **{record: family for record, (family, _) in PARTS.items()}}
SERVICE_SIGNALS = {
    f"{service_stem(stem)}_bucket:{what}": HISTOGRAMS[stem] for stem in SERVICE_BUCKETS for what in ("rate5m", "series")
}
FILES = source_files()
EXPOSING = [engine for engine in Engine if load_engine(engine).families]


def recorded(text: str) -> list[str]:
    return [rule["record"] for group in plain_yaml.parse(text)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_what_the_catalogue_gives(name: str) -> None:
    assert (SOURCES_DIR / name).read_text(encoding="utf-8") == FILES[name], "run: optiinfra build rules"


def test_generation_is_deterministic_and_marked() -> None:
    assert source_files() == FILES
    assert all(text.startswith(HEADER) for text in FILES.values())


def test_the_prober_source_records_every_source_signal_once() -> None:
    assert sorted(recorded(FILES["optiinfra.yml"])) == sorted(SIGNALS | SERVICE_SIGNALS)


def gives(catalogue: EngineCatalogue, record: str, family: str) -> bool:
    """Whether the engine's own series hold what a signal records."""
    if family == "llm_up":
        return catalogue.engine not in COMPANIONS
    mapping = catalogue.families.get(family)
    if mapping is None:
        return family in catalogue.numbers or family in catalogue.texts
    return "_bucket:" not in record or any(source.count is None for source in mapping.sources)


def test_an_engine_with_an_exposition_has_a_source_and_no_other_has() -> None:
    assert FILES.keys() == {"optiinfra.yml", *(f"{engine.value}.yml" for engine in EXPOSING)}
    assert set(Engine) - set(EXPOSING) == {Engine.OLLAMA}
    unknown = {path.name for path in SOURCES_DIR.glob("*.yml") if path.read_text(encoding="utf-8").startswith(HEADER)}
    assert unknown == FILES.keys(), "a generated file whose engine is gone"


@pytest.mark.parametrize("engine", EXPOSING)
def test_a_direct_source_records_the_signals_of_the_families_that_the_engine_gives(engine: Engine) -> None:
    catalogue = load_engine(engine)
    signals = [
        record for record in recorded(FILES[f"{engine.value}.yml"]) if record.startswith(("replica:", "service:"))
    ]
    every = SIGNALS | SERVICE_SIGNALS
    assert sorted(signals) == sorted(record for record, family in every.items() if gives(catalogue, record, family))


def test_a_source_signal_records_a_family_of_its_kind() -> None:
    kinds = {
        Kind.INFO: SOURCE_INFOS,
        Kind.GAUGE: SOURCE_GAUGES,
        Kind.COUNTER: SOURCE_COUNTERS,
        Kind.HISTOGRAM: HISTOGRAMS,
    }
    for kind, signals in kinds.items():
        found = {family: INFERENCE_FAMILIES[family].kind for family in signals.values() if family != "llm_up"}
        assert set(found.values()) == {kind}


@pytest.mark.parametrize("engine", EXPOSING)
def test_a_fleet_of_another_engine_is_not_looked_at(engine: Engine) -> None:
    """Next to nothing is read for an engine that no job scrapes directly, however many replicas the prober reads."""
    for group in plain_yaml.parse(FILES[f"{engine.value}.yml"])["groups"]:
        first, *rest = group["rules"]
        assert first["record"] == "instance:llm_up:both_ways"
        for rule in rest:
            read = set(re.findall(r"(?<![\w:])(?:instance:)?llm_[\w:]+|\bup\{[^}]*\}", rule["expr"]))
            assert read <= {"instance:llm_up:both_ways", f'up{{job="{engine.value}"}}'}, rule["record"]


def test_recorded_names_of_steps_are_named_after_their_level() -> None:
    steps = {r for r in recorded(FILES["vllm.yml"]) if not r.startswith(("replica:", "service:"))}
    assert steps == {
        "instance:llm_up:both_ways",
        "optiinfra:digit",
        "instance:vllm_cache_config:labels",
        "optiinfra:vllm_cache_config:text",
        "optiinfra:vllm_cache_config:number",
        "instance:vllm_cache_config:number",
    }


def test_check_fails_on_a_stale_file_and_names_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(build, ["--out", str(tmp_path)]).exit_code == 0
    assert run(build, ["--out", str(tmp_path), "--check"]).exit_code == 0
    (tmp_path / "vllm.yml").write_text("groups: []\n")
    stale = run(build, ["--out", str(tmp_path), "--check"])
    assert stale.exit_code == 1
    assert re.search(r"vllm\.yml differ .* optiinfra build rules", stale.output)
    assert (tmp_path / "vllm.yml").read_text() == "groups: []\n"
