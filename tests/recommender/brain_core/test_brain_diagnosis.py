"""Diagnosis of the captured states, of their look-alikes, and of what is not known."""

from collections.abc import Callable

import pytest

from recommender.diagnosis import CONFIDENCE_FLOOR, diagnose
from recommender.model import Confirmation, Diagnosis, DiagnosisStatus, Evidence
from rules.catalog import Bottleneck, BottleneckKind

Builder = Callable[..., Evidence]
REPLICA_1 = "10.0.0.1:8000"


def _hint(*bottlenecks: Bottleneck) -> frozenset[Bottleneck]:
    return frozenset(bottlenecks)


def _queries(diagnosis: Diagnosis) -> list[str]:
    return [one.query for one in diagnosis.missing]


@pytest.mark.parametrize("name", ["idle", "light", "steady", "prefix_hits"])
def test_a_state_without_a_bottleneck_is_healthy(state: Builder, name: str) -> None:
    diagnosis = diagnose(state(name))
    assert diagnosis.status is DiagnosisStatus.HEALTHY
    assert diagnosis.root is None
    assert diagnosis.missing == ()


def test_the_saturated_state_is_admission_limited_and_its_symptoms_follow(state: Builder) -> None:
    diagnosis = diagnose(state("saturated", limit=16), _hint(Bottleneck.ADMISSION_LIMITED))
    assert diagnosis.status is DiagnosisStatus.DIAGNOSED
    assert [finding.bottleneck for finding in diagnosis.findings] == [
        Bottleneck.ADMISSION_LIMITED,
        Bottleneck.QUEUE_BUILDUP,
        Bottleneck.HIGH_LATENCY,
    ]
    assert diagnosis.findings[0].confidence == 1.0
    assert len(diagnosis.findings[0].instances) == 3
    assert "mean KV usage 1.64 %, below 75 %" in diagnosis.text
    assert "Because of it requests queue up and latency is over its objective." in diagnosis.text


def test_the_kv_pressure_state_is_kv_cache_pressure_without_a_known_batch_limit(state: Builder) -> None:
    diagnosis = diagnose(state("kv_pressure"), _hint(Bottleneck.KV_CACHE_PRESSURE))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.KV_CACHE_PRESSURE
    assert diagnosis.root.confidence == pytest.approx(0.8)  # 4 of 5: how full the batch is, is unknown
    assert _queries(diagnosis) == [
        f'replica:llm_admission_fullness:ratio_avg2m{{service="chat",instance="{REPLICA_1}"}}'
    ]
    assert "preemptions per finished request 3.06, at or above 0.05" in diagnosis.text


@pytest.mark.parametrize("hint", [Bottleneck.QUEUE_BUILDUP, Bottleneck.HIGH_LATENCY])
def test_a_symptom_leads_to_its_cause(state: Builder, hint: Bottleneck) -> None:
    diagnosis = diagnose(state("saturated", limit=16), _hint(hint))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.ADMISSION_LIMITED


def test_a_symptom_without_a_confirmed_cause_says_where_the_time_goes_and_what_is_missing(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder
) -> None:
    evidence = evidence_of(signals("saturated"), (Bottleneck.QUEUE_BUILDUP, Bottleneck.HIGH_LATENCY))
    diagnosis = diagnose(evidence, _hint(Bottleneck.QUEUE_BUILDUP))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert "no cause is confirmed" in diagnosis.text
    assert "240 requests wait while 46.5 run." in diagnosis.text
    assert "99.3 % of it is queueing" in diagnosis.text
    assert any("admission_fullness" in query for query in _queries(diagnosis))
    assert all(finding.kind is BottleneckKind.SYMPTOM for finding in diagnosis.findings)


def test_a_burning_budget_leads_to_its_cause(state: Builder) -> None:
    evidence = state("saturated", limit=16)
    burns = Confirmation(bottleneck=Bottleneck.SLO_BURN, value=20.0, query="service:bottleneck:evidence")
    diagnosis = diagnose(
        evidence.model_copy(update={"confirmed": (*evidence.confirmed, burns)}), _hint(Bottleneck.SLO_BURN)
    )
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.ADMISSION_LIMITED
    assert "the error budget burns too fast" in diagnosis.text


