"""The real `optiinfra exporter`: flags, signals, and NVML through a stub library."""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from exporters.cli import exporter

pytestmark = pytest.mark.process

STUB = Path(__file__).parents[1] / "nvml_stub" / "nvml_stub.c"
COMMAND = [sys.executable, "-c", "from exporters.cli import exporter; exporter()"]
GPU0 = ("0", "GPU-00000000-0000-0000-0000-000000000000")
GPU1 = ("1", "GPU-00000000-0000-0000-0000-000000000001")


class Exporter:
    """A running exporter and what it logged."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.url = self.wait_for("exporter_listening")["url"]

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log until an event is there."""
        assert self.process.stderr is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stderr, selectors.EVENT_READ)
            until = time.monotonic() + 30
            while ready.select(timeout=until - time.monotonic()):
                line = self.process.stderr.readline()
                if not line:
                    break
                self.events.append(json.loads(line))
                if self.events[-1]["event"] == event:
                    return self.events[-1]
        pytest.fail(f"no {event} among {self.events}")

    def scrape(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Values by name and label values in the order of the label names."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Signal it, read the rest of its log, and give its exit status."""
        self.process.send_signal(signum)
        _, rest = self.process.communicate(timeout=30)
        self.events += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


@pytest.fixture(name="start")
def _start() -> Iterator[Callable[..., Exporter]]:
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **env: str) -> Exporter:
            process = subprocess.Popen(
                [*COMMAND, "--port", "0", *flags], env={**os.environ, **env}, stderr=subprocess.PIPE, text=True
            )
            stack.callback(process.wait, timeout=30)
            stack.callback(process.kill)
            stack.push(lambda *_: process.stderr.close() if process.stderr else None)
            return Exporter(process)

        yield start


