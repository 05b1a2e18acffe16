"""Root against symptom: by what a class does, where, and whether it does harm, and not by precedence alone."""

from collections.abc import Callable
from itertools import permutations

import pytest

from recommender.diagnosis import PRECEDENCE, diagnose
from recommender.diagnosis.chains import edges, longest
from recommender.diagnosis.judge import consider
from recommender.diagnosis.relations import before
from recommender.model import Confirmation, Diagnosis, DiagnosisStatus, Evidence, Placement
from recommender.model import FindingRole as Role
from rules.catalog import Bottleneck
from tests.recommender.brain_core.test_diagnosis_classes import CASES, ITL, QUEUE_SHARE, TTFT

Builder = Callable[..., Evidence]
Signals = Callable[[str], dict[str, float]]
B = Bottleneck
R1, R2, R3 = "10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"
LIMITED, PRESSED = CASES[B.ADMISSION_LIMITED][0], CASES[B.KV_CACHE_PRESSURE][0]
SHORT = {
    "node:host_memory_available:ratio": 0.04,
    "node:host_memory_pressure_some:ratio_rate2m": 0.0,
    "node:host_memory_pressure_full:ratio_rate2m": 0.0,
    "node:host_oom_kills:increase30m": 0.0,
}


def at(evidence: Evidence, **places: tuple[str, ...] | dict[str, object]) -> Evidence:
    """The same evidence whose confirmations hold at other places, or in other forms, by the name of the class."""

    def moved(one: Confirmation) -> Confirmation:
        to = places.get(one.bottleneck.value)
        if to is None:
            return one
        return one.model_copy(update=to if isinstance(to, dict) else {"instances": to})

    return evidence.model_copy(update={"confirmed": tuple(moved(one) for one in evidence.confirmed)})


def shown_on(evidence: Evidence, instance: str, values: dict[str, float]) -> Evidence:
    """The same evidence in which one replica reads otherwise."""
    readings = {name: dict(found) for name, found in evidence.replica_readings.items()}
    for signal, value in values.items():
        like = next(iter(readings[instance].values()))
        readings[instance][signal] = like.model_copy(update={"name": signal, "value": value})
    return evidence.model_copy(update={"replica_readings": readings})


def roles(diagnosis: Diagnosis) -> dict[Bottleneck, Role | None]:
    return {finding.bottleneck: finding.role for finding in diagnosis.findings}


def test_a_replica_that_is_away_is_why_its_siblings_are_full_and_the_chain_says_so(
    evidence_of: Builder, signals: Signals
) -> None:
    holds = (B.TARGET_DOWN, B.KV_CACHE_PRESSURE, B.QUEUE_BUILDUP, B.HIGH_LATENCY)
    evidence = at(evidence_of(signals("saturated") | PRESSED, holds), target_down=(R3,), kv_cache_pressure=(R1, R2))
    diagnosis = diagnose(shown_on(evidence, R3, {"replica:llm_up": 0.0}))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.TARGET_DOWN
    assert [link.text for link in diagnosis.chain] == [
        "latency is over its objective",
        "requests queue up",
        f"the KV cache limits the batch on {R1}, {R2}",
        f"an engine does not answer on {R3}",
    ]
    assert f"It also explains that the KV cache limits the batch on {R1}, {R2}." in diagnosis.text
    assert set(roles(diagnosis).values()) == {Role.ROOT, Role.CONSEQUENCE}


@pytest.mark.parametrize(
    ("away", "broken", "root"),
    [
        ((R1,), (R1,), B.GPU_FAULT),
        ((R1,), (R1, R2), B.GPU_FAULT),
        ((R1,), (R2,), B.TARGET_DOWN),
        ((R1, R3), (R1,), B.TARGET_DOWN),  # the other has a reason of its own
    ],
)
def test_a_broken_gpu_is_why_the_engine_on_it_is_away_and_no_other(
    evidence_of: Builder, signals: Signals, away: tuple[str, ...], broken: tuple[str, ...], root: Bottleneck
) -> None:
    down = signals("steady") | {"replica:llm_up": 0.0, "gpu:gpu_up": 0.0}
    evidence = at(evidence_of(down, (B.TARGET_DOWN, B.GPU_FAULT)), target_down=away, gpu_fault=broken)
    diagnosis = diagnose(evidence, frozenset({B.TARGET_DOWN}))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is root


