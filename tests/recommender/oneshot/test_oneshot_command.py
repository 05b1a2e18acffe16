"""`optiinfra diagnose` as it is called, against a real Prometheus."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner, Result

from demo.history import Scraped, prometheus, running, series_of
from demo.replay import Replayer, serve
from recommender.cli import main as optiinfra
from recommender.oneshot.cli import diagnose
from recommender.oneshot.client import Access, ReadingClient
from tests.recommender.oneshot.conftest import AT, DATA, STEPS, vllm

INVENTORY = """
services:
  chat:
    engine: vllm
    model: tiny-llama
    objectives: {ttft_p95_seconds: 1.5, itl_p95_seconds: 0.08}
    settings: {max_running_requests: 16}
    replicas: [{url: "http://10.0.0.1:8000"}, {url: "http://10.0.0.99:8000"}]
"""


def call(url: str, *options: str) -> Result:
    return CliRunner().invoke(diagnose, ["--prometheus", url, "--at", str(AT), *options])


def of_json(result: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@contextmanager
def proxy(target: str, token: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What is before a Prometheus: it asks for `token`, if any, and writes down what is asked."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            understood = super().parse_request()
            asked.append((self.command, urlsplit(self.path).path))  # of whatever kind: others than POST get a 501
            return understood

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                self._answer(401, b"who are you?")
                return
            kind = {"Content-Type": self.headers.get("Content-Type", "")}
            there = requests.request(self.command, target + self.path, data=body, headers=kind, timeout=60)
            self._answer(there.status_code, there.content)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_full_batch_is_told_with_the_size_that_helps_and_only_reading_is_asked_of_prometheus(past: str) -> None:
    with proxy(past) as (url, asked):
        result = call(url, "--service", "saturated")
    assert result.exit_code == 2, result.output  # its error budget burns
    assert "the batch limit keeps requests waiting on 10.0.0.1:8000" in result.stdout
    assert "Set --max-num-seqs to 64" in result.stdout
    assert "saturated: 1 replica (vllm), named by the scrape job saturated" in result.stdout
    assert "objectives are TTFT p95 2 s, ITL p95 100 ms, failing requests 1 % (shipped defaults; " in result.stdout
    assert "\x1b" not in result.stdout
    assert "10.0.0.1:8000: node 10.0.0.1" in result.stdout  # dcgm-exporter and node_exporter are scraped there
    assert "--install-rules" in result.stdout
    assert set(asked) <= {("POST", "/api/v1/query"), ("POST", "/api/v1/query_range")}
    assert 10 < len(asked) <= 50


def test_the_inventory_makes_it_a_plan_with_names_and_objectives_of_its_own(past: str, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY, encoding="utf-8")
    report = of_json(call(past, "--service", "chat", "--inventory", str(inventory), "--format", "json"))
    (service,) = report["services"]
    assert service["named_by"] == "the inventory"
    objectives = service["evidence"]["objectives"]  # its own, not the defaults beside them
    assert (objectives["ttft_p95_seconds"], objectives["itl_p95_seconds"]) == (1.5, 0.08)
    assert service["severity"] == "critical"
    assert service["diagnosis"]["missing"] == []
    assert service["notes"] == ["The inventory has replicas of which this Prometheus tells nothing: 10.0.0.99:8000."]
    assert "mean 5" in json.dumps(service["diagnosis"])  # its ITL p95 is below the first bound
    change = service["plan"]["change"]
    assert (change["knob"], change["old"]) == ("max_running_requests", 16)
    assert 16 < change["new"] <= 64
    assert service["plan"]["patches"]
    assert service["objectives_from"] == "the inventory's, and shipped defaults for the rest"
    told = call(past, "--service", "chat", "--inventory", str(inventory)).stdout
    assert f"  write on its command line: --max-num-seqs {change['new']}\n" in told
    assert re.search(r"expected TTFT p95: 0.05 to 0.97 times as much, most likely \S+; now 4.88 s, so 244 ms to ", told)


def test_plan_reads_a_prometheus_itself(past: str, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY, encoding="utf-8")
    asked = ("--prometheus", past, "--at", str(AT), "--inventory", str(inventory))
    patch = CliRunner().invoke(optiinfra, ["plan", "chat", *asked, "--patch", "engine-config"])
    assert (patch.exit_code, patch.stdout[:14]) == (0, "max-num-seqs: "), patch.output
    nothing = CliRunner().invoke(optiinfra, ["plan", "idle", *asked])
    assert (nothing.exit_code, "No plan: nothing is to be done." in nothing.stdout) == (3, True), nothing.output


def test_json_is_stable_and_says_what_was_read(past: str) -> None:
    first, second = (call(past, "--service", "idle", "--format", "json") for _ in range(2))
    assert first.stdout == second.stdout
    assert first.exit_code == 0
    report = of_json(first)
    assert report["schema_version"] == 1
    assert report["source"] == "raw"
    assert report["exit_code"] == 0
    assert {one["condition"].partition(",")[0] for one in report["not_judged"]} <= {
        *("low_throughput", "over_provisioned", "predicted_saturation", "slo_burn")
    }
    (service,) = report["services"]
    assert service["diagnosis"]["status"] == "healthy"
    assert service["evidence"]["replica_readings"]["10.0.0.3:8000"]["replica:llm_requests_waiting:avg2m"]["value"] == 0


def test_markdown_is_for_a_ticket(past: str) -> None:
    result = call(past, "--service", "kv_pressure", "--format", "markdown")
    assert result.exit_code == 2
    assert result.stdout.startswith("# Diagnosis of 2026-11-18 11:06:45 UTC\n")
    assert "## kv\\_pressure: diagnosed (critical)\n" in result.stdout
    assert "### Plan:" in result.stdout


def test_an_engine_that_fell_silent_is_found_and_is_critical(past: str) -> None:
    result = call(past, "--service", "down")
    assert result.exit_code == 2, result.output
    assert "an engine does not answer" in result.stdout


def test_what_the_rules_recorded_goes_first_and_says_the_same(past: str, ruled: str) -> None:
    recorded = of_json(call(ruled, "--service", "saturated", "--format", "json"))
    raw = of_json(call(past, "--service", "saturated", "--format", "json"))
    assert (recorded["source"], raw["source"]) == ("recorded", "raw")
    assert recorded["queries"] < 10 < raw["queries"]
    ours, theirs = recorded["services"][0]["diagnosis"], raw["services"][0]["diagnosis"]
    assert ours["findings"] == theirs["findings"]
    assert ours["text"] == theirs["text"]
    assert recorded["services"][0]["engines"] == ["vllm"]


def test_objectives_that_the_rules_do_not_have_are_not_passed_over_in_silence(ruled: str, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yml"
    replicas = "replicas: [{url: 'http://10.0.0.1:8000'}]"
    inventory.write_text(f"services:\n  saturated: {{engine: vllm, objectives: {{ttft_p95_seconds: 9}}, {replicas}}}\n")
    result = call(ruled, "--service", "saturated", "--inventory", str(inventory))
    assert "Note: The inventory's ttft_p95_seconds 9 is not what was compared with" in result.stdout


def test_who_must_say_who_asks_is_told_how(past: str, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("let-me-in\n", encoding="utf-8")
    with proxy(past, token="let-me-in") as (url, _):
        refused = call(url, "--service", "idle")
        let_in = call(url, "--service", "idle", "--bearer-token-file", str(secret))
    assert refused.exit_code == 4
    assert "answered 401" in refused.stderr
    assert "--bearer-token-file" in refused.stderr
    assert let_in.exit_code == 0, let_in.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--at", "1000000000"), "in the 60 minutes before 2001-09-09 01:46:40 UTC. Looked for replica:llm_up"),
        (("--at", "1000000000"), "Ollama has none"),
        (("--service", "chat"), "saturated (vllm)"),
        (("--engine", "ollama"), "no service that fits --engine ollama"),
        (("--signals", "recorded"), "recording rules do not run"),
        (("--at", "yesterday"), "unix seconds"),
        (("--bearer-token-file", "/nowhere"), "cannot read /nowhere"),
        (("--username", "me"), "--password-file go together"),
        (("--engine-version", "newest"), "as the engine tells it: 0.32.0, b11434"),
        (("--inventory", "/nowhere"), "cannot read the inventory"),
    ],
)
def test_whatever_keeps_it_from_looking_is_said_with_status_4(past: str, options: tuple[str, ...], said: str) -> None:
    result = call(past, *options)
    assert result.exit_code == 4, result.output
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("options", [("--format", "xml"), ("--nonsense",), ("--engine", "gpt"), ("--timeout", "0")])
def test_a_wrong_option_is_no_critical_service(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(optiinfra, ["diagnose", *options])
    assert result.exit_code == 4
    assert "Error" in result.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:9090"])
def test_a_prometheus_that_is_not_there_is_status_4(url: str) -> None:
    result = call(url, "--timeout", "1")
    assert result.exit_code == 4
    assert "--prometheus" in result.stderr
    assert "within" not in result.stderr  # nobody waited


def test_names_of_a_hostile_site_are_data(tmp_path: Path) -> None:
    page = vllm("saturated")
    model = 'x\\"} or vector(1) #$1\\\\ <script>|`[a](http://e)`'
    job = 'x\\"} or vector(2) # $1 *b* \\\\d+'

    def hostile(seconds: float) -> str:
        return page(seconds).replace('model_name="tiny-llama"', f'model_name="{model}"')

    targets = [Scraped(hostile, {"job": job, "instance": "10.0.0.1:8000"})]
    with prometheus(series_of(targets, STEPS), STEPS, AT, tmp_path) as url:
        shown, marked = call(url), call(url, "--format", "markdown")
    assert shown.exit_code == marked.exit_code == 2, shown.output
    assert "the batch limit keeps requests waiting on 10.0.0.1:8000" in shown.stdout
    assert "1 replica (vllm)" in shown.stdout
    assert "<script>" not in marked.stdout.replace("\\<script\\>", "")
    assert "*b*" not in marked.stdout.replace("\\*b\\*", "")


def test_a_prometheus_that_scrapes_since_a_moment_ago_is_told_of_already(tmp_path: Path) -> None:
    with serve(Replayer(DATA / "captures" / "vllm")) as engines:
        target = {"targets": [urlsplit(engines).netloc]}
        job = {"job_name": "llm", "metrics_path": "/saturated/metrics", "static_configs": [target]}
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
        with running(json.dumps(config), tmp_path) as url:  # JSON is YAML
            client = ReadingClient(url, Access(), timeout_seconds=10)
            deadline = time.monotonic() + 30
            while not client.instant('count_over_time(up{job="llm"}[1m]) >= 3'):
                assert time.monotonic() < deadline
                time.sleep(0.2)
            client.close()
            result = CliRunner().invoke(diagnose, ["--prometheus", url, "--format", "json"])
    (service,) = of_json(result)["services"]
    assert (service["service"], service["engines"]) == ("llm", ["vllm"])
    # The batch is full, but a cause asks for two minutes of it: only what is slow already is told.
    assert {one["bottleneck"] for one in service["evidence"]["confirmed"]} <= {"high_latency", "queue_buildup"}
    assert service["plan"] is None
    assert result.exit_code in {0, 1, 3}


def test_how_to_install_the_rules_is_told_without_asking_anybody() -> None:
    result = CliRunner().invoke(diagnose, ["--install-rules"])
    assert result.exit_code == 0
    assert "optiinfra export prometheus" in result.stdout
    assert "optiinfra export operator" in result.stdout
