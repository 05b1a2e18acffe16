"""From a notification to a decision, over real HTTP."""

import time
from typing import Any

import pytest

from tests.recommender.foundation.live import Live, alert, eventually, payload
from tests.recommender.foundation.stub_prometheus import StubPrometheus, healthy_service, limited_service


def planned(api: Live) -> dict[str, Any]:
    """Notify, and wait for the plan."""
    assert api.notify().status_code == 200
    found: list[dict[str, Any]] = eventually(lambda: api.get("/workflows")["workflows"])
    return found[0]


def test_an_alert_becomes_a_visible_plan_within_2_seconds(api: Live) -> None:
    start = time.monotonic()
    workflow = planned(api)
    assert time.monotonic() - start < 2
    assert workflow["state"] == "pending_approval"
    assert workflow["plan"]["change"]["flag"] == "--max-num-seqs"
    [incident] = eventually(lambda: api.get("/alerts")["incidents"], lambda found: found[0]["outcome"] != "")
    assert (incident["outcome"], incident["workflow_id"]) == ("planned", workflow["id"])
    assert "optiinfra_alert_to_plan_seconds_count 1.0" in api.call("GET", "/metrics", None).text


def test_several_alerts_of_a_service_become_one_plan(api: Live) -> None:
    api.notify(payload(alert("0001"), alert("0002", alertname="LLMHighTTFT", bottleneck="high_latency")))
    api.notify(payload(alert("0003", alertname="LLMQueueBuildup", bottleneck="queue_buildup"), groupKey="other"))
    eventually(api.outcomes, lambda found: found == ["planned"] * 3)
    assert len(api.get("/workflows")["workflows"]) == 1


def test_the_events_of_a_workflow_are_its_audit_rows(api: Live) -> None:
    workflow = api.get(f"/workflows/{planned(api)['id']}")
    assert [event["kind"] for event in workflow["events"]] == ["created"]
    assert workflow["events"][0]["detail"]["plan"]["playbook"] == workflow["plan"]["playbook"]


def test_approving_twice_is_approving_once(api: Live) -> None:
    workflow = planned(api)
    path = f"/api/v1/workflows/{workflow['id']}/approve"
    first = api.call("POST", path, "approver", json={"comment": "go"})
    assert (first.status_code, first.json()["state"], first.json()["decided_by"]) == (200, "approved", "approver")
    # a dry run ends as advice
    done = eventually(lambda: api.get(f"/workflows/{workflow['id']}"), lambda found: found["state"] == "advised")
    assert [event["actor"] for event in done["events"]][:2] == ["optiinfra", "approver"]
    late = api.call("POST", path, "approver")
    assert late.status_code == 409
    assert late.headers["Content-Type"] == "application/problem+json"


def test_a_rejected_plan_does_not_come_back_with_the_next_notification(api: Live) -> None:
    workflow = planned(api)
    path = f"/api/v1/workflows/{workflow['id']}/reject"
    assert api.call("POST", path, "approver", json={"comment": "not today"}).json()["state"] == "rejected"
    assert api.call("POST", path, "approver").status_code == 200
    assert api.call("POST", path.replace("reject", "approve"), "approver").status_code == 409
    api.notify(payload(alert("0009"), groupKey="again"))
    eventually(api.outcomes, lambda found: "refused" in found)
    assert len(api.get("/workflows")["workflows"]) == 1


def test_cancelling_before_anything_was_done_ends_it(api: Live) -> None:
    path = f"/api/v1/workflows/{planned(api)['id']}/cancel"
    assert api.call("POST", path, "admin").json()["state"] == "cancelled"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"comment": 7}', b'{"comment": "a\\u0000b"}', b'"x"', b"[" * 100_000])
def test_a_bad_comment_is_400(api: Live, body: bytes) -> None:
    path = f"/api/v1/workflows/{planned(api)['id']}/approve"
    answer = api.call("POST", path, "approver", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_workflows_can_be_filtered(api: Live) -> None:
    planned(api)
    assert len(api.get("/workflows?state=pending_approval&state=approved&service=chat")["workflows"]) == 1
    assert api.get("/workflows?state=succeeded")["workflows"] == []
    assert api.get("/workflows?service=other")["workflows"] == []
    assert api.call("GET", "/api/v1/workflows?state=nonsense").status_code == 400
    assert api.call("GET", "/api/v1/workflows?limit=0").status_code == 400
    assert api.call("GET", "/api/v1/workflows/nothing").status_code == 404


def test_an_unknown_service_gets_advice(api: Live, prometheus: StubPrometheus) -> None:
    prometheus.series = limited_service("stranger")
    api.notify(payload(alert(service="stranger")))
    assert eventually(api.outcomes, lambda found: found != [""]) == ["advised"]
    [workflow] = api.get("/workflows")["workflows"]
    assert (workflow["state"], workflow["plan"]["change"], workflow["plan"]["executor"]) == ("advised", None, "none")


def test_an_unreachable_prometheus_lets_the_plan_wait(api: Live, prometheus: StubPrometheus) -> None:
    prometheus.broken = True
    assert api.notify().status_code == 200
    assert eventually(api.outcomes, lambda found: found != [""]) == ["prometheus_unreachable"]
    health = api.call("GET", "/api/v1/health/detailed", None)
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["components"]["prometheus"]["status"] == "down"
    assert "502" in health.json()["components"]["prometheus"]["error"]
    for view in ("diagnosis", "evidence"):
        assert api.call("GET", f"/api/v1/services/chat/{view}").status_code == 503
    prometheus.broken = False
    eventually(lambda: api.get("/workflows")["workflows"])


def test_what_does_not_hold_in_prometheus_is_not_confirmed(api: Live, prometheus: StubPrometheus) -> None:
    prometheus.series = healthy_service()
    api.notify()
    assert eventually(api.outcomes, lambda found: found != [""]) == ["not_confirmed"]
    assert api.get("/workflows")["workflows"] == []


def test_a_service_that_prometheus_does_not_know_is_not_planned_for(api: Live, prometheus: StubPrometheus) -> None:
    prometheus.series = []
    api.notify()
    [outcome] = eventually(api.outcomes, lambda found: found != [""])
    assert outcome in {"not_confirmed", "not_enough_evidence"}
    assert api.get("/workflows")["workflows"] == []
