"""Metrics: read at the scrape, absent when they cannot be read."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest

from recommender.executors import build
from recommender.health import Health, Probe, ProbeFailed, Status, store_probe
from recommender.heartbeats import HeartbeatCollector
from recommender.inventory import parse_inventory
from recommender.model import WorkflowState
from recommender.store import Database, Store
from recommender.store.store import WATCHDOG
from recommender.telemetry import HealthCollector, InventoryCollector, StoreCollector, Telemetry
from recommender.worker import Loop


def text_of(*collectors: Any) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def test_two_recommenders_in_one_process_keep_apart() -> None:
    one, other = Telemetry(), Telemetry()
    one.planned(1.0)
    assert "optiinfra_alert_to_plan_seconds_count 1.0" in generate_latest(one.registry).decode()
    assert "optiinfra_alert_to_plan_seconds_count 0.0" in generate_latest(other.registry).decode()


def test_workflows_are_counted_by_state(store: Store, make_workflow: Any, clock: Any) -> None:
    store.create(make_workflow("a", state=WorkflowState.SUCCEEDED), [])
    store.create(make_workflow("b"), [])
    text = text_of(StoreCollector(store, clock))
    assert 'optiinfra_workflows{state="pending_approval"} 1.0' in text
    assert 'optiinfra_workflows{state="canary"} 0.0' in text
    assert 'optiinfra_workflows_finished_total{state="succeeded"} 1.0' in text


def test_workflows_in_flight_are_told_by_service_so_that_nothing_is_scaled_in_under_them(
    store: Store, make_workflow: Any, clock: Any
) -> None:
    store.create(make_workflow("a", service="chat", state=WorkflowState.CANARY), [])
    store.create(make_workflow("b", service="idle", state=WorkflowState.SUCCEEDED), [])
    store.create(make_workflow("c", service="asks"), [])
    found = [line for line in text_of(StoreCollector(store, clock)).splitlines() if "in_flight{" in line]
    assert found == ['optiinfra_workflows_in_flight{service="chat"} 1.0']


def test_the_backlog_has_a_size_and_an_age(store: Store, make_alert: Any, make_delivery: Any, clock: Any) -> None:
    store.record(make_delivery(make_alert()), clock.now(), 10)
    clock.advance(12)
    text = text_of(StoreCollector(store, clock))
    assert "optiinfra_intake_backlog 1.0" in text
    assert "optiinfra_intake_oldest_pending_seconds 12.0" in text


def test_loops_and_the_way_of_alerts_tell_how_long_they_have_been_silent(store: Store, clock: Any) -> None:
    loop = Loop("intake", lambda: False, clock, 1.0, on_error=lambda _: None)
    beats = HeartbeatCollector([loop], store, clock)
    clock.advance(40)
    assert 'optiinfra_loop_idle_seconds{loop="intake"} 40.0' in text_of(beats)
    assert "optiinfra_watchdog_silent_seconds 40.0" in text_of(beats)  # never heard: since the start
    loop.turn()
    store.beat(WATCHDOG, clock.now())
    clock.advance(5)
    assert 'optiinfra_loop_idle_seconds{loop="intake"} 5.0' in text_of(beats)
    assert "optiinfra_watchdog_silent_seconds 5.0" in text_of(beats)
    clock.advance(3600)
    after_a_restart = HeartbeatCollector([loop], store, clock)
    assert "optiinfra_watchdog_silent_seconds 0.0" in text_of(after_a_restart)


def test_without_the_store_nothing_is_said_of_the_way_of_alerts(database: Database, store: Store, clock: Any) -> None:
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE heartbeats"))
    assert "optiinfra_watchdog_silent_seconds" not in text_of(HeartbeatCollector([], store, clock))


def test_a_failing_store_leaves_gauges_out_and_says_that_it_is_down(
    database: Database, store: Store, clock: Any
) -> None:
    with database.write() as connection:
        for table in ("effects", "workflows", "heartbeats"):  # what refers to workflows goes first
            connection.execute(sa.text(f"DROP TABLE {table}"))
    text = text_of(StoreCollector(store, clock), HealthCollector(Health([store_probe(store, clock)])))
    assert "optiinfra_workflows" not in text
    assert "optiinfra_intake_backlog" not in text
    assert 'optiinfra_component_up{component="store"} 0.0' in text


def test_knobs_come_from_the_engines_file_and_else_from_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text("max-num-seqs: 16\nenable-prefix-caching: false\nmodel: m\n")
    (tmp_path / "bad.yml").write_text("{")
    inventory = parse_inventory(f"""\
services:
  chat:
    engine: vllm
    executor: {{type: command}}
    settings: {{max_running_requests: 8, max_batched_tokens: 2048}}
    replicas:
      - {{url: "http://a:1", config_file: {tmp_path}/one.yml, restart_command: [x]}}
      - {{url: "http://b:1", config_file: {tmp_path}/bad.yml, restart_command: [x]}}
""")
    text = text_of(InventoryCollector(inventory, build({})))
    found = {line for line in text.splitlines() if line.startswith("optiinfra_replica_knob{")}
    assert found == {
        'optiinfra_replica_knob{instance="a:1",knob="max_batched_tokens",service="chat"} 2048.0',
        'optiinfra_replica_knob{instance="a:1",knob="max_running_requests",service="chat"} 16.0',
        'optiinfra_replica_knob{instance="a:1",knob="prefix_caching",service="chat"} 0.0',
        'optiinfra_replica_knob{instance="b:1",knob="max_batched_tokens",service="chat"} 2048.0',
        'optiinfra_replica_knob{instance="b:1",knob="max_running_requests",service="chat"} 8.0',
    }


def test_a_default_is_exported_where_the_inventory_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text("model: m\nmax-model-len: 8k\n")
    (tmp_path / "two.yml").write_text("model: m\nmax-num-seqs: lots\n")
    inventory = parse_inventory(f"""\
