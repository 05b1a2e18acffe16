"""docker-compose.yml and what it mounts: that every name, address, path and secret in it leads somewhere."""

import importlib.resources
import importlib.util
import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from demo.engine.config import parse as parse_engine_flags
from recommender.auth import load_tokens
from recommender.inventory import load_inventory

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ADDRESS = re.compile(r"(?:https?://)?([a-z][a-z0-9-]*|127\.0\.0\.1|0\.0\.0\.0):(\d{2,5})(?![\d:])")
DEMO = {"engine-1", "engine-2", "engine-3", "load"}


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _scalars(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _scalars(value)
    elif isinstance(node, list):
        for item in node:
            yield from _scalars(item)
    else:
        yield str(node)


def _default(text: str) -> str:
    """Compose's `${NAME:-default}` with nothing set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def _listening(name: str) -> set[int]:
    service = SERVICES[name]
    published = {int(port.rsplit(":", 1)[1]) for port in service.get("ports", ())}
    flags = re.findall(r"--port=(\d+)", " ".join(service.get("command", ())))
    return published | {int(port) for port in flags}


def _mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for mount in service.get("volumes", ()):
        source, target, *mode = _default(mount).split(":")
        yield source, target, mode[0] if mode else ""


@pytest.fixture(params=sorted(SERVICES), name="service")
def _each_service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


def test_the_file_follows_the_compose_specification() -> None:
    schema = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"

    jsonschema.validate(COMPOSE, json.loads(schema.read_text(encoding="utf-8")))


def test_the_stack_is_whole_and_only_the_simulation_is_in_a_profile() -> None:
    assert set(SERVICES) == {"recommender", "exporter", "prometheus", "alertmanager", "grafana"} | DEMO
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["demo"]} == DEMO


def test_images_are_pinned_to_a_full_version(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def test_nothing_runs_as_root_or_can_become_root(service: dict[str, Any]) -> None:
    assert int(service["user"].split(":")[0]) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True


def test_ports_are_published_on_loopback_only(service: dict[str, Any]) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in service.get("ports", ()))


def test_every_service_has_a_healthcheck_with_a_time_limit(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


def test_a_healthcheck_asks_a_port_that_a_service_listens_on() -> None:
    for name, service in SERVICES.items():
        for host, port in ADDRESS.findall(" ".join(service["healthcheck"]["test"])):
            assert int(port) in _listening(name if host == "127.0.0.1" else host), name


def test_services_wait_for_the_health_of_services_that_exist(service: dict[str, Any]) -> None:
    for name, condition in service.get("depends_on", {}).items():
        assert name in SERVICES
        assert condition == {"condition": "service_healthy"}


def test_the_stack_does_not_wait_for_the_simulation() -> None:
    for name in set(SERVICES) - DEMO:
        assert not DEMO & set(SERVICES[name].get("depends_on", {}))


def test_every_mounted_path_exists_and_is_read_only(service: dict[str, Any]) -> None:
    for source, _, mode in _mounts(service):
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == "ro", source
        else:
            assert source in COMPOSE["volumes"], source


def test_named_volumes_and_secrets_are_all_used() -> None:
    mounted = {source for service in SERVICES.values() for source, _, _ in _mounts(service)}

    assert set(COMPOSE["volumes"]) <= mounted
    assert set(COMPOSE["secrets"]) == {name for service in SERVICES.values() for name in service.get("secrets", ())}


def test_every_address_of_the_stack_names_a_service_and_a_port_it_listens_on() -> None:
    texts = [_default(text) for service in SERVICES.values() for text in _scalars(service.get("environment", {}))]
    texts += [text for service in SERVICES.values() for text in _scalars(service.get("command", []))]
    for name in ("prometheus.yml", "alertmanager.yml", "inventory.yml"):
        texts += _scalars(_yaml(FOLDER / name))
    addresses = [address for text in texts for address in ADDRESS.findall(text)]

    assert len(addresses) >= 15
    for host, port in addresses:
        assert int(port) in _listening(host), f"{host}:{port}"


def test_prometheus_and_alertmanager_run_the_shipped_configuration_at_other_addresses() -> None:
    spec = importlib.util.spec_from_file_location("derive", FOLDER / "derive.py")
    assert spec is not None
    assert spec.loader is not None
    derive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(derive)

    for name in derive.SHIPPED:
        committed = (FOLDER / name).read_text(encoding="utf-8")
        assert committed == derive.derive(name), f"{name} is stale; run: python deploy/compose/derive.py"
        assert "127.0.0.1" not in committed


def test_rule_files_exist_where_the_rules_are_mounted() -> None:
    mount = {target: source for source, target, _ in _mounts(SERVICES["prometheus"])}
    patterns = _yaml(FOLDER / "prometheus.yml")["rule_files"]

    for pattern in patterns:
        relative = pattern.removeprefix("/etc/prometheus/rules/")
        assert relative != pattern
        assert list((ROOT / mount["/etc/prometheus/rules"]).glob(relative)), pattern


def test_credentials_files_are_secrets_that_the_service_gets() -> None:
    for name in ("prometheus", "alertmanager"):
        files = re.findall(r"credentials_file: (\S+)", (FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
        assert files
        assert {Path(file).name for file in files} <= set(SERVICES[name]["secrets"])
        assert {str(Path(file).parent) for file in files} == {"/run/secrets"}


def test_configuration_paths_in_the_environment_are_mounted() -> None:
    for service in SERVICES.values():
        targets = {target for _, target, _ in _mounts(service)}
        targets |= {f"/run/secrets/{name}" for name in service.get("secrets", ())}
        paths = [text for text in _scalars(service.get("environment", {})) if text.startswith("/")]
        for path in paths:
            assert any(path == target or path.startswith(f"{target}/") for target in targets), path


def test_the_file_holds_no_secret() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|KEY", key):
                assert value.startswith("/run/secrets/"), key


def test_grafana_lets_anybody_look_and_nobody_edit() -> None:
    environment = SERVICES["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_the_inventory_lists_the_simulated_engines_and_only_advises() -> None:
    inventory = load_inventory(FOLDER / "inventory.yml")
    targets = inventory.targets("chat")

    assert {target.instance for target in targets} == {
        f"{name}:{port}" for name in DEMO - {"load"} for port in _listening(name)
    }
    assert inventory.services["chat"].executor.type == "dry_run"


def test_the_exporter_may_probe_exactly_the_engines_of_the_inventory() -> None:
    allowed = _default(SERVICES["exporter"]["environment"]["OPTIINFRA_PROBE_ALLOW"]).split(",")

    assert set(allowed) == {target.instance for target in load_inventory(FOLDER / "inventory.yml").targets("chat")}


def test_engine_flags_are_flags_of_the_simulated_engine_and_agree_with_the_inventory() -> None:
    settings = load_inventory(FOLDER / "inventory.yml").services["chat"].settings
    for name in DEMO - {"load"}:
        module, *flags = SERVICES[name]["command"]
        config = parse_engine_flags(flags)
        assert module == "demo.engine"
        assert config.limits.max_num_seqs == settings.max_running_requests
        assert config.model == "tiny-llama"


def test_build_targets_are_stages_of_the_dockerfile_and_bases_are_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))

    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= stages
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim$", dockerfile, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) <= {"${PYTHON_IMAGE}"} | stages
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    kept = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }

    assert copied <= kept
    assert all((ROOT / source).exists() for source in copied)


def test_image_tags_carry_the_version_of_the_product() -> None:
    version = re.search(r'__version__ = "(.+)"', (ROOT / "exporters" / "__init__.py").read_text(encoding="utf-8"))
    ours = {service["image"] for service in SERVICES.values() if "build" in service}

    assert version is not None
    assert ours == {f"optiinfra:{version[1]}", f"optiinfra-demo:{version[1]}"}


def test_make_secrets_makes_what_compose_mounts_and_keeps_what_exists(tmp_path: Path) -> None:
    script, folder = FOLDER / "make-secrets.sh", tmp_path / "secrets"
    subprocess.run([script, folder], check=True, capture_output=True)
    first = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    subprocess.run([script, folder], check=True, capture_output=True)

    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} <= set(first)
    assert first == {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    tokens = load_tokens(folder / "tokens.yml")
    for role in ("viewer", "alert_source", "approver", "admin"):
        principal = tokens.authenticate(first[role])
        assert principal is not None
        assert principal.role == role
        assert first[role] not in first["tokens.yml"]


def test_secrets_stay_out_of_git() -> None:
    ignored = (FOLDER / "secrets" / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert ignored[-2:] == ["*", "!.gitignore"]
