"""inventory.yml: what is legal, and what is said of what is not."""

from pathlib import Path
from typing import get_args

import pytest

from exporters.catalog import COMPANIONS
from exporters.catalog import Engine as CatalogueEngine
from recommender.errors import ConfigError
from recommender.inventory import Companion, Engine, Inventory, instance_of, load_inventory, parse_inventory
from recommender.knobs import engines, load

GOOD = """\
services:
  chat:
    engine: vllm
    model: tiny-llama
    objectives: {ttft_p95_seconds: 2.0, itl_p95_seconds: 0.1, error_ratio: 0.01}
    settings: {max_running_requests: 8}
    replicas:
      - url: http://127.0.0.1:8101/
        node: demo-1
        config_file: run/engines/replica-1.yml
        restart_command: [python, -m, demo.restart, run/engines/replica-1.pid]
      - url: https://[::1]
        node: demo-2
        config_file: b.yml
        restart_command: [systemctl, restart, vllm]
    executor: {type: command, ready_path: /health, ready_timeout_seconds: 300, restart_timeout_seconds: 60}
    policy: {approval: auto, approval_ttl_seconds: 60, cooldown_seconds: 0}
    verification: {settle_seconds: 10, window_seconds: 60, interval_seconds: 5, min_requests: 20}
nodes:
  demo-2: {exporter: "10.0.0.2:9999"}
"""


def test_a_whole_inventory_is_read() -> None:
    inventory = parse_inventory(GOOD)
    first, second = inventory.targets("chat")
    assert (first.instance, first.url, first.node) == ("127.0.0.1:8101", "http://127.0.0.1:8101", "demo-1")
    assert first.restart_command == ("python", "-m", "demo.restart", "run/engines/replica-1.pid")
    assert second.instance == "[::1]:443"
    assert inventory.exporters() == {"demo-1": "127.0.0.1:8003", "demo-2": "10.0.0.2:9999"}
    assert inventory.services_on("demo-2") == ("chat",)
    assert inventory.targets("unknown") == ()


def test_the_gpus_of_a_replica_are_named_by_index_or_uuid() -> None:
    inventory = parse_inventory(GOOD.replace("node: demo-1", "node: demo-1\n        gpus: [0, GPU-8e1c, '10']"))
    assert inventory.gpus_of("chat") == {"127.0.0.1:8101": ("0", "GPU-8e1c", "10")}
    assert inventory.gpus_of("unknown") == {}
    with pytest.raises(ConfigError, match="gpus"):
        parse_inventory(GOOD.replace("node: demo-1", "node: demo-1\n        gpus: [0.5]"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "services:\n", "{}", "services: {}\nnodes: {}\n"])
def test_an_empty_inventory_is_legal(text: str) -> None:
    assert parse_inventory(text) == Inventory()


def test_without_a_file_there_is_an_empty_inventory() -> None:
    assert load_inventory(None) == Inventory()


def test_the_engines_of_an_inventory_are_those_of_the_catalogue() -> None:
    assert {*get_args(Engine)} == {engine.value for engine in CatalogueEngine if engine not in COMPANIONS}
    assert {*get_args(Companion)} == {engine.value for engine in COMPANIONS}


@pytest.mark.parametrize("engine", get_args(Engine))
def test_every_engine_can_be_looked_after(engine: str) -> None:
    text = f"services: {{chat: {{engine: {engine}, replicas: [{{url: 'http://a:1'}}]}}}}"
    assert [target.engine for target in parse_inventory(text).targets("chat")] == [engine]


def service(lines: str) -> str:
    return "services:\n  chat:\n    engine: vllm\n" + "".join(f"    {line}\n" for line in lines.splitlines())


