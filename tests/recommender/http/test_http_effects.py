"""The effect ledger as the API, the command line and Prometheus show it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from recommender.cli import main
from recommender.model import Comparison, Direction, Expectation, Verdict, VerdictOutcome, WorkflowState
from recommender.store import Database, Store
from tests.recommender.foundation.live import Live, token
from tests.recommender.rollout.builders import START, make_plan, make_verification, make_workflow

_HEADING = "AT (UTC) SERVICE PLAYBOOK ENGINE GPU CHANGE METRIC PREDICTED MEASURED ENDED WORKFLOW"
TTFT, _ROLLOUTS = "ttft_p95_seconds", "optiinfra_effect_rollouts"


def finish(store: Store, workflow_id: str, ratio: float, *, playbook: str = "P04.1", gpu: str | None = None) -> None:
    """A change of its own service that was measured and kept."""
    goal = Expectation(metric=TTFT, direction=Direction.LOWER, low=0.9, mid=0.8, high=0.5, source="published")
    plan = make_plan(
        service=workflow_id,
        playbook=playbook,
        gpu=gpu,
        verification=make_verification(must_improve=goal),
    )
    comparison = Comparison(
        metric=TTFT,
        canary=ratio,
        control=1.0,
        ratio=ratio,
        ratio_low=ratio / 1.2,
        ratio_high=ratio * 1.2,
        samples=15,
        outcome=VerdictOutcome.PASS,
        text="",
    )
    verdict = Verdict(outcome=VerdictOutcome.PASS, at=START, window_seconds=900, comparisons=(comparison,), text="")
    begun = store.create(make_workflow(WorkflowState.VALIDATING, id=workflow_id, plan=plan, verdicts=(verdict,)), [])
    store.save(begun.model_copy(update={"state": WorkflowState.SUCCEEDED}), [])


@pytest.fixture
def ledger(intake: Live, database_file: Path) -> Live:
    """A recommender whose site measured three changes."""
    database = Database(f"sqlite:///{database_file}")
    finish(Store(database), "a1", 0.4)
    finish(Store(database), "a2", 0.9, gpu="H100 SXM")
    finish(Store(database), "b1", 0.7, playbook="P02.4 [bold]")
    database.close()
    return intake


def run(live: Live, *arguments: str) -> Result:
    environment = {"COLUMNS": "40", "NO_COLOR": "1", "OPTIINFRA_URL": live.url, "OPTIINFRA_TOKEN": token("viewer")}
    return CliRunner(env=environment).invoke(main, ["effects", *arguments])


def test_effects_are_listed_and_filtered(ledger: Live) -> None:
    found = ledger.get("/effects")["effects"]
    assert [one["workflow_id"] for one in found] == ["a1", "a2", "b1"]
    assert (found[0]["predicted_mid"], found[0]["ratio"], found[0]["old"], found[0]["new"]) == (0.8, 0.4, 8, 16)
    assert [one["ratio"] for one in ledger.get("/effects?playbook=P04.1&gpu=H100%20SXM")["effects"]] == [0.9]
    assert len(ledger.get("/effects?limit=2")["effects"]) == 2
    assert ledger.get("/effects?engine=sglang")["effects"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "playbook=%00", "service=" + "x" * 201])
def test_a_query_that_is_none_is_refused(intake: Live, query: str) -> None:
    assert intake.call("GET", f"/api/v1/effects?{query}").status_code == 400


def test_effects_need_a_token_of_a_reader(intake: Live) -> None:
    assert intake.call("GET", "/api/v1/effects", None).status_code == 401
    assert intake.call("GET", "/api/v1/effects", "alert_source").status_code == 403


def test_the_command_shows_a_table_and_text_is_never_markup(ledger: Live) -> None:
    shown = run(ledger)
    assert shown.exit_code == 0
    for part in ("P04.1", "H100 SXM", "unknown", "max_running_requests 8 → 16", "TTFT p95 *", "P02.4 [bold]"):
        assert part in shown.output
    heading, first, *_ = shown.output.splitlines()
    assert " ".join(heading.split()) == _HEADING
    assert first.endswith("  0.8 (0.9 to 0.5)  0.4 (0.333 to 0.48)  succeeded  a1      ")
    assert "0.4 (0.333 to 0.48)" in shown.output
    assert "P02.4" not in run(ledger, "--playbook", "P04.1").output
    assert "No effects" in run(ledger, "--playbook", "P99").output


def test_the_command_gives_json_as_the_api_does(ledger: Live) -> None:
    given = json.loads(run(ledger, "--format", "json", "--service", "a1").output)
    assert given == ledger.get("/effects?service=a1")["effects"]


def test_prometheus_sees_predicted_and_measured_of_the_same_changes(ledger: Live) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(ledger.call("GET", "/metrics", None).text)
        if family.name.startswith("optiinfra_effect")
    }
    ratios = {
        (one.labels["playbook"], one.labels["source"]): one.value for one in families["optiinfra_effect_ratio"].samples
    }
    assert ratios["P04.1", "predicted"] == pytest.approx(0.8)
    assert ratios["P04.1", "measured"] == pytest.approx((0.4 * 0.9) ** 0.5)
    labels = {label for one in families["optiinfra_effect_ratio"].samples for label in one.labels}
    assert labels == {"playbook", "engine", "metric", "source"}
    counts = {one.labels["playbook"]: one.value for one in families["optiinfra_effect_measurements"].samples}
    assert counts["P04.1"] == 2
    ended = {(one.labels["playbook"], one.labels["state"]): one.value for one in families[_ROLLOUTS].samples}
    assert ended["P04.1", "succeeded"] == 2


def test_before_the_first_result_there_is_no_series(intake: Live) -> None:
    text = intake.call("GET", "/metrics", None).text
    assert [line for line in text.splitlines() if line.startswith("optiinfra_effect")] == []
