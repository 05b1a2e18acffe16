"""The demo's files: the shipped configuration at other addresses, legal for the programs that read them."""

import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from demo import render
from demo.engine.config import parse
from demo.errors import DemoError
from demo.paths import ROOT, Paths
from demo.ports import Ports
from demo.stack import ROLES, Binaries, Stack
from recommender.inventory import load_inventory

PORTS = Ports(recommender=18002, exporter=18003, prometheus=19090, alertmanager=19093, grafana=13000, engine=18101)


@pytest.fixture(name="stack")
def _stack(tmp_path: Path) -> Stack:
    stack = Stack(Paths(tmp_path), PORTS, Binaries("prometheus", "prometheus-alertmanager", ("grafana-server",)))
    stack.prepare()
    return stack


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("http://127.0.0.1:8002/api/v1/alerts", "http://127.0.0.1:18002/api/v1/alerts"),
        ("http://recommender:8002", "http://127.0.0.1:18002"),
        ("127.0.0.1:8003", "127.0.0.1:18003"),
        ("exporter.example.org:8003/metrics", "127.0.0.1:18003/metrics"),
        ("http://elsewhere:9100/metrics", "http://elsewhere:9100/metrics"),
        ("(?:https?://)?([^/]+).*", "(?:https?://)?([^/]+).*"),
        ('service=~".+"', 'service=~".+"'),
        ("12:8002x", "12:8002x"),
    ],
)
def test_only_addresses_of_our_own_servers_move(text: str, moved: str) -> None:
    assert render.move_address(text, PORTS) == moved


def test_prometheus_runs_the_shipped_rules_every_five_seconds_with_the_viewers_token(stack: Stack) -> None:
    config = yaml.safe_load(stack.paths.prometheus.read_text())
    shipped = yaml.safe_load((ROOT / "rules/prometheus.yml").read_text())

    assert config["global"] == {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"}
    assert config["rule_files"] == [str(ROOT / "rules" / name) for name in shipped["rule_files"]]
    assert [job["job_name"] for job in config["scrape_configs"]] == [
        job["job_name"] for job in shipped["scrape_configs"]
    ]
    text = stack.paths.prometheus.read_text()
    assert f"credentials_file: {stack.paths.token('viewer')}" in text
    assert not any(f":{port}" in text for port in (8002, 8003, 9090, 9093))


@pytest.mark.process
def test_promtool_and_amtool_accept_the_rendered_files(stack: Stack) -> None:
    subprocess.run(["promtool", "check", "config", stack.paths.prometheus], check=True, capture_output=True)
    subprocess.run(["amtool", "check-config", stack.paths.alertmanager], check=True, capture_output=True)


def test_the_inventory_is_legal_and_names_engines_that_start_with_too_few_slots(stack: Stack) -> None:
    inventory = load_inventory(stack.paths.inventory)

    [service] = inventory.services.values()
    assert [replica.url for replica in service.replicas] == [f"http://127.0.0.1:{port}" for port in range(18101, 18104)]
    assert service.executor.type == "command"
    assert inventory.exporters() == {"demo": "127.0.0.1:18003"}
    for number, replica in enumerate(service.replicas, start=1):
        config = parse(["--config", str(replica.config_file)])
        assert (config.port, config.limits.max_num_seqs) == (18100 + number, 8)
        assert replica.restart_command[1:] == ("-m", "demo.restart", str(stack.paths.engine_pid(number)))


def test_tokens_are_random_private_and_kept_over_a_restart(stack: Stack) -> None:
    first = {role: stack.paths.token(role).read_text() for role in ROLES}
    stack.prepare()

    assert len(set(first.values())) == len(ROLES)
    assert {role: stack.paths.token(role).read_text() for role in ROLES} == first
    for path in (stack.paths.tokens, *(stack.paths.token(role) for role in ROLES)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(token.strip() in stack.paths.tokens.read_text() for token in first.values())


def test_a_new_run_forgets_the_measurements_and_settings_of_the_last(stack: Stack) -> None:
    stack.paths.database.write_text("old")
    stack.paths.engine_config(1).write_text("max-num-seqs: 16\n")
    stack.prepare()

    assert not stack.paths.database.exists()
    assert yaml.safe_load(stack.paths.engine_config(1).read_text())["max-num-seqs"] == 8


def test_with_an_own_inventory_nothing_is_simulated_and_data_is_kept(tmp_path: Path) -> None:
    own = tmp_path / "mine.yml"
    own.write_text("services: {api: {engine: vllm, replicas: [{url: 'http://gpu-1:8000'}]}}\n")
    stack = Stack(Paths(tmp_path / "run"), PORTS, Binaries("prometheus", "alertmanager", None), own)
    stack.prepare()
    stack.paths.database.write_text("kept")
    stack.prepare()
    commands = {command.name: command for command in stack.commands()}

    assert set(commands) == {"exporter", "recommender", "prometheus", "alertmanager"}
    assert commands["exporter"].environment["OPTIINFRA_PROBE_ALLOW"] == "gpu-1:8000"
    assert commands["recommender"].environment["OPTIINFRA_INVENTORY"] == str(own)
    assert stack.paths.database.read_text() == "kept"


def test_the_simulated_stack_is_complete_and_on_loopback(stack: Stack) -> None:
    commands = {command.name: command for command in stack.commands()}

    assert set(commands) == {
        *(f"engine-{number}" for number in (1, 2, 3)),
        *("load", "exporter", "recommender", "prometheus", "alertmanager", "grafana"),
    }
    assert "--web.listen-address=127.0.0.1:19090" in commands["prometheus"].arguments
    assert "--web.listen-address=127.0.0.1:19093" in commands["alertmanager"].arguments
    assert commands["grafana"].environment["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert commands["grafana"].environment["PROMETHEUS_URL"] == "http://127.0.0.1:19090"
    assert Path(commands["grafana"].environment["OPTIINFRA_DASHBOARDS"]).is_dir()


def test_a_faulty_own_inventory_is_refused_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "mine.yml"
    own.write_text("services:\n  api:\n    engin: vllm\n")
    stack = Stack(Paths(tmp_path / "run"), PORTS, Binaries("prometheus", "alertmanager", None), own)

    with pytest.raises(DemoError, match="line 3: unknown key 'engin'"):
        stack.check()


def test_missing_programs_are_named_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "prometheus").touch(mode=0o755)

    with pytest.raises(DemoError, match=r"sudo apt-get install prometheus-alertmanager\n.*docker compose"):
        Binaries.find(str(tmp_path))


def test_upstream_names_of_alertmanager_and_grafana_are_found_too(tmp_path: Path) -> None:
    for name in ("prometheus", "alertmanager", "grafana"):
        (tmp_path / name).touch(mode=0o755)

    found = Binaries.find(str(tmp_path))
    assert (found.alertmanager, found.grafana) == (
        str(tmp_path / "alertmanager"),
        (str(tmp_path / "grafana"), "server"),
    )
