"""A real Alertmanager with the shipped configuration: who is muted by whom, and what reaches the recommender."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.free_port import free_port
from rules.catalog import ALERTS

CONFIG = Path(__file__).parents[2] / "alertmanager" / "alertmanager.yml"
TOKEN = "a-token-of-the-role-alert-source"
DEADLINE_SECONDS = 20.0

pytestmark = pytest.mark.process


class Recommender:
    """Hears what Alertmanager posts: the path, the Authorization header and the payload."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, dict[str, Any]]] = []
        self._heard = threading.Condition()

    def hear(self, path: str, authorization: str, payload: dict[str, Any]) -> None:
        with self._heard:
            self.posts.append((path, authorization, payload))
            self._heard.notify_all()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> tuple[str, str, dict[str, Any]]:
        """The first post whose payload is wanted."""
        with self._heard:
            found = self._heard.wait_for(
                lambda: [post for post in self.posts if wanted(post[2])], timeout=DEADLINE_SECONDS
            )
        assert found, f"not heard within {DEADLINE_SECONDS} s; heard {self.posts}"
        return found[0]


@pytest.fixture(scope="module")
def recommender() -> Iterator[tuple[Recommender, int]]:
    heard = Recommender()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.hear(self.path, self.headers.get("Authorization", ""), json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield heard, server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def alertmanager(recommender: tuple[Recommender, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of an Alertmanager that runs the shipped file; only the recommender's port is another."""
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        pytest.fail("Alertmanager is not on PATH: install Debian's package `prometheus-alertmanager` (0.25 or newer)")
    home = tmp_path_factory.mktemp("alertmanager")
    (home / "secrets").mkdir()
    (home / "secrets" / "alert_source.token").write_text(TOKEN + "\n")
    shipped = CONFIG.read_text(encoding="utf-8")
    assert shipped.count("127.0.0.1:8002") == 1
    (home / "alertmanager.yml").write_text(shipped.replace("127.0.0.1:8002", f"127.0.0.1:{recommender[1]}"))
    port = free_port()
    command = [
        binary,
        f"--config.file={home / 'alertmanager.yml'}",
        f"--storage.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: ready(base), (home / "log").read_text)
        yield base
    finally:
        process.terminate()
        process.wait(timeout=10)


def ready(base: str) -> bool:
    try:
        return requests.get(f"{base}/-/ready", timeout=1).ok
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)


def alert(name: str, **location: str) -> dict[str, Any]:
    """A firing alert with the labels that the catalogue gives it."""
    known = ALERTS[name]
    labels = {"alertname": name, "bottleneck": known.bottleneck, "kind": known.kind, "severity": known.severity}
    now = datetime.now(UTC)
    return {
        "labels": {**{key: str(value) for key, value in labels.items()}, **location},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
    }


def post(base: str, *alerts: dict[str, Any]) -> None:
    requests.post(f"{base}/api/v2/alerts", json=alerts, timeout=5).raise_for_status()


def state_of(base: str, **labels: str) -> list[tuple[str, bool]]:
    """(name, muted) of every alert with these labels."""
    filters = [f'{name}="{value}"' for name, value in labels.items()]
    found = requests.get(f"{base}/api/v2/alerts", params={"filter": filters}, timeout=5).json()
    return sorted((a["labels"]["alertname"], bool(a["status"]["inhibitedBy"])) for a in found)


def expect(base: str, wanted: list[tuple[str, bool]], **labels: str) -> None:
    wait_until(lambda: state_of(base, **labels) == sorted(wanted), lambda: str(state_of(base, **labels)))


def test_a_cause_mutes_the_symptoms_of_its_service_and_no_other(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("LLMAdmissionLimited", service="a", instance="a1:1", node="an"),
        alert("LLMQueueBuildup", service="a"),
        alert("LLMHighTTFT", service="a"),
        alert("LLMLowThroughput", service="a", instance="a1:1", node="an"),
        alert("LLMQueueBuildup", service="b"),
    )
    expect(
        alertmanager,
        [("LLMAdmissionLimited", False), ("LLMQueueBuildup", True), ("LLMHighTTFT", True), ("LLMLowThroughput", True)],
        service="a",
    )
    expect(alertmanager, [("LLMQueueBuildup", False)], service="b")


def test_an_efficiency_class_mutes_no_symptom(alertmanager: str) -> None:
    post(alertmanager, alert("LLMCacheInefficiency", service="c"), alert("LLMHighTTFT", service="c"))
    expect(alertmanager, [("LLMCacheInefficiency", False), ("LLMHighTTFT", False)], service="c")


def test_what_was_to_come_is_muted_once_it_is_there_and_for_no_other_service(alertmanager: str) -> None:
    full = ("LLMKVCachePressure", "LLMKVCacheThrash", "LLMAdmissionLimited", "LLMQueueBuildup")
    for name in full:
        post(
            alertmanager, alert(name, service=name), alert("LLMPredictedSaturation", service=name, resource="requests")
        )
        expect(alertmanager, [(name, False), ("LLMPredictedSaturation", True)], service=name)
    post(alertmanager, alert("LLMPredictedSaturation", service="to-come", resource="kv_cache"))
    expect(alertmanager, [("LLMPredictedSaturation", False)], service="to-come")


def test_thrash_mutes_the_pressure_of_its_replica_and_not_that_of_another(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("LLMKVCacheThrash", service="d", instance="d1:1", node="dn"),
        alert("LLMKVCachePressure", service="d", instance="d1:1", node="dn"),
        alert("LLMKVCachePressure", service="d", instance="d2:1", node="dn"),
        alert("LLMAdmissionLimited", service="d", instance="d1:1", node="dn"),
    )
    expect(
        alertmanager,
        [("LLMKVCacheThrash", False), ("LLMKVCachePressure", True), ("LLMAdmissionLimited", False)],
        service="d",
        instance="d1:1",
    )
    expect(alertmanager, [("LLMKVCachePressure", False)], service="d", instance="d2:1")


def test_a_burning_budget_is_muted_by_a_cause_its_ticket_by_its_page_and_only_for_what_burns(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("LLMErrorBudgetBurnFast", service="slo-a", slo="ttft", burn="fast"),
        alert("LLMErrorBudgetBurnSlow", service="slo-a", slo="ttft", burn="slow"),
        alert("LLMErrorBudgetBurnSlow", service="slo-a", slo="itl", burn="slow"),
        alert("LLMKVCachePressure", service="slo-b", instance="b1:1", node="slo-bn"),
        alert("LLMErrorBudgetBurnFast", service="slo-b", slo="ttft", burn="fast"),
        alert("LLMRequestErrors", service="slo-c"),
        alert("LLMErrorBudgetBurnFast", service="slo-c", slo="availability", burn="fast"),
        alert("LLMErrorBudgetBurnFast", service="slo-c", slo="ttft", burn="fast"),
    )
    fast, slow = "LLMErrorBudgetBurnFast", "LLMErrorBudgetBurnSlow"
    expect(alertmanager, [(fast, False), (slow, True)], service="slo-a", slo="ttft")
    expect(alertmanager, [(slow, False)], service="slo-a", slo="itl")
    expect(alertmanager, [(fast, True), ("LLMKVCachePressure", False)], service="slo-b")
    expect(alertmanager, [(fast, True)], service="slo-c", slo="availability")
    expect(alertmanager, [(fast, False)], service="slo-c", slo="ttft")


def test_a_target_that_is_down_mutes_everything_of_its_service_but_faults(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("LLMTargetDown", service="e", instance="e1:1", node="en"),
        alert("LLMEngineFrozen", service="e", instance="e2:1", node="en"),
        alert("LLMKVCacheThrash", service="e", instance="e3:1", node="en"),
        alert("LLMHighITL", service="e"),
        alert("HostMemoryStall", node="en"),
    )
    expect(
        alertmanager,
        [("LLMTargetDown", False), ("LLMEngineFrozen", False), ("LLMKVCacheThrash", True), ("LLMHighITL", True)],
        service="e",
    )
    expect(
        alertmanager,
        [("HostMemoryStall", False), ("LLMTargetDown", False), ("LLMEngineFrozen", False), ("LLMKVCacheThrash", True)],
        node="en",
    )


def test_a_service_that_is_down_mutes_its_replicas(alertmanager: str) -> None:
    post(alertmanager, alert("LLMServiceDown", service="f"), alert("LLMTargetDown", service="f", instance="f1:1"))
    expect(alertmanager, [("LLMServiceDown", False), ("LLMTargetDown", True)], service="f")


def test_a_cause_on_a_node_mutes_symptoms_there_and_none_that_name_no_node(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("HostCPUSaturation", node="gn"),
        alert("LLMLowThroughput", service="g", instance="g1:1", node="gn"),
        alert("LLMLowThroughput", service="g", instance="g2:1", node="other"),
        alert("LLMHighITL", service="g"),
    )
    expect(alertmanager, [("HostCPUSaturation", False), ("LLMLowThroughput", True)], node="gn")
    expect(alertmanager, [("LLMLowThroughput", False)], node="other")
    expect(alertmanager, [("LLMHighITL", False)], alertname="LLMHighITL", service="g")


def test_gpus_and_nodes_do_not_mute_each_other_for_want_of_labels(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("GPUMemoryExhaustion", node="hn", gpu="0", uuid="GPU-0"),
        alert("GPUMemoryPressure", node="hn", gpu="0", uuid="GPU-0"),
        alert("GPUMemoryPressure", node="hn", gpu="1", uuid="GPU-1"),
        alert("HostMemoryStall", node="in"),
        alert("HostMemoryPressure", node="in"),
        alert("HostMemoryPressure", node="hn"),
        alert("ExporterDown", node="hn", job="node"),
    )
    expect(alertmanager, [("GPUMemoryExhaustion", False), ("GPUMemoryPressure", True)], node="hn", gpu="0")
    expect(alertmanager, [("GPUMemoryPressure", False)], node="hn", gpu="1")
    expect(alertmanager, [("HostMemoryStall", False), ("HostMemoryPressure", True)], node="in")
    expect(alertmanager, [("HostMemoryPressure", False)], node="hn", alertname="HostMemoryPressure")
    expect(alertmanager, [("ExporterDown", False)], node="hn", alertname="ExporterDown")


@pytest.mark.parametrize("hardware", ["GPUThermalThrottle", "GPUPowerBrake", "HostEngineThreadSaturation"])
def test_hardware_below_its_speed_mutes_what_its_replicas_seem_limited_by(alertmanager: str, hardware: str) -> None:
    node = f"slow-{hardware}".lower()
    of_gpu = {"gpu": "0", "uuid": "GPU-0"} if ALERTS[hardware].level == "gpu" else {}
    post(
        alertmanager,
        alert(hardware, node=node, **of_gpu),
        alert("LLMAdmissionLimited", service=node, instance="j1:1", node=node),
        alert("LLMLowThroughput", service=node, instance="j1:1", node=node),
        alert("LLMKVCachePressure", service=node, instance="j1:1", node=node),
        alert("LLMAdmissionLimited", service=node, instance="j2:1", node="sound"),
    )
    expect(
        alertmanager,
        [(hardware, False), ("LLMAdmissionLimited", True), ("LLMLowThroughput", True), ("LLMKVCachePressure", False)],
        node=node,
    )
    expect(alertmanager, [("LLMAdmissionLimited", False)], service=node, node="sound")


def test_a_broken_gpu_mutes_causes_and_symptoms_of_replicas_on_its_node_and_a_bad_link_none(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("GPUFault", node="kn", gpu="0", uuid="GPU-0", fault="xid"),
        alert("GPUThermalThrottle", node="kn", gpu="1", uuid="GPU-1"),
        alert("LLMKVCacheThrash", service="k", instance="k1:1", node="kn"),
        alert("LLMLowThroughput", service="k", instance="k1:1", node="kn"),
        alert("LLMTargetDown", service="l", instance="k2:1", node="kn"),
        alert("GPULinkDegraded", node="ln", gpu="0", uuid="GPU-2", fault="pcie_width"),
        alert("LLMLowThroughput", service="m", instance="m1:1", node="ln"),
    )
    expect(
        alertmanager,
        [
            ("GPUFault", False),
            ("GPUThermalThrottle", False),
            ("LLMKVCacheThrash", True),
            ("LLMLowThroughput", True),
            ("LLMTargetDown", False),
        ],
        node="kn",
    )
    expect(alertmanager, [("GPULinkDegraded", False), ("LLMLowThroughput", False)], node="ln")


def test_a_file_system_that_is_full_mutes_that_it_fills_and_no_symptom(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("HostFilesystemFull", node="mn"),
        alert("HostFilesystemFilling", node="mn"),
        alert("LLMLowThroughput", service="n", instance="n1:1", node="mn"),
    )
    expect(
        alertmanager,
        [("HostFilesystemFull", False), ("HostFilesystemFilling", True), ("LLMLowThroughput", False)],
        node="mn",
    )


def test_the_recommender_hears_one_group_of_a_service_with_the_token_and_without_muted_alerts(
    alertmanager: str, recommender: tuple[Recommender, int]
) -> None:
    post(
        alertmanager,
        alert("LLMAdmissionLimited", service="z", instance="z1:1", node="zn"),
        alert("LLMAdmissionLimited", service="z", instance="z2:1", node="zn"),
        alert("LLMQueueBuildup", service="z"),
    )
    path, authorization, payload = recommender[0].wait_for(lambda body: body["groupLabels"] == {"service": "z"})
    assert path == "/api/v1/alerts"
    assert authorization == f"Bearer {TOKEN}"
    assert sorted(a["labels"]["instance"] for a in payload["alerts"]) == ["z1:1", "z2:1"]
    assert payload["truncatedAlerts"] == 0


def test_the_watchdog_is_heard_on_its_own(alertmanager: str, recommender: tuple[Recommender, int]) -> None:
    post(alertmanager, alert("Watchdog"))
    _, _, payload = recommender[0].wait_for(lambda body: body["receiver"] == "recommender-heartbeat")
    assert [a["labels"]["alertname"] for a in payload["alerts"]] == ["Watchdog"]


def test_failing_requests_are_muted_by_worse_and_by_an_engine_that_is_down_and_by_no_cause(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("LLMRequestErrors", service="er"),
        alert("LLMRequestErrorsHigh", service="er"),
        alert("LLMRequestErrors", service="dn"),
        alert("LLMTargetDown", service="dn", instance="k1:1"),
        alert("LLMRequestErrors", service="kv"),
        alert("LLMRequestAborts", service="kv"),
        alert("LLMKVCachePressure", service="kv", instance="k2:1"),
    )
    expect(alertmanager, [("LLMRequestErrors", True), ("LLMRequestErrorsHigh", False)], service="er")
    expect(alertmanager, [("LLMRequestErrors", True), ("LLMTargetDown", False)], service="dn")
    expect(
        alertmanager,
        [("LLMKVCachePressure", False), ("LLMRequestAborts", True), ("LLMRequestErrors", False)],
        service="kv",
    )


def test_alerts_about_the_monitoring_mute_one_another_only_where_one_is_why(alertmanager: str) -> None:
    post(
        alertmanager,
        alert("AlertsNotReceived", job="recommender"),
        alert("AlertsNotDelivered", integration="email"),
        alert("RecommenderSilent", loop="reconciler"),
        alert("LLMTargetDown", service="meta", instance="q1:1", node="qn"),
        alert("LLMProbeUnreadable", service="meta", instance="q2:1", node="qn", reason="content"),
        alert("LLMProbeFailing", service="meta", instance="q3:1", node="qn"),
        alert("LLMSignalsMissing", service="meta", instance="q4:1", node="qn"),
        alert("GPULost", node="qn", gpu="0", uuid="GPU-0", fault="lost"),
        alert("NodeSignalsMissing", node="qn"),
    )
    names = ("LLMTargetDown", "LLMProbeUnreadable", "LLMProbeFailing", "LLMSignalsMissing")
    expect(alertmanager, [(name, False) for name in (*names, "GPULost", "NodeSignalsMissing")], node="qn")
    expect(alertmanager, [("AlertsNotReceived", False)], alertname="AlertsNotReceived")
    post(alertmanager, alert("AlertsNotDelivered", integration="webhook"))
    expect(alertmanager, [("AlertsNotReceived", True)], alertname="AlertsNotReceived")
    expect(alertmanager, [("RecommenderSilent", False)], alertname="RecommenderSilent")