services:
  chat:
    engine: vllm
    engine_version: '0.32.0'
    hardware: {{gpu: l4}}
    settings: {{max_running_requests: 8}}
    replicas:
      - {{url: "http://a:1", config_file: {tmp_path}/one.yml, config_complete: true}}
      - {{url: "http://b:1", config_file: {tmp_path}/two.yml}}
""")
    text = text_of(InventoryCollector(inventory, build({})))
    found = {line.partition("{")[2] for line in text.splitlines() if line.startswith("optiinfra_replica_knob{")}
    assert 'instance="a:1",knob="max_running_requests",service="chat"} 8.0' in found  # the inventory goes first
    assert 'instance="a:1",knob="max_batched_tokens",service="chat"} 2048.0' in found
    assert 'instance="a:1",knob="kv_cache_memory_fraction",service="chat"} 0.92' in found
    assert not [line for line in found if 'instance="b:1"' in line]  # a value that nobody understands is unknown


def test_knobs_that_are_words_have_no_series_and_units_are_neutral(tmp_path: Path) -> None:
    config, variables = tmp_path / "engine.yml", tmp_path / "ollama.env"
    config.write_text("kv-cache-dtype: fp8_e4m3\nhicache-size: 16\n")
    variables.write_text("OLLAMA_NUM_PARALLEL=4\nOLLAMA_KEEP_ALIVE=5m\nOLLAMA_KV_CACHE_TYPE=q8_0\n")
    command = "restart_command: ['true']"
    inventory = parse_inventory(f"""\
services:
  chat:
    engine: sglang
    settings: {{scheduling_policy: prefix, tensor_parallel_size: 2}}
    executor: {{type: command}}
    replicas: [{{url: "http://a:1", config_file: {config}, {command}}}]
  local:
    engine: ollama
    executor: {{type: command}}
    replicas: [{{url: "http://b:1", config_file: {variables}, {command}}}]
""")
    text = text_of(InventoryCollector(inventory, build({})))
    assert {line for line in text.splitlines() if line.startswith("optiinfra_replica_knob{")} == {
        'optiinfra_replica_knob{instance="a:1",knob="kv_offload_bytes",service="chat"} 1.6e+10',
        'optiinfra_replica_knob{instance="a:1",knob="tensor_parallel_size",service="chat"} 2.0',
        'optiinfra_replica_knob{instance="b:1",knob="max_running_requests",service="local"} 4.0',
        'optiinfra_replica_knob{instance="b:1",knob="model_keep_alive_seconds",service="local"} 300.0',
    }


def test_rooflines_are_those_of_all_gpus_of_a_replica() -> None:
    inventory = parse_inventory("""\
services:
  chat:
    engine: vllm
    roofline:
      {gpu: h100_sxm, gpus_per_replica: 2, arithmetic: fp8, active_parameters: 8.03e9, weight_bytes: 8e9,
       kv_bytes_per_token: 65536}
  quiet: {engine: vllm}
""")
    text = text_of(InventoryCollector(inventory, build({})))
    assert {line for line in text.splitlines() if line.startswith("optiinfra_roofline{")} == {
        'optiinfra_roofline{fact="active_parameters",service="chat"} 8.03e+09',
        'optiinfra_roofline{fact="weight_bytes",service="chat"} 8e+09',
        'optiinfra_roofline{fact="kv_bytes_per_token",service="chat"} 65536.0',
        'optiinfra_roofline{fact="flops_per_second",service="chat"} 3.958e+15',
        'optiinfra_roofline{fact="bytes_per_second",service="chat"} 6.7e+12',
    }


def test_what_a_replica_costs_comes_from_its_price_or_from_that_of_its_gpus() -> None:
    inventory = parse_inventory("""\
services:
  chat: {engine: vllm, cost: {per_gpu_hour: 2.5, gpus_per_replica: 4}, replicas: [{url: "http://a:1"}]}
  draft: {engine: vllm, cost: {per_replica_hour: 1.2}, replicas: [{url: "http://b:1"}, {url: "http://b:2"}]}
  free: {engine: vllm, replicas: [{url: "http://c:1"}]}
""")
    text = text_of(InventoryCollector(inventory, build({})))
    assert [line for line in text.splitlines() if line.startswith("optiinfra_replica_cost_per_hour{")] == [
        'optiinfra_replica_cost_per_hour{instance="a:1",service="chat"} 10.0',
        'optiinfra_replica_cost_per_hour{instance="b:1",service="draft"} 1.2',
        'optiinfra_replica_cost_per_hour{instance="b:2",service="draft"} 1.2',
    ]


def failing() -> bool:
    raise ProbeFailed("gone")


@pytest.mark.parametrize(
    ("probes", "status"),
    [
        ([], Status.UP),
        ([Probe("a", lambda: True), Probe("b", lambda: None)], Status.UP),
        ([Probe("a", failing)], Status.DEGRADED),
        ([Probe("a", failing), Probe("b", failing, essential=True)], Status.DOWN),
    ],
)
def test_health_is_as_good_as_its_parts(probes: list[Probe], status: Status) -> None:
    assert Health(probes).status() is status


def test_parts_are_tried_once_for_many_askers() -> None:
    tried: list[int] = []
    health = Health([Probe("a", lambda: tried.append(1) or True)], keep_seconds=60)
    health.status()
    health.components()
    assert tried == [1]
