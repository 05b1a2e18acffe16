"""A service that never set a knob: its engine's default is the basis of a change, or the ask names what settles it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.diagnosis import diagnose
from recommender.diagnosis.text import escaped
from recommender.engine_version import engine_version
from recommender.executors import CommandExecutor
from recommender.executors.engine_config import changed
from recommender.inventory import Inventory, ServiceConfig
from recommender.model import Evidence, Fact, Plan
from recommender.oneshot.show import plan_markdown
from recommender.planner import context_of, make_plan

Builder = Callable[..., Evidence]
REPLICAS = ("10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")
FILE = "model: m\nmax-model-len: 4096\n"


def _told(evidence: Evidence, *versions: str | None) -> Evidence:
    facts = {
        instance: {"engine_version": Fact(name="engine_version", value=version, query="q", instance=instance)}
        for instance, version in zip(REPLICAS, versions, strict=True)
        if version is not None
    }
    return evidence.model_copy(update={"replica_facts": facts})


def _plan(evidence: Evidence, folder: Path, *, complete: bool = True, text: str = FILE, **service: object) -> Plan:
    replicas = []
    for number in (1, 2, 3):
        file = folder / f"{number}.yml"
        file.write_text(text, encoding="utf-8")
        replicas.append(
            {
                "url": f"http://10.0.0.{number}:8000",
                "config_file": str(file),
                "config_complete": complete,
                "restart_command": ["restart"],
            }
        )
    data = {"engine": "vllm", "executor": {"type": "command"}, "replicas": replicas, **service}
    inventory = Inventory.model_validate({"services": {"chat": data}})
    context = context_of(
        "chat", inventory.services["chat"], inventory.targets("chat"), CommandExecutor({}), evidence=evidence
    )
    plan = make_plan(diagnose(evidence), evidence, context)
    assert plan is not None
    return plan


L4 = {"hardware": {"gpu": "l4", "gpus_per_replica": 1, "weight_dtype": "bf16"}, "model": "meta-llama/Llama-3.1-8B"}


def test_the_default_is_the_old_value_with_its_source_in_plan_and_evidence(state: Builder, tmp_path: Path) -> None:
    plan = _plan(_told(state("kv_pressure", limit=256), *["0.32.0"] * 3), tmp_path, **L4)
    change = plan.change
    assert change is not None
    assert (change.knob, change.old) == ("max_running_requests", 256)
    source = "default of vLLM 0.32.0 (engine-knobs §1), no max-num-seqs in 1.yml"
    assert change.old_source == source
    assert any(item.text == f"--max-num-seqs is 256 now: {source}." and item.value == 256 for item in plan.evidence)
    assert f"- now: 256, {escaped(source)}" in plan_markdown(plan)
    assert changed(FILE, change, Path("1.yml")) == f"{FILE}max-num-seqs: {change.new}\n"


def test_ranks_that_nobody_set_are_a_fact_with_its_source(state: Builder, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.yml" for number in (1, 2, 3)]
    for file in files:
        file.write_text(FILE, encoding="utf-8")
    replicas = [
        {"url": f"http://10.0.0.{number}:8000", "config_file": str(file), "config_complete": True}
        for number, file in enumerate(files, 1)
    ]
    data: dict[str, object] = {"engine": "vllm", "engine_version": "0.32.0", "replicas": replicas}
    for declared, ranks, source in (
        ({}, 1, "default of vLLM 0.32.0 (engine-knobs §1), no tensor-parallel-size in 1.yml"),
        ({"tensor_parallel_size": 2}, 2, "inventory: settings.tensor_parallel_size"),
    ):
        inventory = Inventory.model_validate({"services": {"chat": {**data, "settings": declared}}})
        targets, executor = inventory.targets("chat"), CommandExecutor({})
        facts = context_of("chat", inventory.services["chat"], targets, executor, evidence=state("steady")).facts
        assert (facts.tensor_parallel, facts.sources["tensor_parallel"]) == (ranks, source)
        assert "tensor_parallel" not in {ask.fact for ask in facts.asks}


def test_a_version_that_only_the_inventory_knows_serves_as_well(state: Builder, tmp_path: Path) -> None:
    plan = _plan(state("kv_pressure", limit=256), tmp_path, engine_version="0.32.0", **L4)
    assert plan.change is not None
    assert plan.change.old == 256
    assert plan.engine_version == "0.32.0"


@pytest.mark.parametrize(
    ("update", "asked"),
    [
        ({"complete": False}, "set services.chat.replicas[].config_complete"),
        ({"engine_version": None}, "set services.chat.engine_version"),
        ({"hardware": {}}, "set services.chat.hardware.gpu"),
        ({"text": f"{FILE}max-num-seqs: lots\n"}, "write a plain value of max-num-seqs into its configuration file"),
        ({"engine_version": "0.40.0"}, "is not established"),
    ],
)
def test_what_is_left_open_makes_it_advice_and_asks_by_the_key(
    state: Builder, tmp_path: Path, update: dict[str, object], asked: str
) -> None:
    options: dict[str, object] = {"engine_version": "0.32.0", **L4, **update}
    plan = _plan(state("kv_pressure", limit=256), tmp_path, **options)  # type: ignore[arg-type] - a mix of options
    assert plan.change is None or plan.change.knob != "max_running_requests"
    assert any(ask.fact == "max_running_requests" and asked in ask.how for ask in plan.asks)


def test_more_requests_than_the_default_allows_break_the_promise(state: Builder, tmp_path: Path) -> None:
    seen = state("kv_pressure", limit=256)
    most = "replica:llm_requests_running:max2m"
    readings = {
        one: {**found, most: found[most].model_copy(update={"value": 300.0})}
        for one, found in seen.replica_readings.items()
    }
    plan = _plan(seen.model_copy(update={"replica_readings": readings}), tmp_path, engine_version="0.32.0", **L4)
    assert plan.change is None
    assert any("something else than its file sets options" in ask.how for ask in plan.asks)


def _version(*told: str | None, declared: str | None = None) -> tuple[str | None, str]:
    seen = Evidence.model_validate(
        {
            "service": "chat",
            "at": "2026-11-21T00:00:00Z",
            "replica_readings": {one: {} for one in (*REPLICAS, "10.0.0.1:6999")},
        }
    )
    found = engine_version(ServiceConfig(engine="vllm", engine_version=declared), _told(seen, *told), REPLICAS)
    return found.value, found.problem


@pytest.mark.parametrize(
    ("told", "declared", "version", "problem"),
    [
        (("0.32.0",) * 3, None, "0.32.0", ""),
        (("0.32.0", "0.32.0", None), None, None, ""),
        ((None,) * 3, None, None, ""),
        ((None,) * 3, "0.32.0", "0.32.0", ""),
        (("0.32.0", "0.32.0", None), "v0.32", "v0.32", ""),
        (("0.31.0", "0.32.0", "0.32.0"), None, None, "wait until all replicas run one version"),
        (("0.31.0", "0.32.0", "0.32.0"), "0.32.0", None, "wait until all replicas run one version"),
        (("0.31.0",) * 3, "0.32.0", None, "10.0.0.1:8000 tells 0.31.0 and services.chat.engine_version says 0.32.0"),
    ],
)
def test_one_version_of_all_replicas_or_none(
    told: tuple[str | None, ...], declared: str | None, version: str | None, problem: str
) -> None:
    value, why = _version(*told, declared=declared)
    assert value == version
    assert problem in why
    assert bool(why) is bool(problem)
