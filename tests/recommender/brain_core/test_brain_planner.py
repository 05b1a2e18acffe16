"""Plans: two golden ones for the captured states, and what keeps a plan from changing anything."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import get_args

import pytest

from recommender.diagnosis import diagnose
from recommender.executors import CommandExecutor
from recommender.inventory import Engine, Inventory
from recommender.metrics import VerificationMetric
from recommender.model import Evidence, KnobValue, Plan
from recommender.plan_parts import evidence_items
from recommender.planner import context_of, make_plan
from recommender.playbooks import PLAYBOOKS, PlanContext
from recommender.sizing import LinearItl
from rules.catalog import Bottleneck

Builder = Callable[..., Evidence]
Contexts = Callable[..., PlanContext]
Signals = Callable[[str], dict[str, float]]
REPLICAS = ("10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")
GOLDEN = Path(__file__).parents[2] / "data" / "plans"


def _plan(evidence: Evidence, context: PlanContext) -> Plan:
    plan = make_plan(diagnose(evidence), evidence, context)
    assert plan is not None
    return plan


@pytest.mark.parametrize("name", ["saturated", "kv_pressure"])
def test_the_plan_for_a_captured_state_is_the_reviewed_one(state: Builder, context: Contexts, name: str) -> None:
    """To review a wanted difference: write `plan` to the file and read the diff."""
    plan = _plan(state(name, limit=16), context(max_num_seqs=16))
    assert plan.model_dump(mode="json") == json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["idle", "light", "steady", "prefix_hits"])
def test_a_healthy_state_has_no_plan(state: Builder, context: Contexts, name: str) -> None:
    evidence = state(name)
    assert make_plan(diagnose(evidence), evidence, context(max_num_seqs=16)) is None


def test_what_disagrees_is_no_reason_of_a_plan(state: Builder) -> None:
    root = diagnose(state("saturated", limit=16)).root
    assert root is not None
    checks = [
        check.model_copy(update={"agrees": agrees})
        for check, agrees in zip(root.checks, (True, False, None), strict=False)
    ]
    texts = [item.text for item in evidence_items(root.model_copy(update={"checks": tuple(checks)}))]
    assert texts == [checks[0].text, f"although {checks[1].text}", checks[2].text]


def test_every_metric_of_a_plan_can_be_verified(state: Builder, context: Contexts) -> None:
    for name in ("saturated", "kv_pressure"):
        plan = _plan(state(name, limit=16), context(max_num_seqs=16))
        assert plan.verification is not None
        named = {guard.metric for guard in plan.verification.guards} | {one.metric for one in plan.expected}
        assert named | {plan.verification.must_improve.metric} <= set(VerificationMetric)
        assert all(
            guard.max_ratio is not None or guard.max_value is not None or guard.max_increase is not None
            for guard in plan.verification.guards
        )


def test_an_unknown_old_value_makes_advice_that_says_how_to_make_it_known(state: Builder, context: Contexts) -> None:
    plan = _plan(state("saturated", limit=16), context(port=8000))
    assert plan.change is None
    assert plan.verification is None
    assert "Set --max-num-seqs to 64: from about 16 (observed), min(wide step" in plan.advice[0]
    assert [ask.fact for ask in plan.asks] == ["max_running_requests"]
    assert "set services.chat.settings.max_running_requests in the inventory" in plan.advice[0]


def test_a_service_outside_the_inventory_gets_advice_without_executor(state: Builder) -> None:
    plan = _plan(state("saturated", limit=16), context_of("chat", None, (), None))
    assert plan.change is None
    assert plan.executor == "none"
    assert "chat is not in the inventory" in plan.advice[0]


def test_a_configuration_that_the_engine_does_not_run_with_is_not_changed(state: Builder, context: Contexts) -> None:
    plan = _plan(state("saturated", limit=16), context(max_num_seqs=8))
    assert plan.change is None
    assert "the engine does not run with its configuration" in plan.alternatives[0].reason


def test_a_setting_that_masks_the_knob_is_named(state: Builder, context: Contexts) -> None:
    plan = _plan(state("saturated", limit=16), context(max_num_seqs=64, max_num_active_seqs=16))
    assert plan.change is None
    assert "max-num-active-seqs is set on 10.0.0.1:8000 and overrides --max-num-seqs" in plan.alternatives[0].reason


def test_more_slots_are_not_planned_while_itl_is_over_its_objective(
    signals: Signals, evidence_of: Builder, context: Contexts
) -> None:
    slow = signals("saturated") | {
        "replica:llm_admission_fullness:ratio_avg2m": 1.0,
        "replica:llm_itl_seconds:p95_5m": 0.2,
    }
    plan = _plan(evidence_of(slow, (Bottleneck.ADMISSION_LIMITED,)), context(max_num_seqs=16))
    assert plan.change is None
    assert "already over its objective of 100 ms" in plan.alternatives[0].reason


@pytest.mark.parametrize("missing", ["kv_cache_capacity_tokens", "tokens_per_running_request:avg5m"])
def test_more_slots_are_not_planned_while_it_is_unknown_whether_they_fit(
    signals: Signals, evidence_of: Builder, context: Contexts, missing: str
) -> None:
    shown = signals("saturated") | {"replica:llm_admission_fullness:ratio_avg2m": 1.0}
    del shown[f"replica:llm_{missing}"]
    plan = _plan(evidence_of(shown, (Bottleneck.ADMISSION_LIMITED,)), context(max_num_seqs=16))
    assert plan.change is None
    assert "might not fit" in plan.alternatives[0].reason


def test_a_fitted_latency_model_bounds_the_new_limit(state: Builder, context: Contexts) -> None:
    given = context(max_num_seqs=16)
    fitted = PlanContext(
        service=given.service,
        executor=given.executor,
        replicas=given.replicas,
        knobs=given.knobs,
        settings=given.settings,
        itl=LinearItl(0.02, 0.0025),
    )
    plan = _plan(state("saturated", limit=16), fitted)
    assert plan.change is not None
    assert plan.change.new == 24  # (100 ms / 1.2 - 20 ms) / 2.5 ms = 25.3
    assert "no fitted model" not in plan.change.formula


def test_the_canary_is_the_replica_with_the_longest_queue_and_differing_replicas_are_left_alone(
    state: Builder, context: Contexts
) -> None:
    evidence = state("saturated", limit=16)
    readings = {instance: dict(found) for instance, found in evidence.replica_readings.items()}
    name = "replica:llm_requests_waiting:avg2m"
    readings["10.0.0.2:8000"][name] = readings["10.0.0.2:8000"][name].model_copy(update={"value": 200.0})
    given = context(max_num_seqs=16)
    mixed = PlanContext(
        service="chat",
        executor="command",
        replicas=given.replicas,
        knobs=given.knobs,
        settings={**given.settings, "10.0.0.3:8000": {"max-num-seqs": 32}},
    )
    plan = _plan(evidence.model_copy(update={"replica_readings": readings}), mixed)
    assert plan.instances == ("10.0.0.2:8000", "10.0.0.1:8000")


def test_free_device_memory_goes_to_kv_before_the_batch_is_lowered(
    signals: Signals, evidence_of: Builder, context: Contexts
) -> None:
    shown = signals("kv_pressure") | {
        "gpu:gpu_memory_free_bytes": 8.0 * 2**30,
        "gpu:gpu_memory_used:ratio": 0.9,
        "replica:llm_kv_cache_memory_fraction": 0.9,
    }
    evidence = evidence_of(shown, (Bottleneck.KV_CACHE_PRESSURE,))
    plan = _plan(evidence, context(max_num_seqs=16, gpu_memory_utilization=0.9))
    assert plan.change is not None
    assert (plan.playbook, plan.change.old, plan.change.new) == ("P02.4", 0.9, 0.93)
    (other,) = [one for one in plan.alternatives if one.change is not None]
    assert other.playbook == "P02.5"
    told = _plan(evidence, context(max_num_seqs=16))  # the engine itself tells its fraction
    assert told.change is not None
    assert told.change.config_key == "gpu-memory-utilization"
    overridden = _plan(evidence, context(max_num_seqs=16, kv_cache_memory_bytes=10**9))
    assert overridden.playbook == "P02.5"


def test_the_batch_is_not_lowered_without_thrash(signals: Signals, evidence_of: Builder, context: Contexts) -> None:
    full = signals("kv_pressure") | {"replica:llm_preemptions_per_request:ratio_rate5m": 0.0}
    plan = _plan(evidence_of(full, (Bottleneck.KV_CACHE_PRESSURE,)), context(max_num_seqs=16))
    assert plan.change is None
    assert any("would only add queue" in one.reason for one in plan.alternatives)


@pytest.mark.parametrize(("off", "changes"), [({"enable_prefix_caching": False}, True), ({}, False)])
def test_the_prefix_cache_is_switched_on_only_where_it_is_switched_off(
    signals: Signals, evidence_of: Builder, context: Contexts, off: dict[str, KnobValue], changes: bool
) -> None:
    evidence = evidence_of(
        signals("steady"),
        (Bottleneck.CACHE_INEFFICIENCY,),
        service__llm_prefix_cache_hit__ratio_rate5m=0.05,
        service__llm_request_prompt_tokens__mean_5m=1800.0,
    )
    plan = _plan(evidence, context(**off))
    assert (plan.change is not None) is changes
    assert any("Route by prefix" in text for text in plan.advice)
    if plan.change is not None:
        assert (plan.change.old, plan.change.new, plan.change.config_key) == (False, True, "enable-prefix-caching")


def test_every_bottleneck_has_playbooks_and_an_identifier_names_one() -> None:
    assert set(PLAYBOOKS) == set(Bottleneck) - {Bottleneck.NONE}
    named: dict[str, set[int]] = {}
    for playbook in (each for playbooks in PLAYBOOKS.values() for each in playbooks):
        named.setdefault(playbook.id, set()).add(id(playbook))
    assert [identifier for identifier, objects in named.items() if len(objects) > 1] == []


def test_a_cause_outside_the_engine_gets_advice(signals: Signals, evidence_of: Builder, context: Contexts) -> None:
    down = signals("saturated") | {"replica:llm_up": 0.0}
    plan = _plan(evidence_of(down, (Bottleneck.TARGET_DOWN,)), context(max_num_seqs=16))
    assert plan.change is None
    assert plan.healthy_replicas == 0
    assert plan.advice


def _inventory(engine: str, settings: Mapping[str, KnobValue], files: Sequence[Path]) -> Inventory:
    replicas = [{"url": f"http://10.0.0.{n}:8000", "config_file": str(file)} for n, file in enumerate(files, 1)]
    service = {"engine": engine, "settings": settings, "replicas": replicas}
    return Inventory.model_validate({"services": {"chat": service}})


def test_a_configuration_file_goes_before_the_inventory_which_stands_in_for_one_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    files = [tmp_path / "1.yml", tmp_path / "2.yml", tmp_path / "none.yml"]
    files[0].write_text("max-num-seqs: 8\n", encoding="utf-8")
    files[1].write_text("- not a mapping\n", encoding="utf-8")
    inventory = _inventory("vllm", {"max_running_requests": 4}, files)
    context = context_of("chat", inventory.services["chat"], inventory.targets("chat"), CommandExecutor({}))
    assert [context.configured("max_running_requests", i) for i in REPLICAS] == [8, 4, 4]
    assert context.configured("max_batched_tokens", REPLICAS[0]) is None


def _without_knobs() -> list[str]:
    known = {path.name for path in resources.files("recommender.knobs").iterdir()}
    return [engine for engine in get_args(Engine) if f"{engine}.yml" not in known]


@pytest.mark.parametrize("engine", _without_knobs())
def test_an_engine_without_a_knob_catalogue_gets_advice(state: Builder, engine: str) -> None:
    inventory = _inventory(engine, {"max_running_requests": 16}, [Path("1.yml")])
    context = context_of("chat", inventory.services["chat"], inventory.targets("chat"), None)
    plan = _plan(state("saturated", limit=16), context)
    assert plan.change is None
    assert f"{engine} has no setting for max_running_requests" in plan.alternatives[0].reason
