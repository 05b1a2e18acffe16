"""What is not known is named with the way to get it: for this engine, or for this node."""

from collections.abc import Callable

import pytest
import yaml

from exporters.catalog import INFERENCE_FAMILIES, Engine, load_engine
from recommender.diagnosis import diagnose
from recommender.diagnosis import missing as module
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.discriminators import DISCRIMINATORS
from recommender.diagnosis.missing import missing_of, obtain
from recommender.model import Diagnosis, DiagnosisStatus, Evidence, Fact, Placement
from rules.catalog import SIGNALS, SOURCE_COUNTERS, SOURCE_GAUGES, Bottleneck

Builder = Callable[..., Evidence]
Signals = Callable[[str], dict[str, float]]
R1, R2 = "10.0.0.1:8000", "10.0.0.2:8000"
TABLE = yaml.safe_load(module._TABLE.read_text(encoding="utf-8"))


def told(evidence: Evidence, engine: str) -> Evidence:
    """The same evidence whose replicas say which engine they are."""
    facts = {
        instance: {"engine": Fact(name="engine", value=engine, query="", instance=instance)}
        for instance in evidence.replica_readings
    }
    return evidence.model_copy(update={"replica_facts": facts})


def asked_for() -> set[str]:
    """Every signal that some class reads."""
    nothing = Evidence(service="chat", at="2026-03-01T12:00:00Z")
    scopes = (Scope(nothing), Scope(nothing, R1))
    return {
        signal
        for discriminate in DISCRIMINATORS.values()
        for scope in scopes
        for one in discriminate(scope)
        for signal in one.answer.signals
    }


def test_of_every_signal_that_is_asked_for_it_is_known_how_to_get_it() -> None:
    assert sorted(signal for signal in asked_for() if not obtain(signal, "vllm")[0]) == []


def test_the_table_speaks_of_signals_families_and_engines_that_there_are() -> None:
    stems = {name.split(":")[1] for name in (*SIGNALS, *SOURCE_GAUGES, *SOURCE_COUNTERS)}
    entries = TABLE["entries"]
    assert {one for entry in entries for one in entry["signals"]} - stems == {"threshold", "objective"}
    assert {one for entry in entries for one in entry.get("families", ())} - set(INFERENCE_FAMILIES) == set()
    engines = {one for entry in entries for key in ("engines", "never") for one in entry.get(key, ())}
    assert engines | set(TABLE["engines"]) <= {engine.value for engine in Engine}
    named = [signal for entry in entries for signal in entry["signals"]]
    assert len(named) == len(set(named))


def test_no_engine_is_said_to_tell_nothing_that_its_catalogue_has() -> None:
    """But for llama.cpp's KV usage, which builds since 2025-05 lack."""
    wrong = {
        (engine, family)
        for entry in TABLE["entries"]
        for engine in entry.get("never", ())
        for family in entry.get("families", ())
        if family in load_engine(Engine(engine)).families and len(entry["families"]) == 1
    }
    assert wrong == {("llamacpp", "llm_kv_cache_usage_ratio")}


@pytest.mark.parametrize(
    ("signal", "engine", "obtainable", "says"),
    [
        ("replica:llm_kv_cache_usage:avg2m", "sglang", True, "Start it with --enable-metrics"),
        ("replica:llm_kv_cache_usage:avg2m", "llamacpp", False, "GET /slots"),
        ("replica:llm_requests_waiting:min2m", "llamacpp", True, "Start it with --metrics"),
        ("replica:llm_requests_waiting:min2m", "ollama", False, "black-box probe (docs/blackbox.md)"),
        ("replica:llm_preemptions:rate1m", "sglang", True, "From 0.5.7 on."),
        ("replica:llm_preemptions:rate1m", "tgi", False, "never preempts"),
        ("replica:llm_ttft_seconds:p95_5m", "triton", True, "--metrics-config histogram_latencies=true"),
        ("replica:llm_ttft_seconds:p95_5m", "tgi", False, "black-box probe"),
        ("replica:llm_itl_seconds:p95_5m", "vllm", True, "From 0.10.2 on"),
        ("replica:llm_admission_fullness:ratio_avg2m", "vllm", True, "settings.max_running_requests"),
        ("replica:llm_requests_running:avg2m", None, None, "docs/engines.md"),
        ("gpu:gpu_dram_active:ratio", "vllm", True, "`optiinfra export dcgm`"),
        ("node:host_cpu_pressure:ratio_rate2m", "vllm", True, "node_exporter"),
        ("node:host_engine_busiest_thread:ratio_rate2m", None, True, "--engine-process"),
        ("a_site's:own:signal", "vllm", None, ""),
    ],
)
def test_how_to_get_a_signal_is_said_for_the_engine(
    signal: str, engine: str | None, obtainable: bool | None, says: str
) -> None:
    how, possible = obtain(signal, engine)
    assert possible is obtainable
    assert says in how


