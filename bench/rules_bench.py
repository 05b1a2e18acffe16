"""What the rules cost: the shipped rule files on a real Prometheus that scrapes fleets of several sizes.

    python -m bench.rules_bench --sizes 100,300,1000 [--layout direct]

N replicas with full vLLM histograms, N GPUs on N/8 nodes, N/20 services (bench/rules_load.py), scraped and evaluated
every 15 s. Each target's first scrape brings its last six minutes, so the windows of rates are full from the start;
those over recorded series fill up to what the run lasts, which is why hours and days (`max6h`, `max1d`, objectives)
are cheaper here than on a Prometheus that has run so long. Nobody has measured those.

A group's time is the median of its evaluations, as Prometheus gives it; one that runs every minute counts a quarter for
15 s. Groups run side by side: their sum is what one core would need, and the budget is held to that sum over two cores.
On a machine that does other things too durations hold the share of those. The processor time is Prometheus's with the
rules less that of scraping alone; it has the collection of garbage in it, which durations have only in part.
"""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench.fleet_bench import number, process, wait_ready
from bench.rules_load import GPUS_PER_NODE, LAYOUTS, STEP_SECONDS, nodes, service
from demo.free_port import free_address

RULES = Path(__file__).parents[1] / "rules"
JOBS = {"probe": "llm-probe", "direct": "vllm"}
BUDGET_SECONDS = 3.0
BUDGET_CORES = 2  # the budget is for a machine with so many, whatever this one has
SETTLE_SECONDS = 30
SCRAPING_SECONDS = 30.0
_POLL_SECONDS = 5
_START_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Group:
    """Seconds of an evaluation, and between two."""

    seconds: float
    interval: float

    @property
    def amortised(self) -> float:
        """Seconds in 15."""
        return self.seconds * STEP_SECONDS / self.interval


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one size. Counts of recorded series: of the replica, GPU … that has most."""

    size: int
    groups: Mapping[str, Group]
    missed: int
    failures: int
    scrape_cpu_seconds: float  # of Prometheus in 15 s, without a rule
    cpu_seconds: float  # with the rules
    rss_mebibytes: float
    head_series: int
    scraped_series: int
    replica: int
    gpu: int
    node: int
    service: int

    @property
    def rule_cpu_seconds(self) -> float:
        """Processor time of all rules in 15 s."""
        return self.cpu_seconds - self.scrape_cpu_seconds

    @property
    def seconds(self) -> float:
        """All groups, in 15 s."""
        return sum(group.amortised for group in self.groups.values())


def targets(size: int, port: int, layout: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Job and target group of everything that is scraped."""
    at = [f"127.0.0.1:{port}"]
    for replica in range(size):
        labels = {
            "__metrics_path__": f"/replica/{replica}",
            "instance": f"{replica}:8000",
            "service": service(replica),
            "node": f"node-{replica // GPUS_PER_NODE}",
        }
        yield JOBS[layout], {"targets": at, "labels": labels}
    for node in range(nodes(size)):
        labels = {"__metrics_path__": f"/node/{node}", "instance": f"node-{node}:8003", "node": f"node-{node}"}
        yield "node", {"targets": at, "labels": labels}


def configuration(rules: Path, home: Path, port: int, listen: str) -> dict[str, Any]:
    """Prometheus with the shipped rule files, jobs and labels; the targets come from files."""
    shipped = yaml.safe_load((rules / "prometheus.yml").read_text())
    direct = next(job for job in shipped["scrape_configs"] if job["job_name"] == "llm-direct")
    every = f"{STEP_SECONDS}s"
    return {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(rules / pattern) for pattern in shipped["rule_files"]],
        "scrape_configs": [
            *(
                {
                    "job_name": job,
                    "file_sd_configs": [{"files": [str(home / f"{job}.json")]}],
                    "metric_relabel_configs": direct["metric_relabel_configs"],
                }
                for job in (*JOBS.values(), "node")
            ),
            {
                "job_name": "recommender",
                "honor_labels": True,
                "metrics_path": "/recommender",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            },
            {"job_name": "prometheus", "static_configs": [{"targets": [listen]}]},
        ],
    }


