"""Whether one exporter process keeps up with a fleet: a real Prometheus probes it through the exporter.

    python -m bench.fleet_bench --targets 1000 --interval 15 --intervals 12

Three processes share the machine: the synthetic fleet (bench/fleet_server.py), the exporter, and Prometheus, which
spreads the scrapes over the interval as it does everywhere. A scrape is missed where Prometheus has no sample of `up`
that it should have, or one that is 0. Figures are read from Prometheus, processor and memory from the kernel.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
import psutil
import yaml

from demo.free_port import free_address

ROOT = Path(__file__).parents[1]
EXPORTER = [sys.executable, "-c", "from exporters.cli import exporter; exporter()", "--port", "0"]
FLEET = [sys.executable, "-m", "bench.fleet_server"]
JOB = "llm-probe"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took: share of one core, and resident memory over the time measured."""

    core_share: float
    rss_mebibytes: Sequence[float]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    targets: int
    expected: int  # scrapes
    made: int
    down: int
    failed_probes: int
    durations: Sequence[float]  # seconds, of every scrape
    series: int
    usage: Mapping[str, Usage]

    @property
    def missed(self) -> int:
        """Scrapes that Prometheus has not, or as down."""
        return max(0, self.expected - self.made) + self.down


def main_config(exporter: str, home: Path, interval: int) -> dict[str, Any]:
    """Prometheus as documented for the prober, with the fleet from a file."""
    return {
        "global": {"scrape_interval": f"{interval}s", "scrape_timeout": f"{min(TIMEOUT_SECONDS, interval)}s"},
        "scrape_configs": [
            {
                "job_name": JOB,
                "metrics_path": "/probe",
                "file_sd_configs": [{"files": [str(home / "fleet.json")]}],
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["__address__"], "target_label": "instance"},
                    {"target_label": "__param_engine", "replacement": "auto"},
                    {"target_label": "__address__", "replacement": exporter},
                ],
            },
            {"job_name": "node", "static_configs": [{"targets": [exporter]}]},
        ],
    }


@contextlib.contextmanager
def process(
    command: Sequence[str], *, stdout: int | None = None, stderr: TextIO | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A process that is ended with the context."""
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=stdout, stderr=stderr) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()


def query(prometheus: str, expression: str, at: float) -> list[dict[str, Any]]:
    """The result of an instant query."""
    asked = urllib.parse.urlencode({"query": expression, "time": f"{at:.3f}"})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{asked}", timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def number(prometheus: str, expression: str, at: float) -> int:
    """The one value of a query; 0 where there is none."""
    found = query(prometheus, expression, at)
    return int(float(found[0]["value"][1])) if found else 0


def wait_ready(prometheus: str) -> None:
    """Until Prometheus serves."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{prometheus}/-/ready", timeout=5):
            return
        time.sleep(0.2)
    raise TimeoutError("Prometheus is not ready after 30 s")


def wait_scraped(prometheus: str, targets: int, seconds: float) -> None:
    """Until every target was scraped once, or for so long: an exporter that cannot keep up is measured too."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and number(prometheus, f'count(up{{job="{JOB}"}})', time.time()) < targets:
        time.sleep(0.5)


def watch(processes: Mapping[str, "subprocess.Popen[str]"], seconds: float) -> dict[str, Usage]:
    """Let them run for so long, and say what they took."""
    seen = {name: psutil.Process(process.pid) for name, process in processes.items()}
    before = {name: sum(process.cpu_times()[:2]) for name, process in seen.items()}
    rss: dict[str, list[float]] = {name: [] for name in seen}
    start = time.monotonic()
    while (left := start + seconds - time.monotonic()) > 0:
        for name, process in seen.items():
            rss[name].append(process.memory_info().rss / 2**20)
        time.sleep(min(left, 5))
    wall = time.monotonic() - start
    return {
        name: Usage((sum(process.cpu_times()[:2]) - before[name]) / wall, rss[name]) for name, process in seen.items()
    }


def measure(targets: int, interval: int, intervals: int) -> Figures:
    """Run the fleet, the exporter and Prometheus, and read the figures."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise click.ClickException("prometheus is not on PATH: install Debian's package `prometheus`")
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = stack.enter_context(process(FLEET, stdout=subprocess.PIPE))
        assert fleet.stdout is not None
        ports = json.loads(fleet.stdout.readline())
        log = stack.enter_context((home / "exporter.log").open("w+"))
        exporter = stack.enter_context(process([*EXPORTER, "--probe-allow", "127.0.0.0/8"], stderr=log))
        address = _listening(home / "exporter.log")
        urls = [f"http://127.0.0.1:{ports[replica % len(ports)]}/r/{replica}" for replica in range(targets)]
        (home / "fleet.json").write_text(json.dumps([{"targets": urls}]))
        config = home / "prometheus.yml"
        config.write_text(yaml.safe_dump(main_config(address, home, interval)))
        listen = free_address()
        flags = [f"--config.file={config}", f"--storage.tsdb.path={home / 'data'}", f"--web.listen-address={listen}"]
        prometheus = stack.enter_context(process([binary, *flags, "--log.level=warn"]))
        wait_ready(f"http://{listen}")
        wait_scraped(f"http://{listen}", targets, 2 * interval + 60)
        time.sleep(interval)  # what is remembered of a target is asked for in the first interval
        usage = watch({"exporter": exporter, "Prometheus": prometheus, "fleet": fleet}, interval * intervals)
        end = time.time()
        time.sleep(min(TIMEOUT_SECONDS, interval) + 1)  # scrapes under way are dated by their beginning
        return _figures(f"http://{listen}", end, targets=targets, intervals=intervals, interval=interval, usage=usage)