@pytest.mark.parametrize(
    ("left", "text"),
    [
        ({"service__slo_error_budget_remaining__min": 0.25}, "25 % of the error budget of 30 days are left."),
        ({"service__slo_error_budget_remaining__min": -3.0}, "The error budget of 30 days is spent."),
        ({}, "How much of the error budget is left is unknown."),
    ],
)
def test_a_burning_budget_without_a_confirmed_cause_says_what_is_broken_and_how_much_is_left(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder, left: dict[str, float], text: str
) -> None:
    failing = {"service__llm_request_errors__ratio_rate5m": 0.2, **left}
    diagnosis = diagnose(evidence_of(signals("light"), (Bottleneck.SLO_BURN,), **failing), _hint(Bottleneck.SLO_BURN))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert "the error budget burns too fast, but no cause is confirmed" in diagnosis.text
    assert text in diagnosis.text
    (finding,) = diagnosis.findings
    assert finding.kind is BottleneckKind.SYMPTOM
    assert "failing requests 20 %, over its objective 1 %" in finding.checks[1].text
    assert not [query for query in _queries(diagnosis) if "request_duration" in query], "a promise that nobody made"


def test_an_alert_whose_condition_no_longer_holds_is_not_confirmed(state: Builder) -> None:
    diagnosis = diagnose(state("steady"), _hint(Bottleneck.ADMISSION_LIMITED))
    assert diagnosis.status is DiagnosisStatus.NOT_CONFIRMED
    assert diagnosis.root is None
    assert "Prometheus does not show it now" in diagnosis.text


def test_an_alert_that_does_not_hold_while_something_else_does_says_so(state: Builder) -> None:
    diagnosis = diagnose(state("kv_pressure"), _hint(Bottleneck.CACHE_INEFFICIENCY))
    assert diagnosis.status is DiagnosisStatus.NOT_CONFIRMED
    assert "What does hold: the KV cache limits the batch" in diagnosis.text


def test_a_service_that_prometheus_does_not_know_is_not_healthy(evidence_of: Builder) -> None:
    diagnosis = diagnose(evidence_of({}, instances=()))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert _queries(diagnosis) == ['replica:llm_up{service="chat"}']
    assert "Check that its engines are scraped" in diagnosis.text


def test_a_cache_beside_an_engine_is_asked_for_no_batch(state: Builder) -> None:
    evidence = state("steady")
    cache = evidence.replica_readings[REPLICA_1]["replica:llm_up"].model_copy(
        update={"name": "replica:llm_external_cache_healthy", "instance": "10.0.0.1:6999"}
    )
    readings = {**evidence.replica_readings, "10.0.0.1:6999": {cache.name: cache}}
    assert diagnose(evidence.model_copy(update={"replica_readings": readings})).status is DiagnosisStatus.HEALTHY


def test_a_signal_that_is_missing_is_not_health(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder
) -> None:
    steady = signals("steady")
    del steady["replica:llm_kv_cache_usage:avg2m"]
    diagnosis = diagnose(evidence_of(steady))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    (missing,) = diagnosis.missing
    assert missing.signal == "replica:llm_kv_cache_usage:avg2m"
    assert len(missing.instances) == 3
    hinted = diagnose(evidence_of(steady), _hint(Bottleneck.KV_CACHE_PRESSURE))
    assert hinted.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE


def test_a_threshold_that_prometheus_lacks_is_unknown_and_not_the_shipped_default(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder
) -> None:
    evidence = evidence_of(signals("saturated"), (Bottleneck.ADMISSION_LIMITED,), thresholds={})
    diagnosis = diagnose(evidence, _hint(Bottleneck.ADMISSION_LIMITED))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert 'service:threshold:kv_cache_usage_room_ratio{service="chat"}' in _queries(diagnosis)


