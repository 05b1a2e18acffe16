"""What holds of any evidence: the order of answers, names and gaps change nothing that they must not."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.diagnosis_bench import AT, Answers, answers, cpu_seconds
from recommender.contracts import Sample
from recommender.diagnosis import CONFIDENCE_FLOOR, diagnose, to_markdown, to_text
from recommender.evidence import assemble
from recommender.model import Diagnosis, DiagnosisStatus, Evidence, Finding, FindingRole
from rules.catalog import SIGNALS, Bottleneck, Level

GIVEN = answers(2)
NAMES = ("__name__", "bottleneck")  # what the rules write; everything else comes from outside
HOSTILE = "aZ0 \"'\\\n\r\t\x00\x1b\x7f\u202e\u200b\u2028|`<>[](){}*_#!~&$%;:/.,=é名"
FEW = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def build(given: Answers, service: str = "chat") -> Evidence:
    return assemble(service, AT, *given)


def shuffled(samples: Sequence[Sample], chance: random.Random) -> list[Sample]:
    return [
        Sample(dict(chance.sample(list(one.labels.items()), len(one.labels))), one.value)
        for one in chance.sample(samples, len(samples))
    ]


@given(seed=st.integers(0, 2**32))
@FEW
def test_answers_in_any_order_give_the_same_bytes(seed: int) -> None:
    chance = random.Random(seed)
    evidence = build(tuple(shuffled(part, chance) for part in GIVEN))  # type: ignore[arg-type]  # three parts remain
    first = build(GIVEN)
    assert evidence.model_dump_json() == first.model_dump_json()
    assert diagnose(evidence).model_dump_json() == diagnose(first).model_dump_json()
    assert to_text(diagnose(evidence), evidence) == to_text(diagnose(first), first)


def shape(diagnosis: Diagnosis) -> list[tuple[object, ...]]:
    """Everything of a diagnosis but names."""

    def of(one: Finding) -> tuple[object, ...]:
        checks = [(check.agrees, check.threshold, check.weight) for check in one.checks]
        return one.bottleneck, one.role, one.confidence, len(one.instances), one.explains, len(one.notes), checks

    links = [link.bottleneck for link in diagnosis.chain]
    return [(diagnosis.status, *links), *(of(one) for one in diagnosis.findings)]


def renamed(samples: Sequence[Sample], suffix: str) -> list[Sample]:
    """The same samples whose services, models, instances, nodes, GPUs and engines are called otherwise."""
    return [Sample({k: v if k in NAMES else v + suffix for k, v in one.labels.items()}, one.value) for one in samples]


@given(suffix=st.text(alphabet=st.sampled_from(HOSTILE), min_size=1, max_size=40))
@FEW
def test_whatever_labels_say_the_diagnosis_is_the_same(suffix: str) -> None:
    service, beside, figures = GIVEN
    evidence = build((renamed(service, suffix), renamed(beside, suffix), figures), f"chat{suffix}")
    found, expected = diagnose(evidence), diagnose(build(GIVEN))
    assert shape(found) == shape(expected)
    for shown in (to_text(found, evidence), to_markdown(found, evidence)):
        assert all(one.isprintable() or one == "\n" for one in shown)


@given(seed=st.integers(0, 2**32), kept=st.floats(0, 1))
@FEW
def test_gaps_never_raise_and_what_is_acted_on_is_believed(seed: int, kept: float) -> None:
    chance = random.Random(seed)
    some = tuple([one for one in part if chance.random() < kept] for part in GIVEN)
    diagnosis = diagnose(build(some))  # type: ignore[arg-type]  # three parts remain
    if diagnosis.root is not None:
        assert diagnosis.status is DiagnosisStatus.DIAGNOSED
        assert diagnosis.root.confidence >= CONFIDENCE_FLOOR
        assert diagnosis.root.role is FindingRole.ROOT
        assert all(check.agrees is not False for check in diagnosis.root.checks if check.weight == "defining")
    for finding in diagnosis.findings:
        assert finding.coverage is not None
        assert finding.agreement is not None
        assert finding.confidence == pytest.approx(finding.coverage * finding.agreement)


_NAMED = st.sampled_from([name for name in SIGNALS if not name.endswith("bottleneck:evidence")])
_SAMPLES = st.lists(
    st.builds(
        lambda name, value, place, gpu: Sample(
            {"__name__": name, "service": "chat", "instance": f"r{place}", "node": f"n{place}", "gpu": str(gpu)}, value
        ),
        _NAMED,
        st.one_of(st.floats(), st.sampled_from([0.0, 1.0])),
        st.integers(0, 2),
        st.integers(0, 1),
    ),
    max_size=60,
)
_HELD = st.lists(
    st.builds(
        lambda level, bottleneck, place: Sample(
            {
                "__name__": f"{level}:bottleneck:evidence",
                "service": "chat",
                "instance": f"r{place}",
                "node": f"n{place}",
                "gpu": "0",
                "bottleneck": bottleneck,
            },
            1.0,
        ),
        st.sampled_from(Level),
        st.sampled_from(Bottleneck),
        st.integers(0, 2),
    ),
    max_size=8,
)


@given(service=_SAMPLES, beside=_SAMPLES, held=_HELD, hinted=st.frozensets(st.sampled_from(Bottleneck), max_size=2))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_evidence_gives_a_diagnosis_that_can_be_stored_and_shown(
    service: list[Sample], beside: list[Sample], held: list[Sample], hinted: frozenset[Bottleneck]
) -> None:
    evidence = build(([*service, *held], [*beside, *held], GIVEN[2]))
    diagnosis = diagnose(evidence, hinted)
    assert Diagnosis.model_validate_json(diagnosis.model_dump_json()) == diagnosis
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence
    assert to_text(diagnosis, evidence)
    assert to_markdown(diagnosis, evidence)
    if diagnosis.root is not None and hinted:
        assert hinted & {finding.bottleneck for finding in diagnosis.findings}


def test_a_diagnosis_of_sixteen_replicas_takes_few_milliseconds() -> None:
    """4 ms of a quiet core (bench/diagnosis_bench.py); CPU time, the best of many, on whatever runs this."""
    evidence = build(answers(16))
    assert diagnose(evidence).status is DiagnosisStatus.DIAGNOSED
    assert cpu_seconds(lambda: diagnose(evidence), 20)[0] < 0.025
