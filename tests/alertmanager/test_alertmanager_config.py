"""`alertmanager/alertmanager.yml` is valid, and label sets go where they should."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

CONFIG = Path(__file__).parents[2] / "alertmanager" / "alertmanager.yml"


def amtool(*arguments: str) -> str:
    binary = shutil.which("amtool")
    if binary is None:
        pytest.fail("amtool is not on PATH: install Debian's package `prometheus-alertmanager` (0.25 or newer)")
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_accepts_the_configuration() -> None:
    assert "SUCCESS" in amtool("check-config", str(CONFIG))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=Watchdog", "severity=none"), "recommender-heartbeat"),
        (("alertname=LLMAdmissionLimited", "service=chat", "instance=r1:8000", "node=n1"), "recommender"),
        (("alertname=LLMQueueBuildup", "service=chat"), "recommender"),
        (("alertname=HostCPUSaturation", "node=n1"), "recommender"),
        (("alertname=SomethingElse",), "recommender"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].removeprefix("alertname="),
)
def test_an_alert_reaches_its_receiver(labels: tuple[str, ...], receiver: str) -> None:
    arguments = ("config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receiver}", *labels)
    assert amtool(*arguments).split()[0] == receiver


@pytest.mark.parametrize(
    ("labels", "group_by"),
    [
        ({"alertname": "LLMAdmissionLimited", "service": "chat", "node": "n1"}, ["service"]),
        ({"alertname": "GPUMemoryPressure", "node": "n1"}, ["node"]),
        ({"alertname": "SomethingElse"}, ["alertname"]),
    ],
)
def test_alerts_are_grouped_by_what_they_are_about(labels: dict[str, str], group_by: list[str]) -> None:
    # amtool 0.25 tells receivers and not groups; the first child route with a matcher on a label that is there wins.
    route = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["route"]
    for child in route["routes"]:
        label, _, pattern = child["matchers"][0].partition("=")
        if label in labels and pattern in {'~".+"', f'"{labels[label]}"'}:
            assert child["group_by"] == group_by
            return
    assert route["group_by"] == group_by


def test_every_webhook_authenticates_with_a_token_from_a_file_and_hears_everything() -> None:
    for receiver in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["receivers"]:
        for webhook in receiver["webhook_configs"]:
            assert webhook["http_config"]["authorization"].keys() == {"type", "credentials_file"}
            assert webhook["send_resolved"] is True
            assert webhook["max_alerts"] == 0


def test_inhibition_never_compares_a_location_that_both_sides_may_lack() -> None:
    for rule in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"]:
        if "bottleneck" in rule.get("equal", ["bottleneck"]):
            continue  # one class has one set of location labels, so equal absence is the same place
        for label in rule["equal"]:
            assert f'{label}=~".+"' in rule["source_matchers"]
            assert f'{label}=~".+"' in rule["target_matchers"]


def test_a_user_who_waits_is_not_kept_waiting_by_grouping() -> None:
    route = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["route"]
    assert route["group_wait"] == "5s"
    watchdog, *others = route["routes"]
    assert watchdog["group_wait"] == "0s"
    assert not any("group_wait" in child for child in others)
