"""The whole loop on real processes: traffic, alert, plan, approval, canary, verdict, done; every panel has data.

All is read after the end, from what the run left on disk (the recommender's store, Prometheus's storage, the engines'
files), as it was at the instant of the last state: nothing need be caught while it happens, however slow the machine.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashboards.build import dashboard_files
from dashboards.inspection import panel_queries
from demo.paths import ROOT, Paths
from recommender.model import Workflow
from recommender.store import Database, Store
from tests.helpers.reopened import Stored, reopened

pytestmark = [pytest.mark.demo, pytest.mark.process, pytest.mark.timeout(780)]

OFFSET = 23000  # clear of the default ports and of the ephemeral range
DEADLINE_SECONDS = 660  # of the story; it takes about half of that on an idle machine
# Of a story that goes well; the audit has a row for each.
STATES = ["pending_approval", "approved", "canary", "rolling_out", "validating", "succeeded"]


@dataclass(frozen=True, slots=True)
class Ended:
    """What one run of `python -m demo up --auto` left behind."""

    status: int
    told: str
    paths: Paths
    workflow: Workflow
    states: list[str]
    stored: Stored


@pytest.fixture(name="ended", scope="module")
def _ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    home = tmp_path_factory.mktemp("loop")
    paths = Paths(home / "run")
    status, told = tell(paths.run)
    with closing(Database(f"sqlite:///{paths.database}")) as database:
        store = Store(database)
        found = store.workflows()
        assert len(found) == 1, f"one alert group leads to one change, not to {len(found)}:\n{told}"
        states = [row.to_state for row in store.audit_of(found[0].id) if row.to_state]
    with reopened(paths.prometheus_data, found[0].updated_at, home) as stored:
        yield Ended(status, told, paths, found[0], states, stored)


def tell(run: Path) -> tuple[int, str]:
    """Run the story to its end; gives its exit status and its words."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPTIINFRA_", "DEMO_"))}
    environment |= {"OPTIINFRA_DEMO_DIR": str(run), "DEMO_PORT_OFFSET": str(OFFSET)}
    command = [sys.executable, "-m", "demo", "up", "--auto", f"--deadline={DEADLINE_SECONDS}"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            told, _ = process.communicate(timeout=DEADLINE_SECONDS + 60)
        finally:
            process.terminate()  # it ends its own processes; no effect on one that has ended
    return process.returncode, told


def test_the_story_ends_well_through_all_its_states(ended: Ended) -> None:
    assert ended.status == 0, ended.told
    assert ended.states == STATES, ended.told


def test_the_plan_is_the_one_change_that_helps(ended: Ended) -> None:
    plan = ended.workflow.plan
    assert plan.change is not None
    assert (plan.bottleneck, plan.change.knob, plan.change.old, plan.change.new) == (
        ("admission_limited", "max_running_requests", 8, 16)
    )


def test_the_change_is_on_every_replica(ended: Ended) -> None:
    configs = sorted((ended.paths.run / "engines").glob("replica-?.yml"))
    limits = [re.search(r"^max-num-seqs: (\d+)$", config.read_text(), re.MULTILINE).group(1) for config in configs]
    assert limits == ["16", "16", "16"]


def test_the_service_is_far_better_off_than_before(ended: Ended) -> None:
    assert [verdict.outcome for verdict in ended.workflow.verdicts] == ["pass", "pass"]
    assert ended.workflow.baseline is not None
    before, after = ended.workflow.baseline.values, ended.workflow.outcome
    # How far below half depends on how much of the old queue is worked off within the window, which is as long as ever
    # while the alert may come half a minute later: its group's turn is at a moment of Prometheus's choice.
    assert before["ttft_p95_seconds"] > 2
    assert after["ttft_p95_seconds"] < before["ttft_p95_seconds"] / 2
    assert ended.stored.value("service:llm_requests_waiting:sum") < 10  # a hundred before
    assert after["generation_tokens_per_second"] > before["generation_tokens_per_second"]


def test_the_alert_led_to_the_plan_at_once(ended: Ended) -> None:
    fired = {series["metric"]["alertname"] for series in ended.stored('max_over_time(ALERTS{alertstate="firing"}[1h])')}
    assert "LLMAdmissionLimited" in fired
    # One plan, so the sum is its time, from an acknowledged alert on. Polling for alerts would take minutes.
    assert ended.stored.value("optiinfra_alert_to_plan_seconds_count") == 1
    assert ended.stored.value("optiinfra_alert_to_plan_seconds_sum") < 15


def test_every_panel_that_always_has_data_has_data(ended: Ended) -> None:
    empty = [
        f"{query.dashboard} / {query.panel}: {query.substituted}"
        for text in dashboard_files().values()
        for query in panel_queries(json.loads(text))
        if query.always and not ended.stored(query.substituted)
    ]
    assert empty == []
