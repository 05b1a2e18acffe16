"""The real `optiinfra exporter`: flags and signals."""

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.cli import exporter
from tests.exporters.process import Exporter

pytestmark = pytest.mark.process


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_this_machine_and_stops_on_a_signal(start: Callable[..., Exporter], signum: int) -> None:
    running = start()
    samples = running.scrape()

    assert samples["host_cpus", ()] == os.cpu_count()
    assert running.stop(signum) == 0
    assert running.events[-1]["event"] == "exporter_stopped"


def test_a_machine_without_nvml_has_no_gpu_samples_and_one_log_line(
    start: Callable[..., Exporter], tmp_path: Path
) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")  # so that a GPU of this machine is not found
    running = start(LD_LIBRARY_PATH=str(tmp_path))
    for _ in range(3):
        samples = running.scrape()
    running.stop()

    assert not [name for name, _ in samples if name.startswith("gpu_")]
    assert samples["host_load1", ()] >= 0
    assert samples["optiinfra_scrape_collector_success", ("gpu",)] == 1
    about_gpus = [event for event in running.events if event.get("collector") == "gpu"]
    assert [(event["event"], event["reason"]) for event in about_gpus] == [
        ("collector_has_no_data", "no NVIDIA driver (NVML: NVML Shared Library Not Found)")
    ]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--collectors", "cpu,gpus"], "--collectors: 'gpus' is no collector; these are: cpu, load,"),
        (["--collectors", "cpu", "--no-collectors", "cpu"], "cpu: named by --collectors and by --no-collectors"),
        (["--listen-address", "192.0.2.1"], "cannot listen on 192.0.2.1 port 8003"),
        (["--listen-address", "no.such.host.invalid"], "--listen-address no.such.host.invalid: "),
        (["--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (
            ["--gpu-interval-seconds", "10"],
            "--gpu-interval-seconds 10 is more than --gpu-slow-interval-seconds 5: what costs more is not read more",
        ),
    ],
)
def test_flags_that_cannot_be_used_end_with_a_sentence_and_status_2(flags: list[str], text: str) -> None:
    found = CliRunner().invoke(exporter, flags)

    assert found.exit_code == 2
    assert text in " ".join(found.output.split())


def test_flags_have_environment_twins(start: Callable[..., Exporter]) -> None:
    running = start(OPTIINFRA_EXPORTER_COLLECTORS="load, memory", OPTIINFRA_LOG_LEVEL="debug")
    collectors = {labels for name, labels in running.scrape() if name == "optiinfra_scrape_collector_success"}

    assert collectors == {("load",), ("memory",)}


def test_probes_are_refused_outside_the_allow_list_and_answered_inside(start: Callable[..., Exporter]) -> None:
    # The exporter itself is a target that answers, though none that speaks an engine's metrics.
    running = start("--collectors", "load", OPTIINFRA_PROBE_ALLOW="127.0.0.0/8, engines.internal:8000")

    def probe(query: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{running.url}/probe{query}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    assert probe("")[0] == 400
    assert probe("?target=http://192.0.2.1:8000")[0] == 403
    status, page = probe(f"?target={running.url}")
    assert (status, "llm_up 0" in page) == (200, True), page


def test_an_allow_list_that_cannot_be_read_stops_the_start() -> None:
    found = CliRunner().invoke(exporter, ["--probe-allow", "http://x"])

    assert found.exit_code == 2
    assert "--probe-allow: allowed target 'http://x'" in " ".join(found.output.split())
