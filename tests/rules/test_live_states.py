"""Captured states served over HTTP, scraped by a real Prometheus with the shipped configuration, in real time.

The replayer is the engines, a real exporter probes them, and a stand-in for the recommender gives service discovery
and the knobs of the inventory. All durations of the rules are a quarter of the shipped ones, which
`test_captured_states.py` holds to these states in promtool's time; scrapes and evaluations come every 2 s.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from demo.free_port import free_address
from demo.replay import Replayer, serve
from tests.helpers.hurried_rules import hurried_rules

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
STATES = ("idle", "light", "steady", "saturated", "kv_pressure", "prefix_hits")
MAX_NUM_SEQS = 16
INTERVAL = "2s"
TIMES_AS_FAST = 4
DEADLINE_SECONDS = 200.0
# Every state probed and scraped directly; the saturated one also with the limit that the inventory knows.
CAUSES = {
    ("saturated/probed", "LLMAdmissionLimited"),
    ("saturated/direct", "LLMAdmissionLimited"),
    ("saturated/limit-known", "LLMAdmissionLimited"),
    ("kv_pressure/probed", "LLMKVCachePressure"),
    ("kv_pressure/probed", "LLMKVCacheThrash"),
    ("kv_pressure/direct", "LLMKVCachePressure"),
    ("kv_pressure/direct", "LLMKVCacheThrash"),
}

pytestmark = [pytest.mark.process, pytest.mark.timeout(DEADLINE_SECONDS + 60)]


def discovered(engines: str) -> dict[str, list[dict[str, Any]]]:
    """What `/api/v1/sd/<job>` answers, `engines` being the replayer's base URL."""

    def probed(variant: str, states: tuple[str, ...] = STATES) -> list[dict[str, Any]]:
        return [
            {"targets": [f"{engines}/{state}/metrics"], "labels": {"service": f"{state}/{variant}", "engine": "vllm"}}
            for state in states
        ]

    def direct(state: str) -> dict[str, Any]:
        labels = {"service": f"{state}/direct", "engine": "vllm", "__metrics_path__": f"/{state}/metrics"}
        return {"targets": [urlsplit(engines).netloc], "labels": labels}

    everything = probed("probed") + probed("limit-known", ("saturated",))
    return {"llm-probe": everything, "llm-direct": [direct(state) for state in STATES], "node": []}


@contextmanager
def recommender(engines: str) -> Iterator[str]:
    """Service discovery, and the knob of one service in the inventory."""
    answers = {f"/api/v1/sd/{job}": json.dumps(groups) for job, groups in discovered(engines).items()}
    where = f'service="saturated/limit-known",instance="{urlsplit(engines).netloc}",knob="max_running_requests"'
    answers["/metrics"] = f"optiinfra_replica_knob{{{where}}} {MAX_NUM_SEQS}\n"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if self.path == "/metrics" else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def process(command: list[str], address: str, ready: str, log: Path) -> Iterator[None]:
    """A server that runs while the block does; it is waited for until `ready` answers."""
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: answers(f"http://{address}{ready}"), 60, log.read_text)
        yield
    finally:
        child.terminate()
        child.wait(timeout=15)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def wait_until(condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.5)


def configuration(rules_dir: Path, home: Path, moved: dict[str, str]) -> Path:
    """The shipped prometheus.yml and rules with other addresses and intervals."""
    text = (rules_dir / "prometheus.yml").read_text(encoding="utf-8")
    for shipped, here in moved.items():
        assert shipped in text
        text = text.replace(shipped, here)
    config = yaml.safe_load(text)
    config["global"] = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    hurried_rules(rules_dir, home / "rules", TIMES_AS_FAST)
    config["rule_files"] = [str(home / "rules" / pattern) for pattern in config["rule_files"]]
    (home / "secrets").mkdir()
    (home / "secrets" / "viewer.token").write_text("any")
    path = home / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def prometheus(rules_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a Prometheus that scrapes every state, probed and directly."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.fail("Prometheus is not on PATH: install Debian's package `prometheus` (2.42 or newer)")
    home = tmp_path_factory.mktemp("prometheus")
    exporter, address = free_address(), free_address()
    with ExitStack() as stack:
        engines = stack.enter_context(serve(Replayer(CAPTURES)))
        known = stack.enter_context(recommender(engines))
        port = exporter.rpartition(":")[2]
        command = ["-c", "from exporters.cli import exporter; exporter()", f"--port={port}"]
        command += [f"--probe-allow={urlsplit(engines).netloc}"]
        stack.enter_context(process([sys.executable, *command], exporter, "/healthz", home / "exporter.log"))
        moved = {"127.0.0.1:8002": known, "127.0.0.1:8003": exporter, "127.0.0.1:9090": address}
        flags = [
            f"--config.file={configuration(rules_dir, home, moved)}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
        ]
        stack.enter_context(process([binary, *flags], address, "/-/ready", home / "prometheus.log"))
        yield f"http://{address}"


def query(base: str, expr: str) -> list[dict[str, Any]]:
    reply = requests.get(f"{base}/api/v1/query", params={"query": expr}, timeout=10)
    result: list[dict[str, Any]] = reply.json()["data"]["result"]
    return result


def ever_fired(base: str) -> set[tuple[str, str]]:
    """(service, alert) of every cause and fault that ever fired."""
    expr = 'max_over_time(ALERTS{alertstate="firing",kind=~"cause|fault"}[15m])'
    return {(sample["metric"].get("service", ""), sample["metric"]["alertname"]) for sample in query(base, expr)}


def test_each_state_raises_its_cause_and_no_other(prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    first: dict[tuple[str, str], float] = {}

    def all_fired() -> bool:
        for alert in ever_fired(prometheus):
            first.setdefault(alert, time.monotonic() - start)
        return first.keys() >= CAUSES

    wait_until(all_fired, DEADLINE_SECONDS, lambda: f"fired so far: {first}")
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"{alert} of {who} after {t:.0f} s\n" for (who, alert), t in first.items()))
    assert first.keys() == CAUSES
    # idle, light, steady and prefix_hits are watched all the same
    up = {sample["metric"]["service"] for sample in query(prometheus, "replica:llm_up == 1")}
    assert up == {f"{state}/{variant}" for state in STATES for variant in ("probed", "direct")} | {
        "saturated/limit-known"
    }
    evidence = query(prometheus, "replica:bottleneck:evidence or node:bottleneck:evidence")
    assert {(sample["metric"]["service"], sample["metric"]["bottleneck"]) for sample in evidence} == {
        ("saturated/probed", "admission_limited"),
        ("saturated/direct", "admission_limited"),
        ("saturated/limit-known", "admission_limited"),
        ("kv_pressure/probed", "kv_cache_pressure"),
        ("kv_pressure/direct", "kv_cache_pressure"),
    }
