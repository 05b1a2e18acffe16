"""The command line against a live recommender and against files."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from recommender.cli import main
from tests.recommender.foundation.live import INVENTORY, Live, eventually, token, write_configuration
from tests.recommender.foundation.stub_prometheus import StubPrometheus


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "40", "NO_COLOR": "1", **environment}).invoke(main, list(arguments))


@pytest.fixture
def planned(api: Live) -> dict[str, str]:
    """The environment of somebody who may approve, with one plan waiting."""
    api.notify()
    eventually(lambda: api.get("/workflows")["workflows"])
    return {"OPTIINFRA_URL": api.url, "OPTIINFRA_TOKEN": token("approver")}


def the_id(api: Live) -> str:
    return str(api.get("/workflows")["workflows"][0]["id"])


def test_every_command_is_listed_and_the_version_is_told() -> None:
    listed = run("--help").output
    for name in ("exporter", "recommender", "workflows", "check", "audit", "tokens", "build"):
        assert f"  {name} " in listed
    assert run("--version").output.startswith("optiinfra, version ")
    assert run("nonsense").exit_code == 2


def test_workflows_are_listed_shown_and_approved(api: Live, planned: dict[str, str]) -> None:
    workflow_id = the_id(api)
    listed = run("workflows", "list", **planned)
    assert (listed.exit_code, workflow_id in listed.output, "pending_approval" in listed.output) == (0, True, True)
    shown = run("workflows", "show", workflow_id, **planned).output
    for part in ("Evidence", "Change", "--max-num-seqs", "Formula", "Expected", "History", "created"):
        assert part in shown
    approved = run("workflows", "approve", workflow_id, "--comment", "go", **planned)
    assert (approved.exit_code, f"{workflow_id} is approved: " in approved.output) == (0, True)
    eventually(lambda: api.get(f"/workflows/{workflow_id}"), lambda found: found["state"] == "advised")
    late = run("workflows", "reject", workflow_id, **planned)
    assert (late.exit_code, "cannot reject" in late.output) == (1, True)


def test_no_line_is_broken_and_no_cell_shortened_however_narrow_the_terminal(
    api: Live, planned: dict[str, str]
) -> None:
    workflow_id = the_id(api)
    workflow = api.get(f"/workflows/{workflow_id}")
    shown = run("workflows", "show", workflow_id, **planned).output
    queries = [one["query"] for one in workflow["plan"]["rollback_queries"]]
    assert len(queries) > 2
    assert all(query in shown for query in queries)
    (_, listed) = run("workflows", "list", **planned).output.splitlines()
    assert listed.startswith(f"{workflow_id}  chat     pending_approval  {workflow['plan']['title']}  ")


def test_workflows_are_given_as_the_api_gives_them(api: Live, planned: dict[str, str]) -> None:
    workflow_id = the_id(api)
    listed = json.loads(run("workflows", "list", "--format", "json", **planned).output)
    assert listed == api.get("/workflows")["workflows"]
    shown = json.loads(run("workflows", "show", workflow_id, "--format", "json", **planned).output)
    assert shown == api.get(f"/workflows/{workflow_id}")


def test_a_plan_is_made_without_an_alert_and_nothing_is_stored(intake: Live) -> None:
    environment = {"OPTIINFRA_URL": intake.url, "OPTIINFRA_TOKEN": token("viewer")}
    told = "\n" + run("plan", "chat", "--format", "json", **environment).output
    given = json.loads(told[told.rindex("\n{\n") :])  # the recommender of this process may log before it
    assert given["diagnosis"]["status"] == "diagnosed"
    new = given["plan"]["change"]["new"]
    shown = run("plan", "chat", **environment)
    assert shown.exit_code == 0, shown.output
    for part in ("keeps requests waiting on", f"--max-num-seqs  8 → {new}", "A person decides", "Formula: "):
        assert part in shown.output
    patch = run("plan", "chat", "--patch", "cli", **environment)
    assert f"\n{patch.output}".endswith(f"\n--max-num-seqs {new}\n")
    assert "### Plan: Raise the batch limit" in run("plan", "chat", "--format", "markdown", **environment).output
    assert intake.get("/workflows")["workflows"] == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ["chat", "--patch", "environment"],
            3,
            "No patch environment: it has engine-config, cli, helm-values, compose",
        ),
        (["direct"], 3, "No plan: nothing is to be done."),
        (["direct", "--patch", "cli"], 3, "No patch cli: "),
        (["nobody"], 1, "neither the inventory nor Prometheus has a service 'nobody'"),
        (["chat", "--at", "2026-01-01"], 2, "--at goes with --prometheus"),
        (["chat", "--prometheus", "somewhere"], 2, "write it with its scheme"),
        (["chat", "--patch", "words"], 2, "helm-values"),
        ([], 2, "SERVICE"),
    ],
)
def test_no_change_is_status_3_and_wrong_usage_2(intake: Live, arguments: list[str], status: int, said: str) -> None:
    result = run("plan", *arguments, OPTIINFRA_URL=intake.url, OPTIINFRA_TOKEN=token("viewer"))
    assert (result.exit_code, said in result.output) == (status, True), result.output


def test_the_shown_text_is_never_markup(api: Live, planned: dict[str, str]) -> None:
    workflow_id = the_id(api)
    run("workflows", "reject", workflow_id, "--comment", "[bold]no[/] [link=http://x]y", **planned)
    assert "[bold]no[/] [link=http://x]y" in run("workflows", "show", workflow_id, **planned).output


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["list"], {"OPTIINFRA_TOKEN": ""}, "set --token-file or OPTIINFRA_TOKEN_FILE"),
        (["list"], {"OPTIINFRA_TOKEN": token("alert_source")}, "use a token with that role"),
        (["show", "nothing"], {}, "there is no workflow 'nothing'"),
        (["list"], {"OPTIINFRA_URL": "http://127.0.0.1:1"}, "is the recommender running"),
        (["--token-file", "/nonexistent", "list"], {}, "cannot read the token file"),
        (["--token-file", __file__, "list"], {}, "that is no token"),
        (["list", "--state", "nonsense"], {}, "state"),
    ],
)
def test_errors_say_what_to_do_and_exit_with_1(
    intake: Live, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    base = {"OPTIINFRA_URL": intake.url, "OPTIINFRA_TOKEN": token("viewer")}
    result = run("workflows", *arguments, **(base | environment))
    assert result.exit_code == 1
    assert said in result.output


def test_wrong_usage_exits_with_2() -> None:
    assert run("workflows", "approve").exit_code == 2
    assert run("tokens", "new", "--name", "x", "--role", "king", "--file", "f").exit_code == 2


@pytest.mark.usefixtures("planned")
def test_the_audit_log_is_verified(database_file: Path) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{database_file}"}
    good = run("audit", "verify", **environment)
    assert (good.exit_code, "holds: 1 rows" in good.output) == (0, True)
    with sqlite3.connect(database_file) as other:
        other.execute("UPDATE audit SET actor = 'somebody'")
    other.close()
    bad = run("audit", "verify", **environment)
    assert (bad.exit_code, "row 1 was changed" in bad.output) == (1, True)


def test_check_tells_what_works_and_what_does_not(tmp_path: Path, prometheus: StubPrometheus) -> None:
    files = write_configuration(tmp_path)
    environment = {
        "OPTIINFRA_INVENTORY": str(files["inventory"]),
        "OPTIINFRA_TOKENS_FILE": str(files["tokens_file"]),
        "OPTIINFRA_PROMETHEUS_URL": prometheus.url,
    }
    good = run("check", **environment)
    assert good.exit_code == 0, good.output
    assert "executor dry_run" in good.output
    bad = run("check", **(environment | {"OPTIINFRA_ALERTMANAGER_URL": "http://127.0.0.1:1"}))
    assert (bad.exit_code, "is Alertmanager running" in bad.output) == (1, True)
    files["inventory"].write_text(INVENTORY.replace("replicas:", "replicaz:", 1))
    prometheus.series = []
    worse = run("check", **environment)
    assert worse.exit_code == 1
    assert "unknown key 'replicaz' in services.chat; did you mean 'replicas'?" in worse.output
    assert "none of OptiInfra's rules" in worse.output


def test_check_reads_the_model_that_plans_count_memory_by(tmp_path: Path, prometheus: StubPrometheus) -> None:
    replicas = 'replicas: [{url: "http://127.0.0.1:1"}]'
    inventory = f"""\
