"""POST /api/v1/alerts over real HTTP: what is taken, what is refused, and how it is said."""

import json
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.foundation.live import Live, alert, payload


def metric(api: Live, name: str) -> float | None:
    """The value of one sample of /metrics; None when it is absent."""
    for line in api.call("GET", "/metrics", None).text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split(" ")[1])
    return None


def test_a_notification_is_stored_before_it_is_answered(intake: Live) -> None:
    answer = intake.notify()
    assert answer.status_code == 200
    assert answer.json() == {
        "outcome": "accepted",
        "opened": 1,
        "updated": 0,
        "resolved": 0,
        "truncated": 0,
        "invalid": [],
    }
    [incident] = intake.get("/alerts?open=true")["incidents"]
    assert incident["alertname"] == "LLMAdmissionLimited"
    assert incident["starts_at"].startswith("2026-11-21T04:00:00.123456")
    assert incident["ends_at"] is None


def test_the_same_notification_again_is_a_duplicate(intake: Live) -> None:
    intake.notify()
    assert intake.notify().json()["outcome"] == "duplicate"
    assert len(intake.get("/alerts")["incidents"]) == 1


def test_one_bad_alert_does_not_reject_the_rest(intake: Live) -> None:
    bad = {**alert("0002"), "startsAt": "yesterday"}
    answer = intake.notify(payload(alert("0001"), bad, alert("0003")))
    assert answer.status_code == 200
    assert answer.json()["opened"] == 2
    assert [item["path"] for item in answer.json()["invalid"]] == ["alerts[1].startsAt"]
    assert metric(intake, 'optiinfra_webhook_alerts_total{status="invalid"}') == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (payload({**alert(), "startsAt": "yesterday"}), "alerts[0].startsAt"),
        (payload({**alert(), "startsAt": "0001-01-01T00:00:00Z"}), "alerts[0].startsAt"),
        (payload({**alert(), "startsAt": "2026-11-21T04:00:00"}), "alerts[0].startsAt"),
        (payload({**alert(), "labels": {"service": 7}}), "alerts[0].labels.service"),
        (payload({**alert(), "labels": {"service": "a\x00b"}}), "alerts[0].labels.service"),
        (payload({**alert(), "fingerprint": "not hex"}), "alerts[0].fingerprint"),
        (payload({**alert(), "status": "maybe"}), "alerts[0].status"),
        (payload(version="3"), "version"),
        (payload(alerts=[]), "alerts"),
        (payload(truncatedAlerts=-1), "truncatedAlerts"),
        (payload(alerts=[None]), "alerts[0]"),
        ({"version": "4"}, "groupKey"),
        ([], ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_a_malformed_payload_is_400_with_the_path(intake: Live, body: Any, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = intake.call("POST", "/api/v1/alerts", "alert_source", data=json.dumps(body), headers=headers)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert path in [error["path"] for error in answer.json()["errors"]]
    assert intake.get("/alerts")["incidents"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"version":"4"', b"[" * 20_000, b'"\\ud800"', b"NaN"])
def test_what_is_no_json_is_400(intake: Live, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = intake.call("POST", "/api/v1/alerts", "alert_source", data=body, headers=headers)
    assert answer.status_code == 400
    assert metric(intake, 'optiinfra_webhook_notifications_total{outcome="malformed"}') == 1


def test_too_large_is_413_and_another_content_type_415(intake: Live) -> None:
    large = intake.notify(payload({**alert(), "annotations": {"x": "y" * 30_000}}))
    assert large.status_code == 413
    assert "limit is 20000" in large.json()["detail"]
    form = intake.call("POST", "/api/v1/alerts", "alert_source", data={"a": "b"})
    assert form.status_code == 415
    assert metric(intake, 'optiinfra_webhook_notifications_total{outcome="too_large"}') == 1


def test_a_full_backlog_is_503_and_stores_nothing(intake: Live) -> None:
    assert intake.notify(payload(*(alert(f"{n:04x}") for n in range(3)))).status_code == 200
    answer = intake.notify(payload(alert("ffff")))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert len(intake.get("/alerts")["incidents"]) == 3
    assert intake.notify(payload(alert("0001"), groupKey="known alerts")).status_code == 200
    assert metric(intake, "optiinfra_intake_backlog") == 3
    assert metric(intake, 'optiinfra_webhook_notifications_total{outcome="backlog_full"}') == 1


def test_an_unwritable_database_is_503_and_recovers(intake: Live, database_file: Path) -> None:
    with sqlite3.connect(database_file) as other:
        other.execute("ALTER TABLE notifications RENAME TO away")
    answer = intake.notify()
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert metric(intake, 'optiinfra_webhook_notifications_total{outcome="store_unavailable"}') == 1
    with sqlite3.connect(database_file) as other:
        other.execute("ALTER TABLE away RENAME TO notifications")
    other.close()
    assert intake.notify().status_code == 200


def test_hostile_label_values_are_stored_as_they_are(intake: Live) -> None:
    hostile = "'; DROP TABLE incidents; -- {{7*7}} <script>alert(1)</script> \u202e"
    assert intake.notify(payload(alert("0001", service=hostile))).status_code == 200
    assert intake.get("/alerts")["incidents"][0]["service"] == hostile


def test_the_watchdog_is_a_heartbeat_and_no_incident(intake: Live) -> None:
    before = intake.get("/health/detailed", None)["components"]["watchdog"]
    assert before["status"] == "unknown"
    assert intake.notify(payload(alert(alertname="Watchdog"))).json()["opened"] == 0
    assert intake.get("/alerts")["incidents"] == []
    assert intake.recommender.database
    intake.recommender.app.extensions["optiinfra"].health._known = None
    assert intake.get("/health/detailed", None)["components"]["watchdog"]["status"] == "up"


def test_truncated_alerts_are_said(intake: Live) -> None:
    assert intake.notify(payload(truncatedAlerts=7)).json()["truncated"] == 7


def test_the_answer_takes_less_than_50_ms(intake: Live) -> None:
    intake.notify()
    seconds = []
    for number in range(20):
        start = time.perf_counter()
        assert intake.notify(payload(alert("c0ffee01"), groupKey=str(number))).status_code == 200
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.05
