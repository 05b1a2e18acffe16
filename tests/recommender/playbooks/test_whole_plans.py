"""Plans as a whole: order, switches, site results, costs, gates, queries that Prometheus understands, hostile names."""

import dataclasses
import itertools
import subprocess
from pathlib import Path

import pytest
import yaml

from recommender.inventory import SuccessConfig
from recommender.knobs import load
from recommender.ledger import SiteEffects, SiteResult
from recommender.metrics import VerificationMetric
from recommender.model import (
    Apply,
    Change,
    Check,
    CheckWeight,
    Diagnosis,
    DiagnosisStatus,
    Direction,
    Evidence,
    Expectation,
    Guard,
    Plan,
    Risk,
    Verification,
)
from recommender.plan_parts import quality_gate, restart_cost
from recommender.plan_queries import rollback_queries, success_queries
from recommender.planner import make_plan
from recommender.playbooks import PLAYBOOKS, PlanContext
from rules.catalog import SIGNALS, Bottleneck, BottleneckKind
from tests.recommender.playbooks.made import ONE, TWO, changed, context, evidence, facts, finding, size

KV = Bottleneck.KV_CACHE_PRESSURE
THRASH = {
    "replica:llm_up": 1.0,
    "replica:llm_requests_running:avg2m": 30.0,
    "replica:llm_requests_running:max2m": 40.0,
    "replica:llm_kv_cache_usage:avg2m": 0.97,
    "replica:llm_kv_cache_capacity_tokens": 60_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 2_000.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.5,
    "gpu:gpu_memory_free_bytes": 16e9,
    "gpu:gpu_memory_used:ratio": 0.8,
}
BOTH = {"max_running_requests": 64, "kv_cache_memory_fraction": 0.8}


def _diagnosed(seen: Evidence, bottleneck: Bottleneck = KV) -> Diagnosis:
    return Diagnosis(
        service=seen.service,
        at=seen.at,
        status=DiagnosisStatus.DIAGNOSED,
        findings=(finding(bottleneck, ONE, TWO),),
    )


def _plan(given: PlanContext, seen: Evidence | None = None, bottleneck: Bottleneck = KV) -> Plan:
    shown = evidence(THRASH) if seen is None else seen
    plan = make_plan(_diagnosed(shown, bottleneck), shown, given)
    assert plan is not None
    return plan


def test_the_cheapest_and_safest_goes_first_and_says_why_the_others_wait() -> None:
    plan = _plan(context(**BOTH))
    assert (plan.playbook, plan.change.new if plan.change else None) == ("P02.4", 0.83)
    others = {one.playbook: one.reason for one in plan.alternatives if one.change is not None}
    assert others == {"P02.5": "Also possible; one change at a time, and P02.4 goes first."}


def test_playbooks_are_switched_off_and_reordered_by_the_service() -> None:
    off = _plan(context(tuning={"playbooks": {"disabled": ["P02.4"]}}, **BOTH))
    assert off.playbook == "P02.5"
    assert all(one.playbook != "P02.4" for one in off.alternatives)
    assert _plan(context(tuning={"playbooks": {"order": ["P02.5"]}}, **BOTH)).playbook == "P02.5"
    none = _plan(context(tuning={"playbooks": {"disabled": ["P02"]}}, **BOTH))
    assert (none.playbook, none.change) == ("none", None)


def test_what_was_proven_here_goes_before_what_failed_here_within_one_class_of_risk() -> None:
    def result(playbook: str, ratio: float, succeeded: bool) -> SiteResult:
        metric = VerificationMetric.PREEMPTIONS_PER_REQUEST
        return SiteResult(playbook, "vllm", "h100_sxm", metric, ratio=ratio, sigma=0.05, succeeded=succeeded)

    proven = SiteEffects([result("P02.5", 0.1, succeeded=True), result("P02.4", 1.2, succeeded=False)])
    given = dataclasses.replace(context(known=facts(), **BOTH), ledger=proven)
    plan = _plan(given)
    assert plan.playbook == "P02.5"
    assert "at this site" in plan.expected[0].source
    assert plan.gpu == "h100_sxm"
    assert _plan(context(known=facts(), **BOTH)).playbook == "P02.4"


def test_a_change_that_is_not_shown_to_fit_is_never_the_plan() -> None:
    for bottleneck, playbooks in PLAYBOOKS.items():
        for each in playbooks:
            outcome = each.size(evidence(THRASH), finding(bottleneck, ONE, TWO), context(**BOTH))
            if isinstance(outcome, Change) and outcome.feasibility is not None:
                assert outcome.feasibility.fits is True, each.id


