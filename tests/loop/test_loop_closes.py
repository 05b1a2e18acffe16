"""The whole loop on real processes: traffic, alert, plan, approval, canary, verdict, done; every panel has data."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from dashboards.build import dashboard_files
from dashboards.inspection import panel_queries
from demo.paths import ROOT, Paths
from demo.ports import Ports

pytestmark = [pytest.mark.demo, pytest.mark.process, pytest.mark.timeout(720)]

OFFSET = 23000  # clear of the default ports and of the ephemeral range


class Loop:
    """One run of `python -m demo up --auto`."""

    def __init__(self, run: Path) -> None:
        self.paths = Paths(run)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OPTIINFRA_", "DEMO_"))
        }
        environment |= {"OPTIINFRA_DEMO_DIR": str(run), "DEMO_PORT_OFFSET": str(OFFSET)}
        self.ports = Ports.from_environment(environment)
        self.told = run / "story.txt"
        run.mkdir(parents=True)
        with self.told.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo", "up", "--auto"], cwd=ROOT, env=environment, stdout=out, stderr=out
            )

    def get(self, path: str) -> Any:
        token = self.paths.token("viewer").read_text().strip()
        answer = requests.get(
            self.ports.url("recommender") + path, headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
        answer.raise_for_status()
        return answer.json()

    def query(self, expr: str) -> list[Any]:
        answer = requests.get(self.ports.url("prometheus") + "/api/v1/query", params={"query": expr}, timeout=20)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        return answer.json()["data"]["result"]

    def workflow(self) -> dict[str, Any] | None:
        """The one workflow of the story, once there is one."""
        try:
            found = self.get("/api/v1/workflows")["workflows"]
        except (requests.RequestException, FileNotFoundError):
            return None
        assert len(found) <= 1, "one alert group leads to at most one change"
        return found[0] if found else None

    def wait_for(self, *states: str, seconds: float) -> dict[str, Any]:
        """The workflow, once it is in one of `states`; the story's own words when it ends before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            workflow = self.workflow()
            if workflow is not None and workflow["state"] in states:
                return workflow
            time.sleep(0.1)  # the story ends soon after its last state
        raise AssertionError(f"no workflow in {states} within {seconds:.0f} s:\n{self.told.read_text()}")


@pytest.fixture(name="loop")
def _loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path / "run")
    try:
        yield loop
    finally:
        if loop.process.poll() is None:
            loop.process.send_signal(signal.SIGTERM)
        loop.process.wait(60)


def test_an_alert_becomes_a_verified_change_and_every_panel_shows_data(loop: Loop) -> None:
    planned = loop.wait_for("pending_approval", "approved", "canary", seconds=240)
    change = planned["plan"]["change"]
    loop.wait_for("validating", seconds=300)
    empty = [
        f"{query.dashboard} / {query.panel}: {query.substituted}"
        for text in dashboard_files().values()
        for query in panel_queries(json.loads(text))
        if query.always and not loop.query(query.substituted)
    ]
    fired = {series["metric"]["alertname"] for series in loop.query('max_over_time(ALERTS{alertstate="firing"}[10m])')}
    latency = _alert_to_plan(loop)
    verified = loop.wait_for("succeeded", seconds=240)
    status = loop.process.wait(60)

    assert (planned["plan"]["bottleneck"], change["knob"], change["old"], change["new"]) == (
        ("admission_limited", "max_running_requests", 8, 16)
    )
    assert empty == []
    assert "LLMAdmissionLimited" in fired
    assert latency < 2, "Alertmanager's delivery to a visible plan, seconds"
    assert [verdict["outcome"] for verdict in verified["verdicts"]] == ["pass", "pass"]
    before, after = verified["baseline"]["values"], verified["outcome"]
    # Over the objective before, and a quarter of it after; how far below depends on what else the machine does.
    assert before["ttft_p95_seconds"] > 2
    assert after["ttft_p95_seconds"] < before["ttft_p95_seconds"] / 4
    assert after["generation_tokens_per_second"] > before["generation_tokens_per_second"]
    assert status == 0, loop.told.read_text()
    configs = sorted((loop.paths.run / "engines").glob("replica-?.yml"))
    assert [re.search(r"^max-num-seqs: (\d+)$", config.read_text(), re.MULTILINE).group(1) for config in configs] == (
        ["16", "16", "16"]
    )


def _alert_to_plan(loop: Loop) -> float:
    """Seconds from an acknowledged alert to its plan, the slowest of the run."""
    page = requests.get(loop.ports.url("recommender") + "/metrics", timeout=10).text
    for family in text_string_to_metric_families(page):
        if family.name == "optiinfra_alert_to_plan_seconds":
            sums = {sample.name: sample.value for sample in family.samples if not sample.name.endswith("_bucket")}
            return sums["optiinfra_alert_to_plan_seconds_sum"]  # one plan, so the sum is its time
    raise AssertionError("the recommender does not say how long a plan took")