def test_what_several_replicas_lack_is_one_entry_with_one_query(evidence_of: Builder) -> None:
    known = {"replica:llm_up": 1.0, "replica:llm_requests_waiting:min2m": 5.0}
    evidence = told(evidence_of(known, (Bottleneck.ADMISSION_LIMITED,), instances=(R1, R2)), "vllm")
    found = diagnose(evidence_of(known, instances=(R1, R2)))
    running = next(one for one in found.missing if one.signal == "replica:llm_requests_running:avg2m")
    assert running.instances == (R1, R2)
    assert running.query == (
        'replica:llm_requests_running:avg2m{service="chat",instance=~"10\\\\.0\\\\.0\\\\.1:8000|10\\\\.0\\\\.0\\\\.2:8000"}'
    )
    full = next(one for one in diagnose(evidence).missing if "admission_fullness" in one.signal)
    assert (full.engine, full.obtainable) == ("vllm", True)
    assert full.how.startswith("vLLM does not export it.")


@pytest.mark.parametrize(
    ("engines", "engine"), [(("vllm", "vllm"), "vllm"), (("vllm", "tgi"), None), (("rm -rf",), None)]
)
def test_the_engine_is_named_where_all_replicas_tell_one_that_there_is(
    evidence_of: Builder, engines: tuple[str, ...], engine: str | None
) -> None:
    evidence = evidence_of({"replica:llm_up": 1.0}, instances=(R1, R2))
    facts = {
        instance: {"engine": Fact(name="engine", value=name, query="", instance=instance)}
        for instance, name in zip((R1, R2), engines, strict=False)
    }
    found = diagnose(evidence.model_copy(update={"replica_facts": facts}))
    assert {one.engine for one in found.missing if one.signal.startswith("replica:")} == {engine}


def test_a_signal_of_a_node_is_asked_for_at_the_node_and_a_replica_on_none_is_given_one(evidence_of: Builder) -> None:
    scope = Scope(evidence_of({"replica:llm_up": 1.0}, instances=(R1,)), R1)
    lacking = scope.at_least("", "node:host_cpu_busy:ratio", "host_cpu_busy_high_ratio")
    (nowhere,) = missing_of(scope.evidence, [lacking.check()])
    assert "give their targets the label node" in nowhere.how
    placed = scope.evidence.model_copy(update={"placements": {R1: Placement(node="gpu-1")}})
    lacking = Scope(placed, R1).at_least("", "node:host_cpu_busy:ratio", "host_cpu_busy_high_ratio")
    (there,) = missing_of(placed, [lacking.check()])
    assert there.query == 'node:host_cpu_busy:ratio{node="gpu-1"}'
    assert "label node (the inventory" not in there.how


def test_figures_that_prometheus_lacks_say_which_rules_give_them(evidence_of: Builder, signals: Signals) -> None:
    evidence = evidence_of(signals("saturated"), (Bottleneck.HIGH_LATENCY,), thresholds={}, objectives={})
    how = {one.signal: one.how for one in diagnose(evidence).missing}
    assert "rules/thresholds.yml" in how["service:threshold:min_ttft_events"]
    assert "services.chat.objectives" in how["service:objective:ttft_p95_seconds"]


def test_a_diagnosis_that_was_stored_before_can_still_be_read() -> None:
    stored = {
        "service": "chat",
        "at": "2026-02-01T12:00:00Z",
        "status": "diagnosed",
        "findings": [
            {
                "bottleneck": "admission_limited",
                "kind": "cause",
                "confidence": 0.8,
                "instances": [R1],
                "checks": [{"text": "batch limit in use 100 %", "agrees": True, "readings": []}],
            }
        ],
        "missing": ["replica:llm_kv_cache_usage:avg2m"],
        "text": "chat: the batch limit keeps requests waiting",
    }
    read = Diagnosis.model_validate(stored)
    assert read.missing[0].query == "replica:llm_kv_cache_usage:avg2m"
    assert read.root is not None
    assert read.root.role is None
    assert Diagnosis.model_validate_json(read.model_dump_json()) == read


LOAD = {"replica:llm_up": 1.0, "replica:llm_requests_running:avg2m": 1.0, "replica:llm_requests_waiting:avg2m": 0.0}


def test_an_engine_is_healthy_without_what_no_version_of_it_tells_and_that_is_said(evidence_of: Builder) -> None:
    found = diagnose(told(evidence_of(LOAD, instances=(R1,)), "llamacpp"))
    assert found.status is DiagnosisStatus.HEALTHY
    assert [one.signal for one in found.missing] == ["replica:llm_kv_cache_usage:avg2m"]
    assert "not judged: replica:llm_kv_cache_usage:avg2m, which it never tells" in found.text


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_one_that_could_tell_it_is_not(evidence_of: Builder, engine: str) -> None:
    assert diagnose(told(evidence_of(LOAD, instances=(R1,)), engine)).status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE


def test_an_engine_that_tells_nothing_of_its_load_is_never_healthy(evidence_of: Builder) -> None:
    evidence = told(evidence_of({"replica:llm_up": 1.0}, instances=(R1,)), "ollama")
    assert diagnose(evidence).status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