MODEL = "active_parameters: 8.03e9, weight_bytes: 16.06e9, kv_bytes_per_token: 131072"
BAD = [
    (service("replicaz: 3"), "inventory.yml line 4: unknown key 'replicaz' in services.chat; did you mean 'replicas'?"),
    (service("settings:\n  max_runing_requests: 8"), "line 5: unknown key 'max_runing_requests' in services.chat.set"),
    (service("settings: {max_runing_requests: 8}"), "did you mean 'max_running_requests'?"),
    (service("policy: {xyz: 1}"), "known keys: approval, approval_ttl_seconds, cooldown_seconds"),
    (service("replicas:\n  - {url: 'http://a:1', nod: x}"), "line 5: unknown key 'nod' in services.chat.replicas[0]"),
    (service("cost: {}"), "write either per_replica_hour or per_gpu_hour"),
    (service("cost: {per_replica_hour: 1, per_gpu_hour: 1}"), "write either per_replica_hour or per_gpu_hour"),
    (service("cost: {per_gpu_hour: 0}"), "line 4: services.chat.cost.per_gpu_hour"),
    (service("cost: {per_gpu_hour: .inf}"), "line 4: services.chat.cost.per_gpu_hour"),
    (service("cost: {per_gpu_hour: 1, gpus_per_replica: 0}"), "services.chat.cost.gpus_per_replica"),
    (service("replicas: [{node: a}]"), "line 4: services.chat.replicas[0] needs 'url'"),
    (service("replicas:\n- url: ftp://a"), "line 5: services.chat.replicas[0].url: 'ftp://a' is not an http or https"),
    (service("replicas:\n- url: http://a:99999"), "has a bad port"),
    (service("replicas:\n- url: http://user:secret@a"), "has no user, password, query or fragment"),
    (
        service("replicas:\n- url: http://a:1\n- url: http://a:1/"),
        "line 6: replica a:1 is already services.chat.replicas[0]; list each address once",
    ),
    (
        service("executor: {type: command}\nreplicas:\n- url: http://a:1"),
        "line 6: executor command needs config_file and restart_command on every replica",
    ),
    (service("replicas:\n- url: http://a:1\n  restart_command: rm -rf /"), "as a list of arguments"),
    (service("settings: {max_running_requests: many}"), "services.chat.settings.max_running_requests: Input should be"),
    (service("settings: {max_running_requests: 0}"), "greater than or equal to 1 (not 0)"),
    (service("objectives: {error_ratio: 3}"), "less than or equal to 1 (not 3)"),
    (service("objectives: {ttft_slow_ratio: 0}"), "greater than 0 (not 0)"),
    (service("objectives: {itl_slow_ratio: 1}"), "less than 1 (not 1)"),
    (service("verification: {window_seconds: 60}"), "must hold at least 3 intervals"),
    (service(f"roofline: {{gpu: h1000, {MODEL}}}"), "'h1000' is not a known GPU; use one of t4, l4,"),
    (service(f"roofline: {{gpu: a100_80gb, arithmetic: fp8, {MODEL}}}"), "a100_80gb does not compute in fp8"),
    (service("engine: sglang"), "line 4: 'services.chat.engine' is already on line 3"),
    ("services: {chat: {}}", "line 1: services.chat needs 'engine'"),
    (
        "services:\n  chat:\n    engine: ollama\n    scrape: direct",
        "line 4: ollama has no metrics for Prometheus to read, only JSON; use scrape: probe",
    ),
    (
        service("replicas:\n- url: http://a:1\n  companions:\n  - {engine: lmcache, url: http://a:1/metrics}"),
        "line 7: companion a:1 is already services.chat.replicas[0]; list each address once",
    ),
    (
        service("replicas:\n- url: http://a:1\n  companions:\n  - {engine: vllm, url: http://a:2}"),
        "services.chat.replicas[0].companions[0].engine: Input should be 'lmcache' or 'kvoptkit'",
    ),
    ("services: {chat: {engine: lmcache}}", "line 1: services.chat.engine: Input should be 'vllm'"),
    ("services: {'a b': {engine: vllm}}", "'a b' is no name"),
    ("services: {chat: {engine: vlm}}", "'vllm'"),
    ("services: [1]", "line 1: services: Input should be a valid dictionary"),
    ("- 1", "start it with 'services:'"),
    ("servicez: {}", "unknown key 'servicez'; did you mean 'services'?"),
    ("a: b: c", "line 1: not valid YAML"),
    ("services: &x {chat: *x}", "an alias contains itself"),
    ("services: 2024-13-99", "not valid YAML"),
    ("services: !!python/object/apply:os.system [true]", "services: Input should be a valid dictionary"),
    ("nodes: {a: {exporter: nothing}}", "nodes.a.exporter"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said for _, said in BAD])
