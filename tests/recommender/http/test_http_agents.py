"""The registry over HTTP: what is taken, what is refused and how, and what people see."""

from typing import Any

import pytest
import requests

from recommender.http.discovery import Job
from tests.recommender.foundation.live import Live

REGISTRATION: dict[str, Any] = {
    "id": "node-1",
    "hostname": "node-1.example",
    "version": "1.2",
    "exporter_url": "http://node-1.example:8003",
    "heartbeat_interval_seconds": 30,
    "capabilities": {"collectors": ["cpu"], "probe": True, "gpus": [{"gpu": "0", "uuid": "GPU-1", "name": "H100"}]},
}


def post(api: Live, path: str, body: Any, role: str = "agent") -> requests.Response:
    return api.call("POST", f"/api/v1/agents/{path}", role, json=body)


def test_an_agent_registers_beats_is_seen_and_takes_leave(intake: Live) -> None:
    registered = post(intake, "register", REGISTRATION).json()
    assert (registered["id"], registered["state"], registered["token"]) == ("node-1", "alive", "agent")
    assert registered["figures"] is None
    figures = {"uptime_seconds": 3.5, "collectors_ok": {"cpu": True}, "gpus_seen": 1, "resident_memory_bytes": 5}
    assert post(intake, "heartbeat", {"id": "node-1", "figures": figures}).status_code == 200

    [seen] = intake.get("/agents")["agents"]
    assert seen["capabilities"]["gpus"] == [{"gpu": "0", "uuid": "GPU-1", "name": "H100"}]
    assert figures.items() <= seen["figures"].items()
    assert 'optiinfra_agents{state="alive"} 1.0' in intake.call("GET", "/metrics", None).text

    assert intake.call("DELETE", "/api/v1/agents/node-1", "agent").status_code == 204
    assert intake.get("/agents") == {"agents": []}


def test_a_url_that_an_agent_gives_is_no_target_of_prometheus(intake: Live) -> None:
    post(intake, "register", REGISTRATION)
    for job in Job:
        assert "node-1.example" not in str(intake.get(f"/sd/{job.value}"))


def test_fields_that_are_not_known_are_left_aside(intake: Live) -> None:
    later = REGISTRATION | {"colour": "red", "capabilities": {"teleport": True}}
    assert post(intake, "register", later).status_code == 200


def test_an_agent_that_is_not_registered_is_told_so(intake: Live) -> None:
    answer = post(intake, "heartbeat", {"id": "node-1"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "there is no agent 'node-1'; register it"
    assert intake.call("DELETE", "/api/v1/agents/node-1", "agent").status_code == 404


def test_a_second_agent_with_the_same_token_is_a_conflict(intake: Live) -> None:
    post(intake, "register", REGISTRATION)
    answer = post(intake, "register", REGISTRATION | {"id": "node-2"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert "optiinfra tokens new --name node-2 --role agent" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"id": "a/b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": None}, "id"),
        ({"hostname": "a\nb"}, "hostname"),
        ({"exporter_url": "javascript:alert(1)"}, "exporter_url"),
        ({"exporter_url": "http://user:pw@h"}, "exporter_url"),
        ({"exporter_url": "http://" + "x" * 3000}, "exporter_url"),
        ({"heartbeat_interval_seconds": 0}, "heartbeat_interval_seconds"),
        ({"heartbeat_interval_seconds": 1e9}, "heartbeat_interval_seconds"),
        ({"version": "v" * 200}, "version"),
        ({"capabilities": {"collectors": ["c"] * 65}}, "capabilities.collectors"),
        ({"capabilities": {"gpus": [{"gpu": "0"}] * 65}}, "capabilities.gpus"),
        ({"capabilities": {"gpus": [{"gpu": "0", "name": "<\u202e>"}]}}, "capabilities.gpus.0.name"),
    ],
)
def test_a_registration_that_cannot_be_is_refused_with_the_field(intake: Live, change: Any, path: str) -> None:
    answer = post(intake, "register", REGISTRATION | change)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert intake.get("/agents") == {"agents": []}


@pytest.mark.parametrize(
    "figures",
    [
        '{"uptime_seconds": NaN}',
        '{"uptime_seconds": 1e999}',
        '{"gpus_seen": -1}',
        '{"scrapes_served": 99999999999999999999}',
        '{"collectors_ok": {"cpu": "perhaps"}}',
        "[]",
    ],
)
def test_figures_that_cannot_be_are_refused(intake: Live, figures: str) -> None:
    post(intake, "register", REGISTRATION)
    body = f'{{"id": "node-1", "figures": {figures}}}'
    headers = {"Content-Type": "application/json"}
    answer = intake.call("POST", "/api/v1/agents/heartbeat", "agent", data=body, headers=headers)
    assert answer.status_code == 400
    assert intake.get("/agents")["agents"][0]["figures"] is None


def test_a_body_too_large_is_refused(intake: Live) -> None:
    answer = post(intake, "register", REGISTRATION | {"version": "v" * 30_000})
    assert answer.status_code == 413


def test_the_api_is_described(intake: Live) -> None:
    described = intake.call("GET", "/openapi/openapi.json", None).json()
    assert set(described["paths"]["/api/v1/agents/register"]["post"]["responses"]) >= {"200", "400", "403", "409"}
    assert described["components"]["schemas"]["Registration"]["properties"]["id"]["pattern"]
