"""The story against servers that answer as Prometheus and the recommender do."""

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from rich.console import Console

from demo import wording
from demo.readings import SIGNALS, Figures, Prometheus, Recommender, Unreadable
from demo.story import Story, StoryError, Teller
from recommender.model import (
    Change,
    Diagnosis,
    DiagnosisStatus,
    Direction,
    EvidenceItem,
    Expectation,
    Plan,
    Risk,
    Verdict,
    VerdictOutcome,
    Workflow,
    WorkflowState,
)
from rules.catalog import SIGNALS as CATALOGUED
from rules.catalog import Bottleneck

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TOKEN = "approver-token"
BUSY = Figures(24, 170, 813.0, 16.4, 0.0487)
CALM = Figures(37, 1, 1180.0, 0.41, 0.0488)


def workflow(state: str, *verdicts: str, reason: str = "") -> dict[str, Any]:
    """A workflow as the API serves it, made with the recommender's own models."""
    plan = Plan(
        service="chat",
        bottleneck=Bottleneck.ADMISSION_LIMITED,
        playbook="P04.1",
        title="Raise the batch limit",
        change=Change(
            knob="max_running_requests",
            engine="vllm",
            flag="--max-num-seqs",
            config_key="max-num-seqs",
            old=8,
            new=16,
            reason="requests wait while KV has room",
            formula="min(194, 16)",
            risk=Risk.RESTART,
        ),
        executor="command",
        confidence=1.0,
        evidence=(EvidenceItem(text="8 of 8 slots are used", query="up", value=8.0),),
        expected=(
            Expectation(metric="ttft_p95_seconds", direction=Direction.LOWER, low=0.97, high=0.1, source="queueing"),
        ),
        rollback="put 8 back",
    )
    made = Workflow(
        id="wf-1",
        service="chat",
        state=WorkflowState(state),
        plan=plan,
        diagnosis=Diagnosis(service="chat", at=NOW, status=DiagnosisStatus.DIAGNOSED),
        created_at=NOW,
        updated_at=NOW,
        verdicts=tuple(Verdict(outcome=VerdictOutcome.PASS, at=NOW, window_seconds=60, text=text) for text in verdicts),
        reason=reason,
    )
    return made.model_dump(mode="json")


