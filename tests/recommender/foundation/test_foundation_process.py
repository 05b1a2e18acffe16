"""A real recommender process: what it acknowledged survives `kill -9`, and is processed once."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.foundation.live import eventually, payload, process, write_configuration
from tests.recommender.foundation.stub_prometheus import limited_service, stub_prometheus

pytestmark = pytest.mark.process


@pytest.fixture
def environment(tmp_path: Path, database_url: str) -> dict[str, str]:
    files = write_configuration(tmp_path)
    return {
        "OPTIINFRA_TOKENS_FILE": str(files["tokens_file"]),
        "OPTIINFRA_INVENTORY": str(files["inventory"]),
        "DATABASE_URL": database_url,
    }


def test_an_acknowledged_alert_survives_kill_9_and_is_planned_once(tmp_path: Path, environment: dict[str, str]) -> None:
    with stub_prometheus() as prometheus:
        prometheus.series = limited_service()
        environment["OPTIINFRA_PROMETHEUS_URL"] = prometheus.url
        prometheus.broken = True  # so that the first process cannot finish before it is killed
        with process(tmp_path, environment) as (client, running):
            assert client.notify().status_code == 200
            running.send_signal(signal.SIGKILL)
            running.wait(10)
        prometheus.broken = False
        with process(tmp_path, environment) as (client, running):
            workflows: list[dict[str, Any]] = eventually(lambda: client.get("/workflows")["workflows"], seconds=30)
            assert client.notify().json()["outcome"] == "duplicate"
            assert client.notify(payload(groupKey="another group")).status_code == 200
            assert eventually(client.outcomes) == ["planned"]
            assert [one["id"] for one in client.get("/workflows")["workflows"]] == [workflows[0]["id"]]
            running.terminate()
            assert running.wait(20) == 0


def test_it_ends_cleanly_on_sigterm(tmp_path: Path, environment: dict[str, str]) -> None:
    environment["OPTIINFRA_PROMETHEUS_URL"] = "http://127.0.0.1:1"
    with process(tmp_path, environment) as (client, running):
        assert client.get("/health/live", None) == {"status": "up"}
        running.terminate()
        assert running.wait(20) == 0
    assert '"recommender_stopped"' in (tmp_path / "recommender.log").read_text()
