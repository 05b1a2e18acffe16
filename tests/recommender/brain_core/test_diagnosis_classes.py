"""Every class: what holds is the root, what looks like it is rejected, and of what is not known nothing is said."""

from collections.abc import Callable

import pytest

from recommender.diagnosis import CONFIDENCE_FLOOR, PRECEDENCE, diagnose
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.discriminators import DISCRIMINATORS
from recommender.diagnosis.symptoms import TITLES
from recommender.model import CheckWeight, DiagnosisStatus, Evidence, FindingRole
from rules.catalog import Bottleneck
from tests.recommender.brain_core import test_brain_capacity, test_brain_fleet, test_brain_hardware

Builder = Callable[..., Evidence]
Signals = Callable[[str], dict[str, float]]

FULL, WAITING = "replica:llm_admission_fullness:ratio_avg2m", "replica:llm_requests_waiting:min2m"
KV, KV_PEAK = "replica:llm_kv_cache_usage:avg2m", "replica:llm_kv_cache_usage:max2m"
PREEMPTED, PREEMPTED_EACH = "replica:llm_preemptions:rate1m", "replica:llm_preemptions_per_request:ratio_rate5m"
TTFT, ITL = "replica:llm_ttft_seconds:p95_5m", "replica:llm_itl_seconds:p95_5m"
QUEUE_SHARE = "replica:llm_queue_share_of_ttft:ratio_rate5m"

# Readings of each replica that confirm a class, and those of its look-alikes by what these are.
CASES: dict[Bottleneck, tuple[dict[str, float], dict[str, dict[str, float]]]] = {
    Bottleneck.TARGET_DOWN: ({"replica:llm_up": 0.0}, {"a restart that is over": {"replica:llm_up": 1.0}}),
    Bottleneck.ENGINE_FROZEN: (
        {"replica:llm_requests_running": 3.0, "replica:llm_generation_tokens:rate30s": 0.0},
        {
            "idle": {"replica:llm_requests_running": 0.0, "replica:llm_generation_tokens:rate30s": 0.0},
            "works": {"replica:llm_requests_running": 3.0, "replica:llm_generation_tokens:rate30s": 80.0},
        },
    ),
    Bottleneck.KV_CACHE_PRESSURE: (
        {KV: 0.95, KV_PEAK: 0.99, WAITING: 7.0, FULL: 0.6, PREEMPTED: 1.0, PREEMPTED_EACH: 0.2, QUEUE_SHARE: 0.8},
        {
            "a full and healthy batch": {KV: 0.97, KV_PEAK: 0.99, WAITING: 0.0, PREEMPTED: 0.0, PREEMPTED_EACH: 0.0},
            "requests that wait for slots": {KV: 0.2, KV_PEAK: 0.3, WAITING: 7.0, PREEMPTED: 0.0, PREEMPTED_EACH: 0.0},
        },
    ),
    Bottleneck.ADMISSION_LIMITED: (
        {FULL: 1.0, WAITING: 7.0, KV: 0.2, PREEMPTED: 0.0, QUEUE_SHARE: 0.9, ITL: 0.02},
        {
            "KV pressure": {FULL: 1.0, WAITING: 7.0, KV: 0.95, PREEMPTED: 0.0},
            "the token budget": {FULL: 0.4, WAITING: 7.0, KV: 0.2, PREEMPTED: 0.0},
            "a limit before the engine": {FULL: 1.0, WAITING: 0.0, KV: 0.2, PREEMPTED: 0.0},
        },
    ),
    Bottleneck.HOST_CPU_SATURATION: (
        {"node:host_cpu_busy:ratio": 0.95, "gpu:gpu_utilization:ratio": 0.2},
        {
            "a busy host whose engine keeps its promise": {
                "node:host_cpu_busy:ratio": 0.95,
                "gpu:gpu_utilization:ratio": 0.9,
                ITL: 0.02,
                TTFT: 0.5,
            },
            "late for another reason": {
                "node:host_cpu_busy:ratio": 0.3,
                "node:host_cpu_pressure:ratio_rate2m": 0.0,
                ITL: 0.5,
            },
        },
    ),
    Bottleneck.GPU_MEMORY_PRESSURE: (
        {"gpu:gpu_memory_used:ratio": 0.985, "gpu:gpu_memory_free_bytes": 1e9},
        {"memory that was freed": {"gpu:gpu_memory_used:ratio": 0.5, "gpu:gpu_memory_free_bytes": 4e10}},
    ),
    Bottleneck.CACHE_INEFFICIENCY: (
        {"service:llm_prefix_cache_hit:ratio_rate5m": 0.02, "service:llm_request_prompt_tokens:mean_5m": 3000.0},
        {
            "KV pressure evicts": {
                "service:llm_prefix_cache_hit:ratio_rate5m": 0.02,
                "service:llm_request_prompt_tokens:mean_5m": 3000.0,
                "service:llm_kv_cache_usage:max": 0.98,
            },
            "short prompts": {
                "service:llm_prefix_cache_hit:ratio_rate5m": 0.02,
                "service:llm_request_prompt_tokens:mean_5m": 90.0,
            },
        },
    ),
    Bottleneck.QUEUE_BUILDUP: (
        {"service:llm_requests_waiting:sum": 40.0, "service:llm_queue_share_of_ttft:ratio_rate5m": 0.9},
        {"a burst that is over": {"service:llm_requests_waiting:sum": 0.0}},
    ),
    Bottleneck.HIGH_LATENCY: (
        {"service:llm_ttft_seconds:p95_5m": 9.0},
        {
            "longer answers": {"service:llm_ttft_seconds:p95_5m": 0.5, "service:llm_itl_seconds:p95_5m": 0.02},
            "too few requests": {
                "service:llm_ttft_seconds:p95_5m": 9.0,
                "service:llm_ttft_seconds_events:count5m": 3.0,
            },
        },
    ),
    Bottleneck.LOW_THROUGHPUT: (
        {WAITING: 4.0, "replica:llm_generation_tokens_capability:max1d": 900.0},
        {"low traffic": {WAITING: 0.0, "replica:llm_generation_tokens_capability:max1d": 900.0}},
    ),
    Bottleneck.SLO_BURN: ({"service:llm_ttft_seconds:p95_5m": 9.0}, {}),  # its windows are Prometheus's
}
SYMPTOMS = {
    Bottleneck.QUEUE_BUILDUP,
    Bottleneck.HIGH_LATENCY,
    Bottleneck.LOW_THROUGHPUT,
    Bottleneck.SLO_BURN,
}
LOOK_ALIKES = [(bottleneck, name) for bottleneck, (_, others) in CASES.items() for name in others]


