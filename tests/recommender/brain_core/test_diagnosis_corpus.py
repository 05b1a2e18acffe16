"""Stories of the corpus, by the rules' own answers: chains, what is ruled out, and what is missing."""

from pathlib import Path

import pytest

from demo.faults.corpus import corpus
from demo.faults.plans import AT, Recorded, answers
from demo.faults.promtool import Pack
from recommender.contracts import Sample
from recommender.diagnosis import diagnose, to_text
from recommender.evidence import gather
from recommender.model import Diagnosis, DiagnosisStatus, Evidence, FindingRole
from rules.catalog import Bottleneck

B = Bottleneck
RULES = Path(__file__).parents[3] / "rules"
TOLD = ("kv-full", "queue-tgi-direct", "latency-itl-no-counters")
Story = tuple[Evidence, Diagnosis]


@pytest.fixture(scope="module")
def stories() -> dict[str, Story]:
    """Evidence and diagnosis of each story at its end, by name; one run of promtool."""
    scenarios = [one for one in corpus() if one.name in TOLD]
    found = {}
    for scenario, told in zip(scenarios, answers(scenarios, Pack(RULES), scenarios[0].duration), strict=True):
        recorded = Recorded(tuple(Sample(one.labels, one.value) for one in told))
        evidence = gather(recorded, scenario.name, AT)
        found[scenario.name] = evidence, diagnose(evidence)
    return found


def test_a_burning_budget_is_followed_back_to_the_kv_cache(stories: dict[str, Story]) -> None:
    evidence, diagnosis = stories["kv-full"]
    assert [link.bottleneck for link in diagnosis.chain] == [
        B.SLO_BURN,
        B.HIGH_LATENCY,
        B.QUEUE_BUILDUP,
        B.KV_CACHE_PRESSURE,
    ]
    assert diagnosis.root is not None
    assert diagnosis.root.instances == ("kv-full-r1:8000",)
    assert {finding.role for finding in diagnosis.findings[1:]} == {FindingRole.CONSEQUENCE}
    assert evidence.placements["kv-full-r1:8000"].gpus_are_its_own
    assert "← the KV cache limits the batch on kv-full-r1:8000" in to_text(diagnosis, evidence)


def test_an_engine_that_tells_little_has_its_gaps_named(stories: dict[str, Story]) -> None:
    _, diagnosis = stories["queue-tgi-direct"]
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    signals = {one.signal for one in diagnosis.missing}
    assert "replica:llm_admission_fullness:ratio_avg2m" in signals
    assert "service:llm_queue_share_of_ttft:ratio_rate5m" in signals
    assert "Ruled out: that the KV cache limits the batch" in diagnosis.text


def test_slow_steps_without_profiling_counters_say_which_counters_would_tell(stories: dict[str, Story]) -> None:
    _, diagnosis = stories["latency-itl-no-counters"]
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    (missing,) = diagnosis.missing
    assert missing.signal == "gpu:gpu_dram_active:ratio"
    assert "`optiinfra export dcgm`" in missing.how
    assert "Ruled out: that heat slows a GPU down" in diagnosis.text
