"""A real Prometheus reads one state of five GPUs from every exporter: the GPU signals that it records are equal.

Our exporter is the real process on the NVML stub; the pages of the others are made from the same scenario, which moves.
Windows of the rules are shortened, all in proportion to what they measure, so that they are full within the test.
"""

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.free_port import free_address
from rules.catalog.gpu_signals import GIVEN, GPU_SIGNALS
from tests.exporters.nvml_stub.scenarios import Scenario, beside, h200_idle, l40s, throttled
from tests.exporters.nvml_stub.stub import NvmlStub, build
from tests.exporters.process import exporters
from tests.helpers.gpu_pages import PROFILING, dcgm_page, smi_page

SOURCES = Path(__file__).parents[2] / "rules" / "sources"
# Three H100s that are throttled, an idle H200, an L40S that encodes video.
CAPTURES = (
    *("linux-x86_64__nvidia-h100-80gb-hbm3__590.48.01__load",) * 3,
    "linux-x86_64__nvidia-h200__590.48.01__idle",
    "linux-x86_64__nvidia-l40s__595.80__load",
)
SHORTER = {
    "[5m:15s]": "[10s:1s]",
    "[5m]": "[10s]",
    "[10m]": "[20s]",
    "offset 10m": "offset 20s",
    "[1h]": "[40s]",
    "interval: 30s": "interval: 1s",
    "interval: 1m": "interval: 1s",
}

# Long enough that what is compared with 10m ago (here 20s) has a past, and short enough that the faults are within it.
BEFORE_SECONDS, AFTER_SECONDS = 24, 12

# Node -> the source that gives its signals.
NODES = {"ours": "optiinfra_gpu", "dcgm-0": "dcgm", "dcgm-1": "dcgm", "smi": "nvidia_gpu_exporter"}
MARKS = {"dcgm-0": "d0d0d0d0", "dcgm-1": "d1d1d1d1", "smi": "50505050"}
RATES = {name for name in (signal.name for signal in GPU_SIGNALS) if "rate5m" in name or "increase" in name}
TOLD = {"name", "compute_capability"}  # of gpu:gpu:info
PROFILED = {"gpu:gpu_sm_active:ratio", "gpu:gpu_tensor_active:ratio", "gpu:gpu_dram_active:ratio"}

pytestmark = [pytest.mark.process, pytest.mark.timeout(170)]


def uuid_on(node: str) -> Callable[[str], str]:
    """Each source has GPUs of its own, else one would give way to the other."""
    return lambda uuid: uuid.replace("GPU-00000000", f"GPU-{MARKS.get(node, '00000000')}", 1)


def before() -> Scenario:
    """Throttling of all kinds, traffic, a narrow link, memory to be repaired; errors so far none."""
    scenario = beside(throttled(), h200_idle(), l40s()).changed("system", {"epoch": f"{time.time():.3f}"})
    for index in range(scenario.devices):
        scenario = scenario.changed(index, {"energy_mj": "1000+690000/s"})
        if "nvlinks" in scenario[index]:
            scenario = scenario.changed(index, {f"nvlink_kib.{way}": "5000+2000000/s" for way in ("tx", "rx")})
    return (
        scenario.changed(0, {"pcie_replays": "3+4/s", "power_limit_mw": 600000})
        .changed(1, {"remapped_rows.pending": 1, "pcie_kb_per_second.rx": 41000000})
        .changed(2, {"remapped_rows.failure": 1, "pcie_width": 8})
    )


def after(scenario: Scenario) -> Scenario:
    """The same and some faults: hardware's on devices 0 and 1, an application's on device 2."""
    return (
        scenario.changed(0, {"events": "8:79", "ecc_errors.uncorrected.volatile": 2})
        .changed(1, {"events": "8:94", "nvlink_errors.0.replay": 3})
        .changed(2, {"events": "8:31"})
    )


