"""Who may call what."""

import pytest

from recommender.auth import Role
from recommender.http.guard import ACCESS
from tests.recommender.foundation.live import ROLES, Live, token

OPEN = ["/", "/metrics", "/api/v1/health", "/api/v1/health/live", "/api/v1/health/ready", "/api/v1/health/detailed"]
# method, path, the roles that may
CLOSED = [
    ("POST", "/api/v1/alerts", {"alert_source"}),
    ("GET", "/api/v1/alerts", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/services", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/services/chat", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/services/chat/diagnosis", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/services/chat/plan", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/services/chat/evidence", {"viewer", "approver", "admin"}),
    ("POST", "/api/v1/services/chat/whatif", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/workflows", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/workflows/x", {"viewer", "approver", "admin"}),
    ("GET", "/api/v1/sd/node", {"viewer", "approver", "admin"}),
    ("POST", "/api/v1/agents/register", {"agent"}),
    ("POST", "/api/v1/agents/heartbeat", {"agent"}),
    ("DELETE", "/api/v1/agents/x", {"agent"}),
    ("GET", "/api/v1/agents", {"viewer", "approver", "admin"}),
    ("POST", "/api/v1/workflows/x/approve", {"approver", "admin"}),
    ("POST", "/api/v1/workflows/x/reject", {"approver", "admin"}),
    ("POST", "/api/v1/workflows/x/cancel", {"approver", "admin"}),
]


def test_every_route_says_who_may_call_it(intake: Live) -> None:
    endpoints = {rule.endpoint for rule in intake.recommender.app.url_map.iter_rules()}
    assert endpoints - {"static", "openapi.static"} == set(ACCESS)


def test_open_paths_need_no_token(intake: Live) -> None:
    assert {intake.call("GET", path, None).status_code for path in OPEN} == {200}


def test_each_role_may_what_it_should_and_no_more(intake: Live) -> None:
    for method, path, roles in CLOSED:
        for role in ROLES:
            status = intake.call(method, path, role).status_code
            assert (status == 403) == (role not in roles), (method, path, role, status)
            assert status != 401


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic dXNlcjpwYXNz",
        f"Token {token('admin')}",
        f"Bearer {token('admin')}x",
        "Bearer \udcff\udcfe",
    ],
)
def test_without_a_valid_token_it_is_401(intake: Live, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("utf-8", "surrogateescape")}
    for method, path, _ in CLOSED:
        answer = intake.call(method, path, None, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="optiinfra"'
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "token-of-the" not in answer.text


def test_a_route_without_an_entry_is_refused(intake: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ACCESS, "workflows.workflows")
    assert intake.call("GET", "/api/v1/workflows", "admin").status_code == 403


def test_the_static_files_of_flask_are_not_served(intake: Live) -> None:
    assert intake.call("GET", "/static/x", "admin").status_code in {403, 404}


def test_unknown_paths_and_methods_are_problems(intake: Live) -> None:
    missing = intake.call("GET", "/api/v1/nothing", None)
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")
    wrong = intake.call("DELETE", "/api/v1/workflows", "admin")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, "application/problem+json")
    assert "GET" in wrong.headers["Allow"]


def test_roles_of_the_tests_are_all_roles() -> None:
    assert set(ROLES) == set(Role)