def measure(size: int, layout: str, seconds: float, rules: Path) -> Figures:
    """Run the load and Prometheus, and read the figures."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise click.ClickException("prometheus is not on PATH: install Debian's package `prometheus`")
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "bench.rules_load", "--replicas", str(size), "--layout", layout]
        load = stack.enter_context(process(command, stdout=subprocess.PIPE))
        assert load.stdout is not None
        port = int(load.stdout.readline())
        listen = free_address()
        groups: dict[str, list[dict[str, Any]]] = {job: [] for job in (*JOBS.values(), "node")}
        for job, target in targets(size, port, layout):
            groups[job].append(target)
        for job, found in groups.items():
            (home / f"{job}.json").write_text(json.dumps(found))
        config = home / "prometheus.yml"
        whole = configuration(rules, home, port, listen)
        config.write_text(yaml.safe_dump(whole | {"rule_files": []}))
        flags = [f"--config.file={config}", f"--storage.tsdb.path={home / 'data'}", f"--web.listen-address={listen}"]
        prometheus = stack.enter_context(process([binary, *flags, "--log.level=error"]))
        wait_ready(f"http://{listen}")
        _wait_up(f"http://{listen}", size + nodes(size))
        running = psutil.Process(prometheus.pid)
        time.sleep(SETTLE_SECONDS)
        scraping = _cpu(running, SCRAPING_SECONDS)
        config.write_text(yaml.safe_dump(whole))
        prometheus.send_signal(signal.SIGHUP)
        time.sleep(SETTLE_SECONDS)
        return _watch(f"http://{listen}", running, size, seconds, scraping)


def _cpu(running: psutil.Process, seconds: float) -> float:
    """Processor seconds in 15 s, over so long."""
    before = sum(running.cpu_times()[:2])
    time.sleep(seconds)
    return float(sum(running.cpu_times()[:2]) - before) * STEP_SECONDS / seconds


def _wait_up(prometheus: str, expected: int) -> None:
    until = time.monotonic() + _START_SECONDS
    jobs = "|".join((*JOBS.values(), "node"))
    while (up := number(prometheus, f'sum(up{{job=~"{jobs}"}})', time.time())) < expected:
        if time.monotonic() > until:
            raise click.ClickException(f"after {_START_SECONDS} s only {up} of {expected} targets are up")
        time.sleep(1)


def _watch(prometheus: str, running: psutil.Process, size: int, seconds: float, scraping: float) -> Figures:
    """Look at Prometheus's own figures for so long."""
    durations: dict[str, dict[float, float]] = defaultdict(dict)  # by the time of the evaluation
    before, started = sum(running.cpu_times()[:2]), time.monotonic()
    first = own = _own(prometheus)
    while time.monotonic() - started < seconds:
        time.sleep(_POLL_SECONDS)
        own = _own(prometheus)
        for group, value in own["prometheus_rule_group_last_duration_seconds"].items():
            at = own["prometheus_rule_group_last_evaluation_timestamp_seconds"][group]
            durations[group][at] = value
    intervals = (time.monotonic() - started) / STEP_SECONDS
    cpu = (sum(running.cpu_times()[:2]) - before) / intervals
    now = time.time()

    def rise(name: str) -> int:
        return int(sum(own[name].values()) - sum(first[name].values()))

    def most(selector: str, *labels: str) -> int:
        return number(prometheus, f"max(count by ({', '.join(labels)}) ({selector}))", now)

    return Figures(
        size=size,
        groups={
            group.rpartition("/")[2]: Group(
                statistics.median(found.values()), own["prometheus_rule_group_interval_seconds"][group]
            )
            for group, found in durations.items()
            if max(found) > 0
        },
        missed=rise("prometheus_rule_group_iterations_missed_total"),
        failures=rise("prometheus_rule_evaluation_failures_total"),
        scrape_cpu_seconds=scraping,
        cpu_seconds=cpu,
        rss_mebibytes=running.memory_info().rss / 2**20,
        head_series=int(own["prometheus_tsdb_head_series"][""]),
        scraped_series=number(prometheus, "sum(scrape_samples_post_metric_relabeling)", now),
        # A service has replicas in every captured state; all of a fleet's series would be a query of their own kind.
        replica=most('{__name__=~"replica:.+",service="service-0"}', "instance"),
        gpu=most('{__name__=~"gpu:.+",node="node-0"}', "gpu"),
        node=most('{__name__=~"node:.+",node="node-0"}', "node"),
        service=most('{__name__=~"service:.+",service="service-0"}', "service"),
    )


