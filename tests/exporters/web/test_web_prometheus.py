"""A real Prometheus scrapes the real exporter over TLS with a password and a certificate."""

import contextlib
import copy
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.free_port import free_address

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
EXPORTER = [sys.executable, "-c", "from exporters.cli import exporter; exporter()", "--port=0", "--collectors=load"]


TLS = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "clients-ca.pem"}
IDENTITY = {"cert_file": "prometheus.pem", "key_file": "prometheus.key"}


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory, authority: Any, server_certificate: tuple[Path, Path]) -> Path:
    """What both sides need, under the names of the examples."""
    folder = tmp_path_factory.mktemp("scraped")
    for name, source in (
        ("exporter.pem", server_certificate[0]),
        ("exporter.key", server_certificate[1]),
        ("exporter-ca.pem", authority.certificate),
        ("clients-ca.pem", authority.certificate),
        ("prometheus.pem", authority.issue("prometheus", "DNS:prometheus.example")[0]),
        ("prometheus.key", authority.folder / "prometheus.key"),
    ):
        shutil.copy(source, folder / name)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "exporter.password").write_text("right")
    (folder / "secrets" / "wrong.password").write_text("wrong")
    return folder


def web_config(folder: Path, hashed: Callable[[str], str], name: str, **tls: str) -> Path:
    """The example for the exporter, with a password that we know."""
    config = yaml.safe_load((EXAMPLES / "web-config.yml").read_text(encoding="utf-8"))
    config["basic_auth_users"] = {"prometheus": hashed("right")}
    config["tls_server_config"].update(tls)
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def scrape_job(name: str, target: str, **changes: Any) -> dict[str, Any]:
    """The example's job for nodes, with another target and with what is to be different."""
    example = yaml.safe_load((EXAMPLES / "prometheus-exporter-tls.yml").read_text(encoding="utf-8"))
    job: dict[str, Any] = copy.deepcopy(example["scrape_configs"][0])
    job.update(job_name=name, static_configs=[{"targets": [target]}])
    for key, value in changes.items():
        job[key] = {**job[key], **value} if isinstance(value, dict) else value
    return job


def started(stack: contextlib.ExitStack, command: list[str], folder: Path, log: Path) -> None:
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, stdout=sink, stderr=sink, env=os.environ)
    stack.callback(process.wait, timeout=30)
    stack.callback(process.terminate)


def until(find: Callable[[], Any], log: Path) -> Any:
    """What `find` gives, once it gives something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, LookupError):
            if found := find():
                return found
        time.sleep(0.1)
    pytest.fail(log.read_text(encoding="utf-8"))


def exporter(stack: contextlib.ExitStack, folder: Path, config: Path) -> str:
    """Start it and give its address."""
    log = config.with_suffix(".log")
    started(stack, [*EXPORTER, "--web-config-file", str(config)], folder, log)
    event: dict[str, Any] = until(lambda: json.loads(log.read_text(encoding="utf-8").splitlines()[-1]), log)
    return urllib.parse.urlsplit(event["url"]).netloc


def prometheus(stack: contextlib.ExitStack, folder: Path, *jobs: dict[str, Any]) -> dict[str, float]:
    """Start it and give `up` by job, once each was scraped twice."""
    config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": list(jobs)}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    address = free_address()
    log = folder / "prometheus.log"
    storage = ["--storage.tsdb.path=data", f"--web.listen-address={address}"]
    started(stack, ["prometheus", "--config.file=prometheus.yml", *storage], folder, log)

    def ask(query: str) -> dict[str, float]:
        url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
        return {series["metric"]["job"]: float(series["value"][1]) for series in found}

    def all_twice() -> bool:
        return {job for job, times in ask("count_over_time(up[1m])").items() if times >= 2} == {
            job["job_name"] for job in jobs
        }

    until(all_twice, log)
    return ask("up")


@pytest.fixture(name="up", scope="module")
def _up(folder: Path, hashed: Callable[[str], str]) -> Iterator[dict[str, float]]:
    """`up` by job: one Prometheus scrapes an exporter that wants a password, and one that wants a certificate too."""
    with contextlib.ExitStack() as stack:
        asking = exporter(stack, folder, web_config(folder, hashed, "password"))
        strict = exporter(stack, folder, web_config(folder, hashed, "certificate", **TLS))
        yield prometheus(
            stack,
            folder,
            scrape_job("right", asking),
            scrape_job("wrong_password", asking, basic_auth={"password_file": "secrets/wrong.password"}),
            scrape_job("wrong_name", asking, basic_auth={"username": "prometheu"}),
            scrape_job("plain_http", asking, scheme="http", tls_config={}),
            scrape_job("unknown_authority", asking, tls_config={"ca_file": "prometheus.pem"}),
            scrape_job("with_certificate", strict, tls_config=IDENTITY),
            scrape_job("without_certificate", strict),
        )


def test_prometheus_scrapes_with_the_password_and_not_without(up: dict[str, float]) -> None:
    refused = ("wrong_password", "wrong_name", "plain_http", "unknown_authority")
    assert {job: up[job] for job in ("right", *refused)} == {"right": 1, **dict.fromkeys(refused, 0)}


def test_prometheus_scrapes_with_its_certificate_where_one_is_required_and_not_without(up: dict[str, float]) -> None:
    assert (up["with_certificate"], up["without_certificate"]) == (1, 0)


def test_the_examples_are_valid_for_prometheus() -> None:
    path = EXAMPLES / "prometheus-exporter-tls.yml"
    checked = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(path)], check=False, capture_output=True, timeout=60
    )

    assert checked.returncode == 0, checked.stderr