def test_a_threshold_that_is_missing_from_an_alternative_is_named_too(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder
) -> None:
    known = evidence_of(signals("steady")).thresholds
    lacking = {name: value for name, value in known.items() if not name.startswith("kv_cache_usage")}
    evidence = evidence_of(signals("kv_pressure"), (Bottleneck.KV_CACHE_PRESSURE,), thresholds=lacking)
    assert 'service:threshold:kv_cache_usage_high_ratio{service="chat"}' in _queries(diagnose(evidence))


def test_a_cause_that_is_mostly_unknown_is_suppressed(evidence_of: Builder) -> None:
    known = {"replica:llm_up": 1.0, "replica:llm_requests_waiting:min2m": 5.0}
    diagnosis = diagnose(evidence_of(known, (Bottleneck.ADMISSION_LIMITED,)))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert diagnosis.findings[0].confidence < CONFIDENCE_FLOOR
    assert any("kv_cache_usage" in query for query in _queries(diagnosis))


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("replica:llm_kv_cache_usage:avg2m", 0.93),  # B02
        ("replica:llm_preemptions:rate1m", 2.0),  # B02
        ("replica:llm_requests_waiting:min2m", 0.0),  # a burst
        ("replica:llm_admission_fullness:ratio_avg2m", 0.5),  # B05
    ],
)
def test_a_look_alike_of_the_batch_limit_is_not_acted_on(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder, signal: str, value: float
) -> None:
    shown = signals("saturated") | {"replica:llm_admission_fullness:ratio_avg2m": 1.0, signal: value}
    diagnosis = diagnose(evidence_of(shown, (Bottleneck.ADMISSION_LIMITED,)))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert diagnosis.findings[0].confidence == 0.0
    assert "Against it:" in diagnosis.text


def test_kv_pressure_goes_before_the_batch_limit(state: Builder) -> None:
    pressed = state("kv_pressure", limit=16)
    both = pressed.model_copy(
        update={
            "confirmed": (
                *pressed.confirmed,
                pressed.confirmed[0].model_copy(update={"bottleneck": Bottleneck.ADMISSION_LIMITED}),
            )
        }
    )
    diagnosis = diagnose(both, _hint(Bottleneck.ADMISSION_LIMITED))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.KV_CACHE_PRESSURE


def test_an_engine_that_is_down_goes_before_everything(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder
) -> None:
    down = signals("saturated") | {"replica:llm_up": 0.0}
    diagnosis = diagnose(evidence_of(down, (Bottleneck.ADMISSION_LIMITED, Bottleneck.TARGET_DOWN)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.TARGET_DOWN


def test_a_busy_host_whose_engine_keeps_its_promise_does_not_hide_the_batch_limit(
    signals: Callable[[str], dict[str, float]], evidence_of: Builder
) -> None:
    shown = signals("saturated") | {
        "replica:llm_admission_fullness:ratio_avg2m": 1.0,
        "node:host_cpu_busy:ratio": 0.97,
        "gpu:gpu_utilization:ratio": 0.95,
    }
    diagnosis = diagnose(evidence_of(shown, (Bottleneck.HOST_CPU_SATURATION, Bottleneck.ADMISSION_LIMITED)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.ADMISSION_LIMITED
    starved = shown | {"gpu:gpu_utilization:ratio": 0.2}
    diagnosis = diagnose(evidence_of(starved, (Bottleneck.HOST_CPU_SATURATION, Bottleneck.ADMISSION_LIMITED)))
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is Bottleneck.HOST_CPU_SATURATION


def test_only_the_replicas_whose_signals_agree_are_named(state: Builder) -> None:
    evidence = state("saturated", limit=16)
    readings = {instance: dict(found) for instance, found in evidence.replica_readings.items()}
    name = "replica:llm_kv_cache_usage:avg2m"
    readings["10.0.0.3:8000"][name] = readings["10.0.0.3:8000"][name].model_copy(update={"value": 0.95})
    diagnosis = diagnose(evidence.model_copy(update={"replica_readings": readings}))
    assert diagnosis.root is not None
    assert diagnosis.root.instances == ("10.0.0.1:8000", "10.0.0.2:8000")
