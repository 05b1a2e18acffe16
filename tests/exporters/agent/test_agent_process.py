"""A real exporter and a real recommender: registered, through a restart, forgotten and back, gone at SIGTERM."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from demo.free_port import free_port
from exporters import __version__
from exporters.cli import exporter
from tests.exporters.process import Exporter
from tests.recommender.foundation.live import Client, eventually, process, token, write_configuration

pytestmark = pytest.mark.process


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    files = write_configuration(tmp_path)
    return {
        "OPTIINFRA_TOKENS_FILE": str(files["tokens_file"]),
        "OPTIINFRA_INVENTORY": str(files["inventory"]),
        "DATABASE_URL": f"sqlite:///{tmp_path}/state.db",
        "OPTIINFRA_PROMETHEUS_URL": "http://127.0.0.1:9",
    }


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "agent-token"
    file.write_text(token("agent"))
    return file


def agents(recommender: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = recommender.get("/agents")["agents"]
    return found


def beaten(recommender: Client) -> list[dict[str, Any]]:
    return [agent for agent in agents(recommender) if agent["figures"]]


def test_an_exporter_is_known_through_a_restart_and_takes_leave(
    start: Callable[..., Exporter], environment: dict[str, str], token_file: Path, tmp_path: Path
) -> None:
    port = free_port()
    with process(tmp_path, environment, port=port) as (recommender, running):
        agent = start(
            "--collectors",
            "load,memory",
            "--agent-token-file",
            str(token_file),
            ORCHESTRATOR_URL=f"http://127.0.0.1:{port}",
            ORCHESTRATOR_HEARTBEAT_INTERVAL="1",
            AGENT_ID="node-1",
        )
        agent.scrape()
        [seen] = eventually(lambda: beaten(recommender), lambda found: bool(found) and _scraped(found[0]))
        assert (seen["id"], seen["state"], seen["version"]) == ("node-1", "alive", __version__)
        assert seen["exporter_url"] == agent.url
        assert seen["capabilities"] == {
            "collectors": ["load", "memory"],
            "probe": False,
            "blackbox": False,
            "gpus": None,
        }
        assert seen["figures"]["collectors_ok"] == {"load": True, "memory": True}
        assert seen["figures"]["resident_memory_bytes"] > 2**20
        running.terminate()
        assert running.wait(30) == 0

    # Nobody there: pages are served as ever, and the failures are counted.
    failed = ("optiinfra_agent_heartbeats_total", ("connection",))
    eventually(lambda: agent.scrape()[failed], seconds=30)
    started = time.monotonic()
    assert agent.scrape()["host_load1", ()] >= 0
    assert time.monotonic() - started < 5

    with process(tmp_path, environment, port=port) as (recommender, _):
        [known] = agents(recommender)
        eventually(lambda: agents(recommender)[0]["last_seen_at"], lambda at: at > known["last_seen_at"], seconds=90)
        assert agents(recommender)[0]["registered_at"] == known["registered_at"], "the same registration goes on"

        assert recommender.call("DELETE", "/api/v1/agents/node-1", "agent").status_code == 204
        eventually(lambda: agents(recommender), seconds=30)
        assert agent.scrape()["optiinfra_agent_heartbeats_total", ("unregistered",)] == 1

        assert agent.stop() == 0
        assert agents(recommender) == []
        assert agent.events[-1]["event"] == "exporter_stopped"
        assert "agent_deregistered" in [event["event"] for event in agent.events]
        assert token("agent") not in str(agent.events)


def _scraped(agent: dict[str, Any]) -> bool:
    return bool(agent["figures"]["scrapes_served"])


def test_an_orchestrator_that_never_answers_disturbs_neither_pages_nor_the_stop(
    start: Callable[..., Exporter], token_file: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        running = start("--collectors", "load", "--orchestrator-url", url, "--agent-token-file", str(token_file))
        caller, _ = silent.accept()
        with caller:
            before = time.monotonic()
            samples = running.scrape()
            assert samples["optiinfra_agent_registered", ()] == 0
            assert running.stop() == 0
            assert time.monotonic() - before < 15


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--orchestrator-url", "ftp://x"], "--orchestrator-url: target 'ftp://x': the scheme must be http"),
        (["--orchestrator-url", "foo"], "--orchestrator-url 'foo': write the scheme too, as in http://foo:80"),
        (["--orchestrator-url", "http://h h"], "--orchestrator-url: target 'http://h h' is not a URL"),
        (
            ["--orchestrator-url", "http://h", "--exporter-url", "nonsense"],
            "--exporter-url 'nonsense': write the scheme",
        ),
        (
            ["--orchestrator-url", "http://h", "--exporter-url", "ftp://me"],
            "--exporter-url: target 'ftp://me': the schem",
        ),
        (["--orchestrator-url", "http://169.254.169.254"], "--orchestrator-url: "),
        (["--orchestrator-url", "http://h", "--agent-id", "a/b"], "--agent-id 'a/b': give up to 64 letters"),
        (["--orchestrator-url", "http://h", "--agent-token-file", "/no"], "--agent-token-file: cannot read the token"),
        (["--orchestrator-url", "http://h", "--orchestrator-heartbeat-interval", "0"], "0 is not in the range"),
    ],
)
def test_flags_that_cannot_be_used_end_with_a_sentence(flags: list[str], text: str) -> None:
    found = CliRunner().invoke(exporter, ["--port", "0", "--collectors", "load", *flags])
    assert found.exit_code == 2
    assert text in " ".join(found.output.split())


def test_the_tokens_file_of_these_tests_has_an_agent(environment: dict[str, str]) -> None:
    entries = yaml.safe_load(Path(environment["OPTIINFRA_TOKENS_FILE"]).read_text())
    assert "agent" in {entry["role"] for entry in entries}