def build(evidence_of: Builder, signals: Signals, shown: dict[str, float], bottleneck: Bottleneck) -> Evidence:
    of_service = {name.replace(":", "__"): value for name, value in shown.items() if name.startswith("service:")}
    of_replica = {name: value for name, value in shown.items() if not name.startswith("service:")}
    return evidence_of(signals("steady") | of_replica, (bottleneck,), **of_service)


def test_every_class_has_discriminators_a_place_a_title_and_a_case() -> None:
    classes = set(Bottleneck) - {Bottleneck.NONE}
    elsewhere = {*test_brain_capacity.CASES, *test_brain_fleet.CASES, *test_brain_hardware.CASES}
    assert set(DISCRIMINATORS) == set(PRECEDENCE) == set(TITLES) == classes
    assert len(PRECEDENCE) == len(classes)
    assert elsewhere | set(CASES) == classes


@pytest.mark.parametrize("bottleneck", [one for one in CASES if one not in SYMPTOMS])
def test_a_cause_that_is_confirmed_is_the_root(evidence_of: Builder, signals: Signals, bottleneck: Bottleneck) -> None:
    diagnosis = diagnose(build(evidence_of, signals, CASES[bottleneck][0], bottleneck))
    assert diagnosis.status is DiagnosisStatus.DIAGNOSED, diagnosis.text
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is bottleneck
    assert diagnosis.root.role is FindingRole.ROOT
    assert diagnosis.root.confidence >= CONFIDENCE_FLOOR
    assert diagnosis.root.agrees


@pytest.mark.parametrize("bottleneck", sorted(SYMPTOMS))
def test_a_symptom_that_is_confirmed_is_none(evidence_of: Builder, signals: Signals, bottleneck: Bottleneck) -> None:
    diagnosis = diagnose(build(evidence_of, signals, CASES[bottleneck][0], bottleneck))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    (finding,) = diagnosis.findings
    assert finding.role is FindingRole.SYMPTOM
    assert finding.confidence == 1.0
    assert "no cause is confirmed" in diagnosis.text


@pytest.mark.parametrize(("bottleneck", "name"), LOOK_ALIKES)
def test_a_look_alike_is_shown_as_rejected_with_what_speaks_against_it(
    evidence_of: Builder, signals: Signals, bottleneck: Bottleneck, name: str
) -> None:
    diagnosis = diagnose(build(evidence_of, signals, CASES[bottleneck][1][name], bottleneck), frozenset({bottleneck}))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    (rejected,) = diagnosis.rejected
    assert rejected.bottleneck is bottleneck
    assert rejected.confidence == rejected.agreement == 0.0
    assert rejected.disagrees
    assert rejected.notes[0].startswith("Rejected, it looks like ")
    assert "that would be" in rejected.disagrees[0]


@pytest.mark.parametrize("bottleneck", PRECEDENCE)
def test_a_condition_of_which_nothing_else_is_known_is_not_acted_on(
    evidence_of: Builder, bottleneck: Bottleneck
) -> None:
    evidence = evidence_of({}, (bottleneck,)).model_copy(update={"service_readings": {}})
    diagnosis = diagnose(evidence, frozenset({bottleneck}))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert diagnosis.root is None
    assert diagnosis.missing
    assert all(one.query for one in diagnosis.missing)


@pytest.mark.parametrize("bottleneck", PRECEDENCE)
def test_what_disagrees_says_what_it_is_instead(evidence_of: Builder, bottleneck: Bottleneck) -> None:
    asked = DISCRIMINATORS[bottleneck](Scope(evidence_of({}), "10.0.0.1:8000"))
    assert asked
    assert [one.answer.text for one in asked if not one.otherwise and one.weight is CheckWeight.DEFINING] == []
