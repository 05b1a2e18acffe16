"""`rules/prometheus.yml`: valid, loads every rule file, and labels targets as the contract says."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from recommender.http.discovery import Job, target_groups
from recommender.inventory import Inventory, instance_of

TOKEN = "a-token-of-the-role-viewer"

INVENTORY = Inventory.model_validate(
    {
        "services": {
            "direct": {"engine": "vllm", "scrape": "direct", "replicas": [{"url": "http://GPU-2:8000", "node": "n3"}]},
            "based": {"engine": "sglang", "scrape": "direct", "replicas": [{"url": "https://llm.example.org/base"}]},
            "full": {"engine": "vllm", "scrape": "direct", "replicas": [{"url": "http://10.0.0.4/base/metrics"}]},
            "deep": {"engine": "tensorrt_llm", "scrape": "direct", "replicas": [{"url": "http://10.0.0.5:8000"}]},
            "unnamed": {
                "engine": "tgi",
                "model": "tiny",
                "scrape": "direct",
                "replicas": [{"url": "http://[2001:DB8::1]:3000"}],
            },
        }
    }
)

# What the recommender's service discovery gives: engine URLs with the labels of the inventory.
DISCOVERED: dict[str, list[dict[str, Any]]] = {
    "/api/v1/sd/llm-probe": [
        {"targets": ["http://10.0.0.1:8000"], "labels": {"service": "chat", "node": "n1", "engine": "vllm"}},
        {"targets": ["https://llm.example.org/v2/metrics"], "labels": {"service": "web", "node": "n2"}},
    ],
    "/api/v1/sd/llm-direct": [group.model_dump() for group in target_groups(INVENTORY, Job.LLM_DIRECT)],
    "/api/v1/sd/node": [{"targets": ["10.0.0.1:8003"], "labels": {"node": "n1"}}],
}


@pytest.fixture
def discovery() -> Iterator[str]:
    """The address of a service discovery that wants the viewer's token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            body = json.dumps(DISCOVERED[self.path]).encode() if allowed else b""
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def installed(rules_dir: Path, tmp_path: Path) -> Path:
    """The shipped file with its token beside it and its rule files where they lie."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "viewer.token").write_text(TOKEN)
    config = yaml.safe_load((rules_dir / "prometheus.yml").read_text(encoding="utf-8"))
    config["rule_files"] = [str(rules_dir / pattern) for pattern in config["rule_files"]]
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_promtool_accepts_the_file_and_everything_it_names(
    promtool: Callable[..., str], installed: Path, rule_files: list[Path]
) -> None:
    output = promtool("check", "config", installed)
    assert [str(path) for path in rule_files if f"Checking {path}" not in output] == []


def test_tokens_come_from_files_and_addresses_are_loopback(rules_dir: Path) -> None:
    text = (rules_dir / "prometheus.yml").read_text(encoding="utf-8")
    assert "credentials:" not in text
    config = yaml.safe_load(text)
    discoveries = [sd for job in config["scrape_configs"] for sd in job.get("http_sd_configs", ())]
    assert {sd["authorization"]["credentials_file"] for sd in discoveries} == {"secrets/viewer.token"}
    assert all(sd["url"].startswith("http://127.0.0.1:8002/") for sd in discoveries)


def labels_of(promtool: Callable[..., str], installed: Path, discovery: str, job: str) -> list[dict[str, str]]:
    """Target labels of a job after relabelling, from a real service discovery."""
    installed.write_text(installed.read_text(encoding="utf-8").replace("127.0.0.1:8002", discovery), encoding="utf-8")
    output = promtool("check", "service-discovery", "--timeout=1s", installed, job)
    found = json.loads(output[output.index("[") :])
    return [target["labels"] for target in found]


def test_a_probed_engine_keeps_its_own_instance_and_is_scraped_through_the_exporter(
    promtool: Callable[..., str], installed: Path, discovery: str
) -> None:
    chat, web = sorted(labels_of(promtool, installed, discovery, "llm-probe"), key=lambda labels: labels["service"])
    assert chat["__address__"] == "127.0.0.1:8003"
    assert chat["__metrics_path__"] == "/probe"
    assert chat["__param_target"] == "http://10.0.0.1:8000"
    assert chat["__param_engine"] == "vllm"
    assert {k: v for k, v in chat.items() if not k.startswith("__")} == {
        "job": "llm-probe",
        "instance": "10.0.0.1:8000",
        "service": "chat",
        "node": "n1",
    }
    assert web["__param_target"] == "https://llm.example.org/v2/metrics"
    assert "__param_engine" not in web
    assert web["instance"] == "llm.example.org:443"


NAMED = {
    "http://gpu-1:8000": "gpu-1:8000",
    "http://GPU-1.Example:8000/base": "gpu-1.example:8000",
    "http://gpu-1": "gpu-1:80",
    "https://gpu-1/base/metrics": "gpu-1:443",
    "http://[2001:DB8::1]": "[2001:db8::1]:80",
    "https://[2001:db8::1]:8000/base": "[2001:db8::1]:8000",
}


def test_the_instance_is_named_as_the_recommender_names_the_replica(
    promtool: Callable[..., str], installed: Path, discovery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [{"targets": [url], "labels": {"service": url}} for url in NAMED]
    monkeypatch.setitem(DISCOVERED, "/api/v1/sd/llm-probe", groups)
    found = {labels["service"]: labels["instance"] for labels in labels_of(promtool, installed, discovery, "llm-probe")}
    assert found == NAMED == {url: instance_of(url) for url in NAMED}


def test_an_engine_scraped_directly_is_scraped_where_it_is(
    promtool: Callable[..., str], installed: Path, discovery: str
) -> None:
    found = {labels["service"]: labels for labels in labels_of(promtool, installed, discovery, "llm-direct")}
    where = {
        service: (labels["__scheme__"], labels["__address__"], labels["__metrics_path__"], labels["instance"])
        for service, labels in found.items()
    }
    assert where == {
        "direct": ("http", "gpu-2:8000", "/metrics", "gpu-2:8000"),
        "based": ("https", "llm.example.org:443", "/base/metrics", "llm.example.org:443"),
        "full": ("http", "10.0.0.4:80", "/base/metrics", "10.0.0.4:80"),
        "deep": ("http", "10.0.0.5:8000", "/prometheus/metrics", "10.0.0.5:8000"),
        "unnamed": ("http", "[2001:db8::1]:3000", "/metrics", "[2001:db8::1]:3000"),
    }


def test_an_engine_scraped_directly_is_a_job_of_its_own(
    promtool: Callable[..., str], installed: Path, discovery: str
) -> None:
    found = {labels["service"]: labels for labels in labels_of(promtool, installed, discovery, "llm-direct")}
    assert {service: labels["job"] for service, labels in found.items()} == {
        name: service.engine for name, service in INVENTORY.services.items()
    }
    assert not [labels for labels in found.values() if "engine" in labels]
    assert {service: labels["model"] for service, labels in found.items() if "model" in labels} == {"unnamed": "tiny"}


def test_a_node_is_scraped_at_its_exporter(promtool: Callable[..., str], installed: Path, discovery: str) -> None:
    (node,) = labels_of(promtool, installed, discovery, "node")
    assert (node["__address__"], node["__metrics_path__"], node["node"]) == ("10.0.0.1:8003", "/metrics", "n1")