def _listening(log: Path) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "exporter_listening":
                return str(event["url"]).removeprefix("http://")
        time.sleep(0.1)
    raise TimeoutError(f"the exporter does not listen: {log.read_text()}")


def _figures(
    prometheus: str, end: float, *, targets: int, intervals: int, interval: int, usage: Mapping[str, Usage]
) -> Figures:
    window = f'{{job="{JOB}"}}[{intervals * interval}s]'
    made = query(prometheus, f"count_over_time(up{window})", end)
    durations = query(prometheus, f"scrape_duration_seconds{window}", end)
    return Figures(
        targets=targets,
        expected=targets * intervals,
        # What a target has too many, at the edges of the window, makes up for nobody's missing one.
        made=sum(min(intervals, int(series["value"][1])) for series in made),
        down=number(prometheus, f"sum(count_over_time(up{window}) - sum_over_time(up{window}))", end),
        failed_probes=number(prometheus, f"sum(count_over_time(llm_up{window}) - sum_over_time(llm_up{window}))", end),
        durations=sorted(float(value) for series in durations for _, value in series["values"]),
        series=number(prometheus, f'sum(scrape_samples_scraped{{job="{JOB}"}})', end),
        usage=usage,
    )


def report(figures: Figures, interval: int) -> str:
    """The figures as a table."""
    cores = len(os.sched_getaffinity(0))
    cuts = statistics.quantiles(figures.durations, n=1000)
    rows = [
        ("targets, interval", f"{figures.targets}, {interval} s; {cores} cores, load {os.getloadavg()[1]:.1f}"),
        ("series held", f"{figures.series}"),
        ("scrapes expected", f"{figures.expected}"),
        ("scrapes missed", f"{figures.missed}  ({figures.down} of them down)"),
        ("probes failed", f"{figures.failed_probes}"),
        ("scrape p50", f"{1000 * cuts[499]:.1f} ms"),
        ("scrape p99", f"{1000 * cuts[989]:.1f} ms"),
        ("scrape max", f"{1000 * figures.durations[-1]:.1f} ms"),
    ]
    for name, usage in figures.usage.items():
        rows.append((f"{name}, of a core", f"{100 * usage.core_share:.0f} %"))
    rss = figures.usage["exporter"].rss_mebibytes
    rows.append(("exporter RSS", f"{rss[0]:.1f} MiB first, {rss[-1]:.1f} last, {max(rss):.1f} most"))
    return "\n".join(f"{name:<22}{value}" for name, value in rows)


@click.command()
@click.option("--targets", default=1000, show_default=True, help="Engines to probe.")
@click.option("--interval", default=15, show_default=True, help="Seconds between two probes of an engine.")
@click.option("--intervals", default=12, show_default=True, help="Intervals to measure, after two of warming up.")
def main(targets: int, interval: int, intervals: int) -> None:
    """Print the figures; the exit status is 1 where a scrape was missed."""
    figures = measure(targets, interval, intervals)
    print(report(figures, interval))
    sys.exit(figures.missed > 0)


if __name__ == "__main__":
    main()