def test_what_slows_nothing_down_is_not_changed() -> None:
    seen = evidence(THRASH)
    harmless = Check(text="TTFT p95 within its objective", agrees=False, weight=CheckWeight.HARM)
    diagnosis = _diagnosed(seen)
    root = diagnosis.findings[0].model_copy(update={"checks": (harmless,)})
    plan = make_plan(diagnosis.model_copy(update={"findings": (root,)}), seen, context(**BOTH))
    assert plan is not None
    assert plan.change is None
    assert {one.reason for one in plan.alternatives if one.change is not None} == {
        "Possible, but what it would mend slows nothing down here now."
    }


def test_a_plan_has_everything_that_a_person_needs_to_judge_it() -> None:
    plan = _plan(context(**BOTH))
    assert plan.change is not None
    assert plan.change.feasibility is not None
    assert [patch.format for patch in plan.patches] == ["engine-config", "cli", "helm-values", "compose"]
    assert plan.verification_queries
    assert plan.rollback_queries
    assert plan.rollback
    assert all(one.mid is not None for one in plan.expected)
    assert plan.restart is not None
    assert plan.restart.seconds is None
    assert "services.chat.tuning.start_seconds" in plan.restart.text


def _change(**update: object) -> Change:
    base = changed(size(KV, "P02.5", evidence(THRASH), context(**BOTH)))
    return base.model_copy(update=update)


def test_a_restart_costs_what_was_measured_else_declared_else_it_is_unknown() -> None:
    measured = dataclasses.replace(context(), start_seconds=95.0)
    assert restart_cost(_change(), measured).seconds == 95.0
    assert restart_cost(_change(), context(tuning={"start_seconds": 120})).seconds == 120.0
    assert restart_cost(_change(), context()).seconds is None
    assert restart_cost(_change(apply=Apply.LIVE), context()).seconds == 0.0


def test_what_may_change_answers_has_a_gate() -> None:
    gate = quality_gate(_change(risk=Risk.QUALITY), context(tuning={"quality_max_drop_ratio": 0.02}))
    assert gate is not None
    assert "at least 98 %" in gate.text
    assert quality_gate(_change(), context()) is None
    shorter = quality_gate(_change(risk=Risk.QUALITY, knob="context_tokens"), context())
    assert shorter is not None
    assert "refused" in shorter.text


def test_a_symptom_without_a_cause_is_planned_only_by_what_is_known() -> None:
    seen = {
        "replica:llm_ttft_seconds:p95_5m": 4.0,
        "replica:llm_itl_seconds:p95_5m": 0.03,
        "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.1,
        "replica:llm_kv_cache_capacity_tokens": 400_000.0,
        "replica:llm_kv_cache_usage:max2m": 0.4,
    }
    symptom = finding(Bottleneck.HIGH_LATENCY).model_copy(update={"kind": BottleneckKind.SYMPTOM})
    given = context(known=facts(), max_batched_tokens=2048, max_running_requests=64)
    for missing in (None, *seen):
        shown = evidence({name: value for name, value in seen.items() if name != missing})
        unsure = Diagnosis(service="chat", at=shown.at, status=DiagnosisStatus.NOT_ENOUGH_EVIDENCE, findings=(symptom,))
        plan = make_plan(unsure, shown, given)
        assert plan is not None
        assert (plan.change is not None) is (missing is None), missing
    healthy = unsure.model_copy(update={"status": DiagnosisStatus.HEALTHY})
    assert make_plan(healthy, shown, given) is None


HELD_BACK = {
    "replica:llm_admission_fullness:ratio_avg2m": 1.0,
    "replica:llm_requests_waiting:min2m": 5.0,
    "replica:llm_kv_cache_usage:avg2m": 0.3,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
}
LOAD = {
    "replica:llm_up": 1.0,
    "replica:llm_requests_running:avg2m": 8.0,
    "replica:llm_requests_running:max2m": 8.0,
    "replica:llm_requests_waiting:avg2m": 12.0,
    "replica:llm_max_running_requests": 8.0,
    "replica:llm_kv_cache_capacity_tokens": 400_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 2_000.0,
    "gpu:gpu_memory_free_bytes": 40e9,
    "gpu:gpu_memory_used:ratio": 0.5,
}
SYMPTOMS = (Bottleneck.QUEUE_BUILDUP, Bottleneck.HIGH_LATENCY, Bottleneck.LOW_THROUGHPUT, Bottleneck.SLO_BURN)