def test_what_is_wrong_is_said_with_file_line_and_mend(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_inventory(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("inventory.yml")
    assert "secret" not in str(caught.value)


def test_several_findings_are_all_said() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_inventory(service("replicaz: 3\npolicy: {approval: maybe}"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yml.*No such file"):
        load_inventory(tmp_path / "missing.yml")
    (tmp_path / "latin.yml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_inventory(tmp_path / "latin.yml")


@pytest.mark.parametrize(
    ("engine", "settings", "says"),
    [
        ("vllm", "kv_cache_dtype: fp9", "fp9 is not legal for vllm; use auto, fp16, bf16, fp8"),
        ("vllm", "tensor_parallel_size: 65", "65 is not legal for vllm; use a whole number, 1 to 64"),
        ("ollama", "kv_offload_bytes: 1", "ollama has no such knob"),
        ("vllm", "scheduling_policy: 'Robert\\\\'", "String should match pattern"),
    ],
)
def test_a_setting_that_the_engine_cannot_have_is_refused(engine: str, settings: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_inventory(f"services:\n  chat:\n    engine: {engine}\n    settings:\n      {settings}\n")
    assert says in str(refused.value)
    assert "line 5" in str(refused.value)


def test_a_file_that_no_executor_changes_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"line 6.*Triton reads a model's settings from its config.pbtxt"):
        parse_inventory("""\
services:
  chat:
    engine: triton
    executor: {type: command}
    replicas:
      - {url: "http://a:1", config_file: model/triton.yml, restart_command: [reload]}
""")


def test_settings_of_a_companion_and_of_an_engine_without_knobs_are_taken_as_they_are() -> None:
    told = parse_inventory("""\
services:
  chat: {engine: vllm, settings: {external_cache_bytes: 5368709120, kv_cache_dtype: fp8}}
  graph: {engine: dynamo, settings: {kv_offload_bytes: 1}}
""")
    assert told.services["chat"].settings.declared() == {"external_cache_bytes": 5 * 2**30, "kv_cache_dtype": "fp8"}


def test_every_declared_knob_is_one_that_an_engine_has() -> None:
    known = {knob.name for engine in engines() for knob in load(engine).knobs}
    declared = set(parse_inventory(GOOD).services["chat"].settings.__class__.model_fields)
    assert declared <= known


@pytest.mark.parametrize(
    ("url", "instance"),
    [("http://a", "a:80"), ("https://A.example/x", "a.example:443"), ("http://[fe80::1]:8000", "[fe80::1]:8000")],
)
def test_the_instance_of_a_url_is_host_and_port(url: str, instance: str) -> None:
    assert instance_of(url) == instance


SHARED = """\
services:
  chat:
    engine: vllm
    executor: {type: command}
    replicas:
      - {url: "http://127.0.0.1:1", config_file: run/a.yml, restart_command: [x]}
      - {url: "http://127.0.0.1:2", config_file: run/../run/a.yml, restart_command: [y]}
"""


def test_two_replicas_that_are_changed_do_not_share_a_file() -> None:
    with pytest.raises(ConfigError, match=r"line 7: run/\.\./run/a\.yml is the file of 127\.0\.0\.1:1 too"):
        parse_inventory(SHARED)
    assert parse_inventory(SHARED.replace("type: command", "type: dry_run")).services


@pytest.mark.parametrize("limit", ["ttft_p95_max_ratio", "itl_p95_max_ratio", "preemptions_per_request_max"])
@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_a_guard_without_a_limit_is_refused(limit: str, value: str) -> None:
    with pytest.raises(ConfigError, match=limit):
        parse_inventory(f"services: {{chat: {{engine: vllm, verification: {{{limit}: {value}}}}}}}")