class Pages:
    """Serves `/<name>` from functions that make a page of a scenario at a time."""

    def __init__(self, stub: NvmlStub) -> None:
        makers: dict[str, Callable[[float], str]] = {
            "dcgm-0": lambda now: dcgm_page(stub.scenario, now, uuid=uuid_on("dcgm-0"), renamed=False),
            "dcgm-1": lambda now: dcgm_page(stub.scenario, now, uuid=uuid_on("dcgm-1"), renamed=True),
            "dcgm-ours": lambda now: dcgm_page(stub.scenario, now, uuid=uuid_on("ours"), renamed=False),
            "smi": lambda now: smi_page(CAPTURES, stub.scenario, now, uuid=uuid_on("smi")),
            "smi-dcgm-0": lambda now: smi_page(CAPTURES, stub.scenario, now, uuid=uuid_on("dcgm-0")),
        }

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = makers[self.path.strip("/")](time.time()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def configuration(folder: Path, exporter: str, pages: str) -> Path:
    rules = []
    for source in sorted(GIVEN):
        text = (SOURCES / f"{source}.yml").read_text(encoding="utf-8")
        for window, shorter in SHORTER.items():
            text = text.replace(window, shorter)
        rules.append(folder / f"{source}.yml")
        rules[-1].write_text(text, encoding="utf-8")

    def target(address: str, instance: str, path: str = "/metrics", **labels: str) -> dict[str, Any]:
        return {"targets": [address], "labels": {"instance": instance, "__metrics_path__": path, **labels}}

    jobs = {
        "node": [target(exporter, "ours:8003", node="ours")],
        "dcgm": [
            *(target(pages, f"{name}:9400", f"/{name}") for name in ("dcgm-0", "dcgm-1")),
            target(pages, "ours:9400", "/dcgm-ours", node="ours"),
        ],
        "nvidia_gpu_exporter": [
            target(pages, "smi:9835", "/smi"),
            target(pages, "dcgm-0:9835", "/smi-dcgm-0", node="dcgm-0"),
        ],
    }
    written = folder / "prometheus.yml"
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": name, "static_configs": targets} for name, targets in jobs.items()],
    }
    written.write_text(yaml.safe_dump(config), encoding="utf-8")
    return written


@dataclass(frozen=True, slots=True)
class Query:
    """Asks a running Prometheus about a moment, some seconds ago."""

    address: str
    moment: float | None = None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=20) as answer:
            return json.load(answer)["data"]

    def __call__(self, expression: str) -> list[tuple[dict[str, str], float]]:
        asked = {"query": expression} | ({"time": f"{self.moment:.3f}"} if self.moment else {})
        found = self.get(f"query?{urllib.parse.urlencode(asked)}")["result"]
        return [(row["metric"], float(row["value"][1])) for row in found]

    def by_gpu(self, signal: str, node: str) -> dict[str, float]:
        """Values of a signal by GPU."""
        return {labels["gpu"]: value for labels, value in self(f'{signal}{{node="{node}"}}')}


