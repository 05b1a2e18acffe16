"""What eight GPUs cost: scrape times, processor and memory of a real exporter whose driver takes realistic time.

    python -m bench.gpu_bench [--scrapes N]

The driver is the NVML stub of the tests with eight H100s under load: 20 ms for each PCIe sample, microseconds for other
calls. It works inside the exporter's process, so its own work (reading a scenario, sleeping) is in the figures. The
exporter runs as it ships: all collectors, GPUs read every second. Scrapes are made over one kept connection.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from tests.exporters.nvml_stub.scenarios import eight_gpus, realistic
from tests.exporters.nvml_stub.stub import NvmlStub, build

COMMAND = [sys.executable, "-c", "from exporters.cli import exporter; exporter()", "--port", "0"]
PACE_SECONDS = 0.05
HOUR = 240  # scrapes, at the interval that Prometheus ships with here
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds, share of a core, milliseconds of processor, MiB, bytes."""

    median: float
    p99: float
    cpu: float
    scrape_cpu: float
    resident: tuple[float, ...]
    page: int


class Running:
    """A real exporter on the stub, and the connection that scrapes it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        self._process = psutil.Process(process.pid)
        for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "exporter_listening":
                self._connection = http.client.HTTPConnection(event["url"].removeprefix("http://"), timeout=30)
                return
        raise click.ClickException(f"the exporter ended with {process.wait()} before it listened")

    def scrape(self) -> bytes:
        """The page."""
        self._connection.request("GET", "/metrics")
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise click.ClickException(f"the exporter answered {answer.status}: {body[:200]!r}")
        return body

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def wait_for(self, gpus: int) -> None:
        """Return when every GPU was read, also what is read seldom."""
        until = time.monotonic() + START_SECONDS
        while self.scrape().count(b"\ngpu_pcie_link_width_max{") < gpus:
            if time.monotonic() > until:
                raise click.ClickException(f"{gpus} GPUs were not read within {START_SECONDS} s")
            time.sleep(0.1)

    def resident(self) -> float:
        """MiB of memory."""
        return float(self._process.memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        """Processor time so far, user and system."""
        return float(sum(self._process.cpu_times()[:2]))

    def cpu_share(self, seconds: float) -> float:
        """Share of a core while nobody scrapes."""
        before, started = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - started)


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """An exporter with eight GPUs; ends with the context."""
    stub = NvmlStub(build(folder), folder / "nvml.scenario", realistic(eight_gpus()))
    environment = {**os.environ, **stub.env}
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with closing(Running(process)) as exporter:
                yield exporter
        finally:
            process.terminate()


def measure(scrapes: int, cpu_seconds: float) -> Figures:
    """Idle processor share, then scrapes at a pace, then an hour's worth of scrapes as fast as they go."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as exporter:
        exporter.wait_for(gpus=8)
        page = len(exporter.scrape())
        resident = [exporter.resident()]
        cpu = exporter.cpu_share(cpu_seconds)
        times = []
        for _ in range(scrapes):
            started = time.perf_counter()
            exporter.scrape()
            times.append((time.perf_counter() - started) * 1000)
            time.sleep(PACE_SECONDS)
        before = exporter.cpu_seconds()
        for _ in range(2):
            for _ in range(HOUR):
                exporter.scrape()
            resident.append(exporter.resident())
        scrape_cpu = (exporter.cpu_seconds() - before) * 1000 / (2 * HOUR)
        p99 = statistics.quantiles(times, n=100)[98]
        return Figures(statistics.median(times), p99, cpu, scrape_cpu, tuple(resident), page)


@click.command()
@click.option("--scrapes", default=300, show_default=True, type=click.IntRange(min=2))
@click.option("--cpu-seconds", default=20.0, show_default=True)
def main(scrapes: int, cpu_seconds: float) -> None:
    """Print what eight GPUs cost."""
    found = measure(scrapes, cpu_seconds)
    start, hour, two = found.resident
    print(f"8 GPUs on the NVML stub, PCIe sampling 20 ms, page of {found.page} bytes")
    print(f"/metrics, {scrapes} scrapes  median {found.median:6.2f} ms   p99 {found.p99:6.2f} ms   (<= 10, <= 50)")
    print(f"processor, 1 s collection   {found.cpu:7.2%} of a core                    (<= 2 %)")
    print(f"processor, one scrape       {found.scrape_cpu:6.2f} ms")
    print(
        f"memory  start {start:.1f} MiB, after {HOUR} scrapes {hour:.1f} MiB, after {2 * HOUR} {two:.1f} MiB  (<= 80)"
    )


if __name__ == "__main__":
    main()