class World(ThreadingHTTPServer):
    """Both servers in one; `script` holds what the recommender has to say, one entry a poll."""

    def __init__(self, script: list[dict[str, Any] | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.figures = BUSY
        self.alerts: list[dict[str, Any]] = []
        self.incidents: list[dict[str, Any]] = []
        self.approvals: list[tuple[str, dict[str, Any]]] = []
        self.broken = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def current(self) -> list[dict[str, Any]]:
        now = self.script[0] if self.script else None
        return [] if now is None else [now]


class _Handler(BaseHTTPRequestHandler):
    server: World
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer

    def _reply(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        world = self.server
        if world.broken:
            self._reply({"detail": "the database cannot be written"}, 503)
        elif self.path.startswith("/api/v1/query"):
            samples = [
                {"metric": {"__name__": name, "service": "chat"}, "value": [0, str(getattr(world.figures, field))]}
                for field, name in SIGNALS.items()
            ]
            self._reply({"status": "success", "data": {"resultType": "vector", "result": samples}})
        elif self.path == "/api/v1/alerts?open=true":
            self._reply({"incidents": world.incidents})
        elif self.path.startswith("/api/v1/alerts"):
            self._reply({"status": "success", "data": {"alerts": world.alerts}})
        elif self.path.startswith("/api/v1/workflows") and self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._reply({"detail": "who are you"}, 401)
        elif self.path == "/api/v1/workflows":
            self._reply({"workflows": world.current()})
        elif self.path.startswith("/api/v1/workflows/"):
            self._reply(world.current()[0])
        else:
            self._reply({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.approvals.append((self.path, body))
        self._reply({})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(name="world")
def _world() -> Iterator[World]:
    world = World([])
    thread = threading.Thread(target=world.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield world
    world.shutdown()
    world.server_close()
    thread.join()


class Told:
    """A story on a clock that only its own sleeping moves; each sleep is one step of the world's script."""

    def __init__(self, world: World, *, auto: bool, session: requests.Session) -> None:
        self.now = 0.0
        self._world = world
        self._text = io.StringIO()
        self.story = Story(
            ["chat"],
            Prometheus(world.url, session),
            Recommender(world.url, session, TOKEN),
            Teller(Console(file=self._text, width=200), lambda: self.now),
            self._sleep,
            approval=lambda name: wording.approval(
                name, url=world.url, token_file="/run/tokens/approver", command="optiinfra"
            ),
            auto=auto,
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if len(self._world.script) > 1:
            self._world.script.pop(0)
        if (now := self._world.script[0] if self._world.script else None) and now["state"] == "succeeded":
            self._world.figures = CALM

    @property
    def text(self) -> str:
        return self._text.getvalue()


@pytest.fixture(name="session")
def _session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def alert(state: str) -> dict[str, Any]:
    labels = {"alertname": "LLMAdmissionLimited", "service": "chat", "instance": "127.0.0.1:8101"}
    return {"labels": labels, "state": state, "annotations": {"summary": "Slots are the limit."}}


def test_the_whole_story_is_told_in_order_and_approved_once(world: World, session: requests.Session) -> None:
    world.alerts = [alert("firing")]
    world.script = [
        None,
        workflow("pending_approval"),
        workflow("pending_approval"),
        workflow("approved"),
        workflow("canary"),
        workflow("rolling_out", "pass: TTFT p95 fell"),
        workflow("validating", "pass: TTFT p95 fell"),
        workflow("succeeded", "pass: TTFT p95 fell", "pass: objectives are met"),
    ]
    told = Told(world, auto=True, session=session)
    told.story.wait_for_servers()
    told.story.run(600)

    expected = [
        "chat: running 24, waiting 170, 813 tok/s, TTFT p95 16.4 s, ITL p95 49 ms",
        "alert LLMAdmissionLimited on 127.0.0.1:8101 is firing: Slots are the limit.",
        "Raise the batch limit  (admission_limited, playbook P04.1)",
        "because 8 of 8 slots are used",
        "change  --max-num-seqs: 8 -> 16",
        "from    min(194, 16)",
        "expect  TTFT p95 0.10 to 0.97 times as much",
        "approved by AUTO=1",
        "canary: one replica",
        "verdict pass: TTFT p95 fell",
        "rolling out",
        "validating",
        "verdict pass: objectives are met",
        "done: the change is verified",
        "throughput  813 -> 1,180 tok/s  (+45%)",
        "TTFT p95    16.4 s -> 410 ms  (-98%)",
    ]
    positions = [told.text.find(line) for line in expected]
    assert -1 not in positions, f"missing: {expected[positions.index(-1)]}\n{told.text}"
    assert positions == sorted(positions), told.text
    assert told.text.count("verdict pass: TTFT p95 fell") == 1
    assert [path for path, _ in world.approvals] == ["/api/v1/workflows/wf-1/approve"]
    assert "AUTO=1" in world.approvals[0][1]["comment"]


@pytest.mark.parametrize("state", ["rejected", "expired", "rolled_back", "rollback_failed"])
def test_a_change_that_is_not_kept_fails_the_demo_with_the_reason(
    world: World, session: requests.Session, state: str
) -> None:
    world.script = [workflow("pending_approval"), workflow(state, reason="TTFT got worse")]
    told = Told(world, auto=True, session=session)
    with pytest.raises(StoryError, match=f"wf-1 ended as {state}"):
        told.story.run(600)

    assert "TTFT got worse" in told.text


def test_a_story_without_a_plan_ends_at_its_deadline_and_says_how_far_it_came(
    world: World, session: requests.Session
) -> None:
    world.alerts = [alert("pending")]
    told = Told(world, auto=True, session=session)
    with pytest.raises(StoryError, match=r"not done within 120 s; no plan yet; alerts: LLMAdmissionLimited pending"):
        told.story.run(120)


def test_without_auto_the_exact_command_is_shown_and_nothing_is_approved(
    world: World, session: requests.Session
) -> None:
    world.script = [workflow("pending_approval")]
    told = Told(world, auto=False, session=session)
    told.story._look()

    assert "approve with: optiinfra workflows approve wf-1" in told.text
    assert "TOKEN_FILE=/run/tokens/approver optiinfra workflows approve wf-1" in told.text
    assert TOKEN not in told.text
    assert world.approvals == []


def test_a_server_that_is_away_is_waited_for_and_said_once_in_ten_seconds(
    world: World, session: requests.Session
) -> None:
    world.broken = True
    told = Told(world, auto=True, session=session)
    with pytest.raises(StoryError, match="Prometheus and the recommender did not become ready within 90 s"):
        told.story.wait_for_servers()
    with pytest.raises(StoryError, match="not done"):
        told.story.run(told.now + 30)

    assert 1 <= told.text.count("503 the database cannot be written") <= 4


def test_unknown_figures_are_a_question_mark_and_never_a_zero(world: World, session: requests.Session) -> None:
    world.figures = Figures(0, 0, 0.0, float("nan"), float("nan"))
    figures = Prometheus(world.url, session).figures("chat")

    assert wording.traffic("chat", figures) == "chat: running 0, waiting 0, 0 tok/s, TTFT p95 ?, ITL p95 ?"


def test_a_wrong_token_is_said_as_it_is(world: World, session: requests.Session) -> None:
    with pytest.raises(Unreadable, match="401 who are you"):
        Recommender(world.url, session, "wrong").workflows()


def test_the_story_reads_signals_that_are_recorded() -> None:
    assert set(SIGNALS.values()) <= CATALOGUED.keys()


def test_why_there_is_no_plan_is_said_once_and_only_of_services_that_are_watched(
    world: World, session: requests.Session
) -> None:
    refused = {"service": "chat", "outcome": "refused", "reason": "chat has no second healthy replica"}
    world.incidents = [refused, refused, {**refused, "service": "other"}, {**refused, "outcome": "planned"}]
    told = Told(world, auto=False, session=session)
    told.story._look()
    told.story._look()

    assert told.text.count("no plan for") == 1
    assert "no plan for chat (refused by the policy): chat has no second healthy replica" in told.text