def until(condition: Callable[[], bool], what: Callable[[], str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what()}")
        time.sleep(0.5)


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Prometheus, after it saw the faults happen."""
    prometheus = shutil.which("prometheus")
    assert prometheus, "prometheus is not on PATH: install Debian's package `prometheus` (2.42 or newer)"
    folder = tmp_path_factory.mktemp("gpu_parity")
    stub = NvmlStub(build(folder), folder / "nvml.scenario", before())
    with ExitStack() as stack:
        pages = Pages(stub)
        stack.callback(pages.close)
        start = stack.enter_context(exporters())
        cadence = ["--gpu-interval-seconds", "0.5", "--gpu-slow-interval-seconds", "0.5"]
        exporter = start("--collectors", "gpu", *cadence, **stub.env)
        config = configuration(folder, exporter.url.removeprefix("http://"), pages.address)
        address = free_address()
        flags = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
        log = stack.enter_context((folder / "prometheus.log").open("wb"))
        process = subprocess.Popen([prometheus, *flags], stdout=log, stderr=log)
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        ask = Query(address)
        until(lambda: ready(f"http://{address}/-/ready"), lambda: "Prometheus is ready", 30)
        scraped = f"count(min_over_time(up[{BEFORE_SECONDS}s]) == 1 and up offset {BEFORE_SECONDS}s == 1) == 6"
        until(lambda: bool(ask(scraped)), lambda: f"all targets scraped: {ask('up')}", 90)
        stub.show(after(stub.scenario))
        happened = time.time()
        until(lambda: time.time() > happened + AFTER_SECONDS, lambda: "time passes", 60)
        yield Query(address, happened + AFTER_SECONDS)


def close_to(signal: str, value: float) -> Any:
    """Rates differ by the moments of scrapes; DCGM counts memory in whole MiB."""
    return pytest.approx(value, rel=0.15 if "increase" in signal else 0.05 if signal in RATES else 1e-4, abs=1e-3)


def differences(query: Query, signal: str, node: str) -> list[str]:
    reference = "dcgm-0" if signal in PROFILED else "ours"
    expected, found = query.by_gpu(signal, reference), query.by_gpu(signal, node)
    if expected.keys() != found.keys() or not expected:
        return [f"{node}: {found}, {reference}: {expected}"]
    return [
        f"{node} {gpu}: {value}, {reference}: {expected[gpu]}"
        for gpu, value in found.items()
        if value != close_to(signal, expected[gpu])
    ]


@pytest.mark.parametrize("node", NODES)
def test_a_source_gives_what_it_can_and_nothing_else(query: Query, node: str) -> None:
    # Of the last seconds: a scrape that a busy machine cuts off takes its target's series away until the next.
    recorded = {labels["__name__"] for labels, _ in query(f'last_over_time({{__name__=~"gpu:.+",node="{node}"}}[5s])')}
    # DCGM's profiling counters are read beside our exporter, which has none.
    assert recorded == GIVEN[NODES[node]] | (PROFILED if node == "ours" else set())


@pytest.mark.parametrize("signal", sorted(set().union(*GIVEN.values())))
def test_a_signal_is_the_same_from_every_source_that_gives_it(query: Query, signal: str) -> None:
    givers = [node for node, source in NODES.items() if signal in GIVEN[source]]
    for labels, _ in query(signal):
        assert labels.keys() - TOLD == {"__name__", "node", "gpu", "uuid"}
        assert labels["uuid"].startswith(f"GPU-{MARKS.get(labels['node'], '00000000')}-")
    # A scrape that a busy machine delays moves a rate at that instant; a wrong rule differs for good.
    moments = [Query(query.address, (query.moment or 0) - ago) for ago in range(5)]
    for node in givers:
        found = [differences(moment, signal, node) for moment in moments]
        assert [] in found, found[0]


def test_every_source_names_the_products_alike(query: Query) -> None:
    products = {
        node: {labels["gpu"]: labels["name"] for labels, _ in query(f'gpu:gpu:info{{node="{node}"}}')} for node in NODES
    }
    assert products["ours"] == {
        **dict.fromkeys("012", "NVIDIA H100 80GB HBM3"),
        "3": "NVIDIA H200",
        "4": "NVIDIA L40S",
    }
    assert all(found == products["ours"] for found in products.values()), products


def test_the_signals_say_what_the_scenario_says(query: Query) -> None:
    def value(signal: str, gpu: int) -> float:
        return query.by_gpu(signal, "ours")[str(gpu)]

    assert value("gpu:gpu_throttled_power:ratio_rate5m", 0) == pytest.approx(0.6, abs=0.05)
    assert value("gpu:gpu_throttled_thermal:ratio_rate5m", 1) == pytest.approx(0.4, abs=0.05)
    assert value("gpu:gpu_hw_slowdown:ratio_avg5m", 1) == 1
    assert value("gpu:gpu_power_brake:ratio_avg5m", 2) == 1
    assert value("gpu:gpu_energy_joules:rate5m", 0) == pytest.approx(690, rel=0.05)
    assert value("gpu:gpu_pcie_busy:ratio", 1) == pytest.approx(41000000 * 1024 / 64e9)
    assert value("gpu:gpu_pcie_link_width:ratio", 2) == 0.5
    assert value("gpu:gpu_nvlink_bytes:rate5m", 0) == pytest.approx(4000000 * 1024, rel=0.05)
    assert [value("gpu:gpu_row_remap_pending", gpu) for gpu in range(5)] == [0, 1, 0, 0, 0]
    assert [value("gpu:gpu_row_remap_failure", gpu) for gpu in range(5)] == [0, 0, 1, 0, 0]
    # The idle H200, and the L40S, which has neither NVLink nor a memory sensor.
    assert value("gpu:gpu_utilization:ratio", 3) == 0
    assert value("gpu:gpu_sm_clock:ratio", 3) < 0.2
    assert query.by_gpu("gpu:gpu_memory_temperature_celsius", "ours").keys() == {"0", "1", "2", "3"}
    assert query.by_gpu("gpu:gpu_nvlink_bytes:rate5m", "ours").keys() == {"0", "1", "2", "3"}
    assert query.by_gpu("gpu:gpu_sm_active:ratio", "ours")["0"] == PROFILING["PROF_SM_ACTIVE"]


def test_faults_of_the_hardware_are_seen_and_those_of_an_application_are_not(query: Query) -> None:
    for node in ("ours", "dcgm-0", "dcgm-1"):
        assert query.by_gpu("gpu:gpu_xid_faults:increase10m", node) == {"0": 1, "1": 1, "2": 0, "3": 0, "4": 0}, node


def test_no_rule_fails_and_no_sample_is_written_twice(query: Query) -> None:
    rules = [rule for group in query.get("rules")["groups"] for rule in group["rules"]]
    assert {(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"} == set()
    for node in NODES:
        written = query(f'count_over_time(gpu:gpu_power_watts{{node="{node}"}}[10s])')
        assert len(written) == len(CAPTURES)
        assert max(count for _, count in written) <= 11, node