@pytest.mark.parametrize(("kills", "root"), [(1.0, B.HOST_MEMORY_PRESSURE), (0.0, B.TARGET_DOWN)])
def test_short_memory_is_why_an_engine_is_away_only_where_a_process_was_killed(
    evidence_of: Builder, signals: Signals, kills: float, root: Bottleneck
) -> None:
    down = signals("steady") | SHORT | {"replica:llm_up": 0.0, "node:host_oom_kills:increase30m": kills}
    diagnosis = diagnose(evidence_of(down, (B.TARGET_DOWN, B.HOST_MEMORY_PRESSURE)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is root


def test_memory_that_is_held_on_purpose_hides_no_limit_and_is_told_when_it_is_asked_for(
    evidence_of: Builder, signals: Signals
) -> None:
    both = evidence_of(signals("saturated") | LIMITED | SHORT, (B.HOST_MEMORY_PRESSURE, B.ADMISSION_LIMITED))
    diagnosis = diagnose(both)
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.ADMISSION_LIMITED
    assert roles(diagnosis)[B.HOST_MEMORY_PRESSURE] is Role.HARMLESS
    alone = diagnose(evidence_of(signals("steady") | SHORT, (B.HOST_MEMORY_PRESSURE,)))
    assert alone.root is not None
    assert alone.root.notes[0] == "It does no harm here, like memory that is held on purpose, for KV or weights."
    assert alone.text.endswith("It does no harm here now.")


def test_device_memory_that_fills_slows_nothing_and_hides_no_queue(evidence_of: Builder, signals: Signals) -> None:
    shown = signals("saturated") | PRESSED | CASES[B.GPU_MEMORY_PRESSURE][0]
    diagnosis = diagnose(evidence_of(shown, (B.GPU_MEMORY_PRESSURE, B.KV_CACHE_PRESSURE, B.QUEUE_BUILDUP)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.KV_CACHE_PRESSURE
    assert roles(diagnosis)[B.GPU_MEMORY_PRESSURE] is Role.APART


def test_slots_do_not_explain_slow_steps(evidence_of: Builder, signals: Signals) -> None:
    shown = signals("saturated") | LIMITED | {ITL: 0.5}
    evidence = at(
        evidence_of(shown, (B.ADMISSION_LIMITED, B.HIGH_LATENCY)), high_latency={"kinds": ("itl_p95_seconds",)}
    )
    asked = diagnose(evidence, frozenset({B.HIGH_LATENCY}))
    assert asked.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    of_slots = diagnose(evidence, frozenset({B.ADMISSION_LIMITED}))
    assert of_slots.root is not None
    assert "It does not explain that latency is over its objective." in of_slots.text
    assert of_slots.chain == ()


@pytest.mark.parametrize(("full", "root"), [((R1,), B.REPLICA_IMBALANCE), ((R1, R2, R3), B.ADMISSION_LIMITED)])
def test_a_full_replica_beside_an_idle_one_is_a_matter_of_spreading(
    evidence_of: Builder, signals: Signals, full: tuple[str, ...], root: Bottleneck
) -> None:
    uneven = {"service__llm_load__skew_ratio": 2.6, "service__llm_requests_waiting__sum": 30.0}
    holds = (B.ADMISSION_LIMITED, B.REPLICA_IMBALANCE, B.QUEUE_BUILDUP)
    evidence = evidence_of(signals("saturated") | LIMITED, holds, **uneven)
    diagnosis = diagnose(at(evidence, admission_limited=full, replica_imbalance=()))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is root


def test_clients_that_give_up_are_a_symptom_of_what_makes_them_wait(evidence_of: Builder, signals: Signals) -> None:
    aborted = {"service__llm_request_aborts__ratio_rate5m": 0.3}
    holds = (B.ADMISSION_LIMITED, B.REQUEST_ERRORS, B.HIGH_LATENCY)
    evidence = evidence_of(signals("saturated") | LIMITED | {TTFT: 9.0}, holds, **aborted)
    diagnosis = diagnose(at(evidence, request_errors={"kinds": ("abort",), "instances": ()}))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.ADMISSION_LIMITED
    assert roles(diagnosis)[B.REQUEST_ERRORS] is Role.CONSEQUENCE


@pytest.mark.parametrize(("hot", "role"), [(R1, Role.CONSEQUENCE), (R2, Role.APART)])
def test_heat_explains_the_straggler_that_it_slows_and_no_other(
    evidence_of: Builder, signals: Signals, hot: str, role: Role
) -> None:
    shown = signals("steady") | {
        "replica:llm_itl_seconds:robust_z": 6.0,
        "replica:llm_itl_seconds:ratio_of_median": 1.6,
        "gpu:gpu_throttled_thermal:ratio_rate5m": 0.4,
        "gpu:gpu_power_brake:ratio_avg5m": 0.0,
        "gpu:gpu_sm_clock:ratio": 0.6,
    }
    evidence = evidence_of(shown, (B.REPLICA_STRAGGLER, B.GPU_THERMAL_THROTTLE))
    diagnosis = diagnose(at(evidence, replica_straggler=(R1,), gpu_thermal_throttle=(hot,)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.GPU_THERMAL_THROTTLE
    assert roles(diagnosis)[B.REPLICA_STRAGGLER] is role


def test_heat_that_costs_nothing_hides_no_limit(evidence_of: Builder, signals: Signals) -> None:
    warm = {
        "gpu:gpu_throttled_thermal:ratio_rate5m": 0.06,
        "gpu:gpu_power_brake:ratio_avg5m": 0.0,
        "gpu:gpu_sm_clock:ratio": 0.99,
        TTFT: 0.5,
    }
    diagnosis = diagnose(
        evidence_of(signals("saturated") | LIMITED | warm, (B.GPU_THERMAL_THROTTLE, B.ADMISSION_LIMITED))
    )
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.ADMISSION_LIMITED


def test_spare_capacity_is_why_tokens_are_dear(evidence_of: Builder, signals: Signals) -> None:
    spare = {
        "service__llm_scale_in__safe": 1.0,
        "service__llm_scale_in_usage__max": 0.3,
        "service__llm_scale_in_replicas__count": 2.0,
        "service__llm_cost_per_million_tokens__ratio_of_week": 2.5,
    }
    evidence = evidence_of(signals("steady"), (B.COST_PER_TOKEN, B.OVER_PROVISIONED), **spare)
    diagnosis = diagnose(at(evidence, cost_per_token=(), over_provisioned=()))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is B.OVER_PROVISIONED
    assert roles(diagnosis)[B.COST_PER_TOKEN] is Role.CONSEQUENCE


def test_a_queue_that_is_not_in_the_first_token_does_not_explain_it(evidence_of: Builder, signals: Signals) -> None:
    shown = signals("saturated") | {QUEUE_SHARE: 0.1, "replica:llm_prefill_share_of_ttft:ratio_rate5m": 0.8, TTFT: 9.0}
    evidence = evidence_of(shown, (B.PREFILL_BOUND, B.QUEUE_BUILDUP, B.HIGH_LATENCY))
    diagnosis = diagnose(evidence)
    assert [link.bottleneck for link in diagnosis.chain] == [B.QUEUE_BUILDUP, B.PREFILL_BOUND]
    assert roles(diagnosis)[B.HIGH_LATENCY] is Role.CONSEQUENCE


def test_gpus_that_are_not_known_to_be_its_own_and_neighbours_are_said(evidence_of: Builder, signals: Signals) -> None:
    shown = signals("steady") | {"gpu:gpu_power_brake:ratio_avg5m": 0.3}
    guessed = Placement(
        node="gpu-1", gpus=("gpu-1/0", "gpu-1/1"), gpus_are_its_own=False, others=("embed/10.0.0.1:9000",)
    )
    evidence = evidence_of(shown, (B.GPU_POWER_BRAKE,)).model_copy(update={"placements": {R1: guessed}})
    diagnosis = diagnose(at(evidence, gpu_power_brake=(R1,)))
    assert diagnosis.root is not None
    whose, others = diagnosis.root.notes
    assert whose.startswith("Which GPUs of gpu-1 are whose is not known: the worst of a node counts.")
    assert others == "Other services run there too: embed/10.0.0.1:9000 on gpu-1."


def test_the_replicas_on_which_it_only_looks_alike_are_named(evidence_of: Builder, signals: Signals) -> None:
    evidence = shown_on(
        evidence_of(signals("saturated") | LIMITED, (B.ADMISSION_LIMITED,)),
        R3,
        {"replica:llm_kv_cache_usage:avg2m": 0.95},
    )
    root = diagnose(evidence).root
    assert root is not None
    assert root.instances == (R1, R2)
    assert root.notes == (f"Not on {R3} (mean KV usage 95 %, at or above 75 %).",)


def test_what_holds_in_many_places_is_told_in_one_line(evidence_of: Builder, signals: Signals) -> None:
    many = tuple(f"10.0.1.{number}:8000" for number in range(20))
    shown = signals("steady") | CASES[B.HOST_CPU_SATURATION][0]
    placements = {
        instance: Placement(node=f"n{number:02}", gpus=("a", "b"), gpus_are_its_own=False)
        for number, instance in enumerate(many)
    }
    evidence = evidence_of(shown, (B.HOST_CPU_SATURATION,), instances=many)
    held = at(evidence, host_cpu_saturation={"nodes": ("n00", "n01")}).model_copy(update={"placements": placements})
    diagnosis = diagnose(held)
    assert diagnosis.root is not None
    assert diagnosis.root.notes[0].startswith("Which GPUs of n00, n01, n02, n03 and 16 more are whose is not known")
    assert "and 16 more (node n00, n01): host CPU 95 %" in diagnosis.text


def test_no_two_classes_explain_each_other() -> None:
    kinds = [(symptom, bottleneck) for symptom in (False, True) for bottleneck in PRECEDENCE]
    assert [(one, two) for one, two in permutations(kinds, 2) if before(one, two) and before(two, one)] == []


def test_a_chain_ends_even_where_everything_holds(evidence_of: Builder, signals: Signals) -> None:
    evidence = evidence_of(signals("saturated"), PRECEDENCE)
    findings = [
        consider(evidence, one.bottleneck, [one]).model_copy(update={"role": None}) for one in evidence.confirmed
    ]
    follows = edges(evidence, findings)
    assert all(len(longest(follows, one)) <= len(PRECEDENCE) for one in PRECEDENCE)
    assert sum(map(len, follows.values())) > len(PRECEDENCE)