services:
  known: {{engine: vllm, model: meta-llama/Llama-3.1-8B-Instruct, {replicas}}}
  unknown: {{engine: vllm, model: somebody/else, replicas: [{{url: "http://127.0.0.1:2"}}]}}
  lost: {{engine: vllm, model_config: {tmp_path}/config.json, replicas: [{{url: "http://127.0.0.1:3"}}]}}
"""
    files = write_configuration(tmp_path, inventory)
    environment = {"OPTIINFRA_INVENTORY": str(files["inventory"]), "OPTIINFRA_TOKENS_FILE": str(files["tokens_file"])}
    result = run("check", OPTIINFRA_PROMETHEUS_URL=prometheus.url, **environment)
    assert result.exit_code == 1
    assert "ok   known model meta-llama/Llama-3.1-8B-Instruct: 8.03 billion parameters in 32 layers" in result.output
    assert "--   unknown model somebody/else is not in the shipped table" in result.output
    assert "FAIL lost model_config " in result.output


def test_check_tries_the_command_executor(tmp_path: Path, prometheus: StubPrometheus) -> None:
    (tmp_path / "engine.yml").write_text("max-num-seqs: 8\n")
    inventory = f"""\
services:
  chat:
    engine: vllm
    executor: {{type: command, ready_timeout_seconds: 1}}
    replicas:
      - url: http://127.0.0.1:1
        config_file: {tmp_path}/engine.yml
        restart_command: [no-such-program]
"""
    files = write_configuration(tmp_path, inventory)
    result = run(
        "check",
        OPTIINFRA_INVENTORY=str(files["inventory"]),
        OPTIINFRA_TOKENS_FILE=str(files["tokens_file"]),
        OPTIINFRA_PROMETHEUS_URL=prometheus.url,
    )
    assert (result.exit_code, "no program 'no-such-program'" in result.output) == (1, True)


def test_the_recommender_refuses_to_start_without_tokens(tmp_path: Path) -> None:
    result = run("recommender", "--port", "0", DATABASE_URL=f"sqlite:///{tmp_path}/x.db", OPTIINFRA_TOKENS_FILE="")
    assert (result.exit_code, "optiinfra tokens new" in result.output) == (1, True)


def test_a_new_token_is_printed_once(tmp_path: Path) -> None:
    file = tmp_path / "t.yml"
    made = run("tokens", "new", "--name", "am", "--role", "alert_source", "--file", str(file))
    assert made.exit_code == 0
    assert made.output.strip() not in file.read_text()


def test_a_taken_port_is_said(intake: Live, tmp_path: Path) -> None:
    files: dict[str, Any] = write_configuration(tmp_path)
    port = intake.url.rsplit(":", 1)[1]
    result = run(
        "recommender",
        "--port",
        port,
        OPTIINFRA_TOKENS_FILE=str(files["tokens_file"]),
        DATABASE_URL=f"sqlite:///{tmp_path}/other.db",
    )
    assert (result.exit_code, "choose another with --port" in result.output) == (1, True)