def _unsure(seen: Evidence, symptom: Bottleneck) -> Diagnosis:
    found = finding(symptom).model_copy(update={"kind": BottleneckKind.SYMPTOM})
    return Diagnosis(service="chat", at=seen.at, status=DiagnosisStatus.NOT_ENOUGH_EVIDENCE, findings=(found,))


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llamacpp"])
def test_a_queue_without_a_cause_is_one_for_slots_only_where_all_that_tells_them_apart_is_known(engine: str) -> None:
    """What would make it another cause is asked of every replica; unknown on one of them changes nothing."""
    given = context(engine, known=facts(), max_running_requests=8, context_tokens=32_768)
    # How full the batch is follows from the settings too; llama.cpp has no KV gauge and preempts nothing.
    asked = list(HELD_BACK)[1:2] if engine == "llamacpp" else list(HELD_BACK)[1:]
    for missing in (None, *asked):
        rest = {name: value for name, value in HELD_BACK.items() if name != missing}
        seen = evidence(LOAD | rest, per_replica={ONE: HELD_BACK, TWO: {}})
        plan = make_plan(_unsure(seen, Bottleneck.QUEUE_BUILDUP), seen, given)
        assert plan is not None
        assert (plan.change is not None) is (missing is None), missing


@pytest.mark.parametrize("symptom", SYMPTOMS)
@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "tensorrt_llm", "llamacpp", "ollama"])
def test_a_symptom_of_which_only_itself_is_known_changes_nothing(engine: str, symptom: Bottleneck) -> None:
    """However much is known of the service: its settings, its model, its GPU and its load tell no cause."""
    declared = {"max_running_requests": 8, "max_batched_tokens": 2048, "context_tokens": 32_768}
    known = load(engine)
    given = context(engine, known=facts(), **{name: value for name, value in declared.items() if known.get(name)})
    late = {"replica:llm_ttft_seconds:p95_5m": 9.0, "replica:llm_itl_seconds:p95_5m": 0.05}
    seen = evidence(LOAD | late, service={"service:llm_requests_waiting:sum": 24.0})
    plan = make_plan(_unsure(seen, symptom), seen, given)
    assert plan is None or plan.change is None


GUARDS = (
    Guard(metric=VerificationMetric.ERROR_RATIO, max_increase=0.005),
    Guard(metric=VerificationMetric.ITL_P95_SECONDS, max_value=0.1),
    Guard(metric=VerificationMetric.TTFT_P95_SECONDS, max_ratio=1.1),
)
ALL = {name: value for name, value in zip(SIGNALS, itertools.repeat(0.5), strict=False) if name.startswith("replica:")}
CHANGED = Change(
    knob="max_running_requests",
    engine="vllm",
    flag="--max-num-seqs",
    config_key="max-num-seqs",
    old=8,
    new=16,
    reason="made",
    formula="made",
    risk=Risk.RESTART,
)
JUDGED = tuple(
    Verification(
        must_improve=Expectation(metric=metric, direction=direction, low=1.0, mid=0.5, high=0.4, source="made"),
        settle_seconds=60,
        window_seconds=300,
        interval_seconds=15,
        min_requests=50,
    )
    for metric in VerificationMetric
    for direction in Direction
)
HOSTILE = 'x"} or vector(1) # \\ \n{{ $labels }}'


@pytest.mark.parametrize("name", ["chat", HOSTILE])
def test_every_query_of_every_class_is_promql_and_stays_within_its_service(name: str, tmp_path: Path) -> None:
    seen = evidence(ALL | THRASH).model_copy(update={"service": name})
    alone = seen.model_copy(update={"replica_readings": {name: seen.replica_readings[ONE]}})
    queries = [
        query.query
        for shown, instances in ((seen, (ONE, TWO)), (alone, (name,)))
        for playbook in (f"P{number:02}.1" for number in range(1, 26))
        for judged in JUDGED
        for query in (
            *success_queries(CHANGED, judged, shown, instances, playbook=playbook, bounds=SuccessConfig()),
            *rollback_queries(GUARDS, shown, instances, context()),
        )
    ]
    rules = [{"record": f"test:query:{number}", "expr": query} for number, query in enumerate(sorted(set(queries)))]
    assert len(rules) > 20
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_hostile_names_change_no_figure_of_a_plan() -> None:
    plain, seen = _plan(context(**BOTH)), evidence(THRASH).model_copy(update={"service": HOSTILE})
    hostile = _plan(dataclasses.replace(context(**BOTH), service=HOSTILE), seen)
    assert plain.change is not None
    assert hostile.change is not None
    assert hostile.change == plain.change
    assert hostile.expected == plain.expected
    [compose] = [patch for patch in hostile.patches if patch.format == "compose"]
    assert list(yaml.safe_load(compose.content)["services"]) == [HOSTILE]


def test_the_same_evidence_gives_the_same_bytes() -> None:
    plans = {_plan(context(known=facts(), **BOTH)).model_dump_json() for _ in range(3)}
    assert len(plans) == 1