def _own(prometheus: str) -> dict[str, dict[str, float]]:
    """Prometheus's own figures of rules and storage: name -> rule group (else empty) -> value."""
    with urllib.request.urlopen(f"{prometheus}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        if family.name.startswith(("prometheus_rule_", "prometheus_tsdb_head_series")):
            for sample in family.samples:
                found[sample.name][sample.labels.get("rule_group", "")] = sample.value
    return found


def report(found: Sequence[Figures], top: int) -> str:
    """The figures as tables, one column a size."""
    rows: list[tuple[str, ...]] = [
        ("replicas = GPUs", *(f"{each.size}" for each in found)),
        ("all groups one after another, s in 15 s", *(f"{each.seconds:.2f}" for each in found)),
        ("side by side on two cores, s in 15 s", *(f"{each.seconds / BUDGET_CORES:.2f}" for each in found)),
        ("share of one core", *(f"{each.seconds / STEP_SECONDS:.1%}" for each in found)),
        ("ms a replica", *(f"{1000 * each.seconds / each.size:.2f}" for each in found)),
        ("slowest evaluation, s", *(f"{max(g.seconds for g in each.groups.values()):.2f}" for each in found)),
        ("iterations missed", *(f"{each.missed}" for each in found)),
        ("evaluations failed", *(f"{each.failures}" for each in found)),
        ("processor time of rules, s in 15 s", *(f"{each.rule_cpu_seconds:.2f}" for each in found)),
        ("processor time of scraping, s in 15 s", *(f"{each.scrape_cpu_seconds:.2f}" for each in found)),
        ("Prometheus RSS, MiB", *(f"{each.rss_mebibytes:.0f}" for each in found)),
        ("series scraped", *(f"{each.scraped_series}" for each in found)),
        ("series in the head", *(f"{each.head_series}" for each in found)),
        ("recorded per replica, most", *(f"{each.replica}" for each in found)),
        ("recorded per GPU, most", *(f"{each.gpu}" for each in found)),
        ("recorded per node, most", *(f"{each.node}" for each in found)),
        ("recorded per service, most", *(f"{each.service}" for each in found)),
    ]
    largest = found[-1].groups
    rows.append(("", *("" for _ in found)))
    rows.append(("group: ms in 15 s", *("" for _ in found)))
    for name in sorted(largest, key=lambda group: -largest[group].amortised)[:top]:
        every = f" (every {largest[name].interval:.0f} s)" if largest[name].interval != STEP_SECONDS else ""
        cells = (each.groups.get(name) for each in found)
        rows.append((name + every, *(f"{1000 * cell.amortised:.1f}" if cell else "-" for cell in cells)))
    return "\n".join(f"{row[0]:<62}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


@click.command()
@click.option("--sizes", default="100,300,1000", show_default=True, help="Replicas, and as many GPUs.")
@click.option("--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True, help="Shipped: probe.")
@click.option("--seconds", default=150.0, show_default=True, help="How long to watch: one group runs each 150 s.")
@click.option("--top", default=25, show_default=True, help="How many groups to list.")
@click.option("--rules", type=click.Path(exists=True, path_type=Path), default=RULES, help="Another folder of rules.")
def main(sizes: str, layout: str, seconds: float, top: int, rules: Path) -> None:
    """Print the figures; the exit status is 1 over the budget, or where an evaluation was missed or failed."""
    found = [measure(int(size), layout, seconds, rules.resolve()) for size in sizes.split(",")]
    print(f"layout {layout}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[1]:.1f}")
    print(report(found, top))
    largest = found[-1]
    spent = largest.seconds / BUDGET_CORES
    sys.exit(spent > BUDGET_SECONDS or any(each.missed or each.failures for each in found))


if __name__ == "__main__":
    main()