@pytest.fixture(name="nvml", scope="session")
def _nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the stub as `libnvidia-ml.so.1`."""
    assert shutil.which("gcc"), "gcc builds the NVML stub; install it: deploy/system-packages.sh test"
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(STUB)], check=True, timeout=60)
    return library.parent


@pytest.fixture(name="start_with_gpus")
def _start_with_gpus(nvml: Path, tmp_path: Path, start: Callable[..., Exporter]) -> Callable[[], Exporter]:
    """An exporter with two H100s; files in `tmp_path` change what they answer."""
    return lambda: start("--collectors", "gpu,load", LD_LIBRARY_PATH=str(nvml), NVML_STUB_DIR=str(tmp_path))


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


def test_nvml_figures_arrive_in_base_units(start_with_gpus: Callable[[], Exporter]) -> None:
    samples = start_with_gpus().scrape()

    assert {name: samples[name, GPU0] for name, labels in samples if labels == GPU0} == {
        "gpu_up": 1,
        "gpu_utilization_ratio": 1.0,
        "gpu_memory_busy_ratio": 0.11,
        "gpu_memory_total_bytes": 85520809984,
        "gpu_memory_used_bytes": 20780679168,
        "gpu_memory_free_bytes": 64237862912,
        "gpu_memory_reserved_bytes": 502267904,
        "gpu_power_watts": 631.95,
        "gpu_power_limit_watts": 700.0,
        "gpu_energy_joules_total": 123456789.012,
        "gpu_temperature_celsius": 59,
        "gpu_sm_clock_hertz": 1980e6,
        "gpu_sm_clock_max_hertz": 1980e6,
        "gpu_memory_clock_hertz": 2619e6,
        "gpu_memory_clock_max_hertz": 2619e6,
        "gpu_ecc_corrected_errors_total": 3,
        "gpu_ecc_uncorrected_errors_total": 0,
        "gpu_processes": 3,
    }
    facts = ("9.0", "13.1", "590.48.01", "0", "NVIDIA H100 80GB HBM3", "00000000:00:09.0", GPU0[1])
    assert samples["gpu_info", facts] == 1


def test_clock_event_reasons_are_those_that_the_device_supports(start_with_gpus: Callable[[], Exporter]) -> None:
    samples = start_with_gpus().scrape()
    reasons = {labels[0:2]: value for (name, labels), value in samples.items() if name == "gpu_clock_event_active"}

    assert reasons["0", "sw_power_cap"] == 1
    assert reasons["0", "hw_thermal_slowdown"] == 0
    assert sum(gpu == "0" for gpu, _ in reasons) == 9
    assert ("1", "display_clock_setting") not in reasons


def test_what_nvml_does_not_support_or_fills_with_ones_is_absent(start_with_gpus: Callable[[], Exporter]) -> None:
    running = start_with_gpus()
    samples = running.scrape()
    running.stop()

    assert ("gpu_pcie_replays_total", GPU0) not in samples
    assert ("gpu_power_watts", GPU1) not in samples
    assert samples["gpu_temperature_celsius", GPU1] == 59
    assert [(event["gpu"], event["without"]) for event in running.events if event["event"] == "gpu_found"] == [
        (0, {"pcie_replays": "Not Supported"}),
        (1, {"power_watts": "NVML gave 0xffffffff", "pcie_replays": "Not Supported"}),
    ]


def test_drivers_that_lack_the_new_calls_are_read_with_the_old_ones(
    start_with_gpus: Callable[[], Exporter], tmp_path: Path
) -> None:
    (tmp_path / "old").write_text("1")
    samples = start_with_gpus().scrape()

    assert samples["gpu_temperature_celsius", GPU0] == 58
    assert samples["gpu_memory_used_bytes", GPU0] == 20780679168 + 502267904
    assert ("gpu_memory_reserved_bytes", GPU0) not in samples


def test_a_device_that_falls_off_the_bus_is_down_and_the_other_is_read(
    start_with_gpus: Callable[[], Exporter], tmp_path: Path
) -> None:
    running = start_with_gpus()
    assert running.scrape()["gpu_up", GPU1] == 1
    (tmp_path / "lost").write_text("1")
    samples = running.scrape()

    assert (samples["gpu_up", GPU0], samples["gpu_up", GPU1]) == (1, 0)
    assert {name for name, labels in samples if labels == GPU1} == {"gpu_up"}
    assert samples["optiinfra_scrape_collector_success", ("gpu",)] == 1


@pytest.mark.parametrize(("setting", "number"), [("count", "999"), ("devices", "0")])
def test_a_driver_that_fails_after_it_worked_is_a_failure_and_recovers(
    start_with_gpus: Callable[[], Exporter], tmp_path: Path, setting: str, number: str
) -> None:
    running = start_with_gpus()
    running.scrape()
    (tmp_path / setting).write_text(number)
    failed = running.scrape()
    (tmp_path / setting).unlink()
    recovered = running.scrape()

    assert failed["optiinfra_scrape_collector_success", ("gpu",)] == 0
    assert not [name for name, _ in failed if name.startswith("gpu_")]
    assert failed["host_load1", ()] >= 0
    assert recovered["gpu_up", GPU0] == 1


@pytest.mark.parametrize(
    ("init", "success", "text"),
    [
        ("9", 1, "no NVIDIA driver (NVML: Driver Not Loaded)"),
        ("18", 0, "ReadError: NVML and the kernel module differ in version: reload the module or reboot"),
    ],
)
def test_a_driver_that_does_not_start_is_absent_or_a_failure_and_is_tried_again(
    start_with_gpus: Callable[[], Exporter], tmp_path: Path, init: str, success: int, text: str
) -> None:
    (tmp_path / "init").write_text(init)
    running = start_with_gpus()
    before = running.scrape()
    (tmp_path / "init").unlink()
    after = running.scrape()
    running.stop()

    assert before["optiinfra_scrape_collector_success", ("gpu",)] == success
    assert after["gpu_up", GPU0] == 1
    [event] = [event for event in running.events if "reason" in event or "error" in event]
    assert event.get("reason", event.get("error")) == text


def test_a_driver_that_hangs_holds_up_neither_the_page_nor_the_stop(
    nvml: Path, tmp_path: Path, start: Callable[..., Exporter]
) -> None:
    (tmp_path / "hang").write_text("1")
    flags = ("--collectors", "gpu,load", "--collector-timeout-seconds", "0.05")
    running = start(*flags, LD_LIBRARY_PATH=str(nvml), NVML_STUB_DIR=str(tmp_path))
    samples = running.scrape()

    assert samples["optiinfra_scrape_collector_success", ("gpu",)] == 0
    assert samples["host_load1", ()] >= 0
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--collectors", "cpu,gpus"], "--collectors: 'gpus' is no collector; these are: cpu, load,"),
        (["--collectors", "cpu", "--no-collectors", "cpu"], "cpu: named by --collectors and by --no-collectors"),
        (["--listen-address", "192.0.2.1"], "cannot listen on 192.0.2.1 port 8003"),
        (["--listen-address", "no.such.host.invalid"], "--listen-address no.such.host.invalid: "),
        (["--port", "70000"], "70000 is not in the range 0<=x<=65535"),
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
