"""A recommender that really listens, in this process or in one of its own, and what tests send to it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
import yaml

from recommender.server import Recommender, assemble, listen
from recommender.settings import Settings

ROLES = ("viewer", "approver", "admin", "agent", "alert_source")
INVENTORY = """\
services:
  chat:
    engine: vllm
    model: m
    objectives: {ttft_p95_seconds: 2.0}
    settings: {max_running_requests: 8, kv_cache_memory_fraction: 0.9, prefix_caching: true}
    replicas:
      - {url: "http://127.0.0.1:9001", node: n1}
      - {url: "http://127.0.0.1:9002", node: n1}
  direct:
    engine: vllm
    scrape: direct
    replicas:
      - {url: "http://127.0.0.1:9003", node: n2}
"""
T = TypeVar("T")


def token(role: str) -> str:
    return f"token-of-the-{role}-for-tests"


def write_configuration(directory: Path, inventory: str = INVENTORY) -> dict[str, Path]:
    """inventory.yml and tokens.yml, one token a role."""
    tokens, file = directory / "tokens.yml", directory / "inventory.yml"
    tokens.write_text(yaml.safe_dump([{"name": role, "role": role, "token": token(role)} for role in ROLES]))
    file.write_text(inventory)
    return {"tokens_file": tokens, "inventory": file}


def payload(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A notification as Alertmanager 0.25 sends it."""
    return {
        "version": "4",
        "groupKey": '{}/{severity="warning"}:{service="chat"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "optiinfra",
        "groupLabels": {"service": "chat"},
        "commonLabels": {"service": "chat"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts) or [alert()],
        **fields,
    }


def alert(fingerprint: str = "c0ffee01", status: str = "firing", **labels: str) -> dict[str, Any]:
    named = {"alertname": "LLMAdmissionLimited", "service": "chat", "bottleneck": "admission_limited"}
    return {
        "status": status,
        "labels": {**named, "severity": "warning", **labels},
        "annotations": {"summary": "slots are exhausted"},
        "startsAt": "2026-11-21T04:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-21T04:10:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": fingerprint,
    }


@dataclass
class Client:
    """Sends requests in a role."""

    url: str

    def call(self, method: str, path: str, role: str | None = "viewer", **arguments: Any) -> requests.Response:
        headers = {"Connection": "close"}  # an answer that a test keeps would keep the server's loop alive
        headers |= {"Authorization": f"Bearer {token(role)}"} if role else {}
        headers |= arguments.pop("headers", {})
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=10, **arguments)

    def get(self, path: str, role: str | None = "viewer", **arguments: Any) -> Any:
        answer = self.call("GET", f"/api/v1{path}", role, **arguments)
        answer.raise_for_status()
        return answer.json()

    def notify(self, body: dict[str, Any] | None = None, **arguments: Any) -> requests.Response:
        data = json.dumps(payload() if body is None else body)
        headers = {"Content-Type": "application/json"}
        return self.call("POST", "/api/v1/alerts", "alert_source", data=data, headers=headers, **arguments)

    def outcomes(self) -> list[str]:
        return [incident["outcome"] for incident in self.get("/alerts")["incidents"]]


def eventually(read: Callable[[], T], wanted: Callable[[T], bool] = bool, seconds: float = 15.0) -> T:
    """The first value that `wanted` accepts; fails with the last one after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if wanted(value):
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        threading.Event().wait(0.02)


@dataclass
class Live(Client):
    """A recommender in this process."""

    recommender: Recommender


@contextmanager
def live(loops: bool = True, **settings: Any) -> Iterator[Live]:
    """Start a recommender on a free port; without `loops` it takes alerts and looks at none."""
    resolved = Settings(listen_address="127.0.0.1", port=0, polling_interval_seconds=0.05, **settings)
    recommender = assemble(resolved)
    server = listen(recommender, resolved)
    thread = threading.Thread(target=server.run)
    thread.start()
    if loops:
        recommender.start()
    try:
        yield Live(f"http://127.0.0.1:{server.effective_port}", recommender)
    finally:
        server.task_dispatcher.shutdown()  # first, so that no handler wakes a server that is closed
        server.trigger.pull_trigger(server.close)  # in the server's own thread; its loop ends with its last socket
        thread.join(10)
        recommender.stop()


@contextmanager
def process(
    directory: Path, environment: dict[str, str], port: int = 0
) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """The real command in a process of its own, on a free port; killed at the end if the test has not done it."""
    log = directory / "recommender.log"
    with (
        log.open("ab") as out,
        subprocess.Popen(
            [sys.executable, "-c", "from recommender.cli import main; main()", "recommender", "--port", str(port)],
            env={**os.environ, **environment, "OPTIINFRA_AGENT_ID": "test", "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=out,
            start_new_session=True,
        ) as running,
    ):
        start = log.stat().st_size
        try:
            url = eventually(lambda: _address(log, start, running), seconds=60)
            yield Client(url), running
        finally:
            running.kill()


def _address(log: Path, start: int, running: subprocess.Popen[bytes]) -> str:
    text = log.read_bytes()[start:].decode()
    assert running.poll() is None, text
    for line in text.splitlines():
        if '"recommender_listening"' in line:
            return f"http://127.0.0.1:{json.loads(line)['port']}"
    return ""
