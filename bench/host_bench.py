"""What a scrape of the host families costs, beside node_exporter on the same machine at the same time.

    python -m bench.host_bench [--rounds N]

Both run as they ship, on loopback, and are asked in turn as Prometheus asks: over one kept connection, with its Accept
header, gzip taken. node_exporter runs the collectors that read what ours read, and once more without `netclass`, its
dearest: it reads every attribute of an interface where ours reads three. Ours samples engine processes besides, on its
own cadence; that is in its CPU figure.
"""

import http.client
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from demo.free_port import free_port

# Prometheus 2.42's own.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}
OURS = (
    "cpu", "load", "memory", "paging", "disk", "filesystem", "network", "tcp", "pressure", "descriptors", "numa",
    "process",
)  # fmt: skip
COMPARABLE = (
    "cpu", "stat", "loadavg", "meminfo", "meminfo_numa", "vmstat", "diskstats", "filesystem", "netdev", "netclass",
    "netstat", "pressure", "filefd",
)  # fmt: skip
WARM_UP = 20


@dataclass(slots=True)
class Contender:
    """An exporter under test and what its scrapes took."""

    name: str
    pid: int
    port: int
    path: str
    connection: http.client.HTTPConnection
    cpu_before: float = 0.0
    body: int = 0
    seconds: list[float] = field(default_factory=list)

    def scrape(self) -> None:
        """Ask once and note the time to the last byte."""
        started = time.perf_counter()
        self.connection.request("GET", self.path, headers=HEADERS)
        answer = self.connection.getresponse()
        body = answer.read()
        taken = time.perf_counter() - started
        if answer.status != http.client.OK:
            raise click.ClickException(f"{self.name} answered {answer.status}: {body[:200]!r}")
        self.body = len(body)
        self.seconds.append(taken)


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds, bytes on the wire, MiB."""

    median: float
    p99: float
    cpu: float
    body: int
    resident: float


def figures(contender: Contender) -> Figures:
    """Sum up a contender's scrapes; CPU is that of the process between the first and the last, idle time included."""
    milliseconds = sorted(seconds * 1000 for seconds in contender.seconds)
    return Figures(
        median=statistics.median(milliseconds),
        p99=milliseconds[int(len(milliseconds) * 0.99)],
        cpu=1000 * (cpu_seconds(contender.pid) - contender.cpu_before) / len(milliseconds),
        body=contender.body,
        resident=resident_mib(contender.pid),
    )


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    columns = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def contender(name: str, command: Sequence[str], port: int, path: str) -> Iterator[Contender]:
    """Start an exporter, wait until it answers, and end it after the block."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            one = Contender(name, process.pid, port, path, connection)
            _wait_for(one)
            yield one
        finally:
            process.terminate()


def _wait_for(one: Contender) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            one.scrape()
        except OSError:
            one.connection.close()
            if time.monotonic() > until:
                raise click.ClickException(f"{one.name} did not come up within 30 s") from None
            time.sleep(0.1)
        else:
            return


def measure(node_exporter: str, rounds: int) -> Mapping[str, Figures]:
    """Scrape all contenders in turn, so that a busy machine slows all of them."""
    with ExitStack() as stack:
        contenders = [stack.enter_context(one) for one in _contenders(node_exporter)]
        for _ in range(WARM_UP):
            for one in contenders:
                one.scrape()
        for one in contenders:
            one.seconds.clear()
            one.cpu_before = cpu_seconds(one.pid)
        for _ in range(rounds):
            for one in contenders:
                one.scrape()
        return {one.name: figures(one) for one in contenders}


def _contenders(node_exporter: str) -> Iterator[AbstractContextManager[Contender]]:
    ours, theirs, leaner = free_port(), free_port(), free_port()
    start = [sys.executable, "-c", "from exporters.cli import exporter; exporter()", f"--port={ours}"]
    wanted = "&".join(f"collect[]={name}" for name in OURS)
    yield contender("optiinfra", [*start, f"--collectors={','.join(OURS)}"], ours, f"/metrics?{wanted}")
    for name, port, collectors in (
        ("node_exporter", theirs, COMPARABLE),
        ("without netclass", leaner, [name for name in COMPARABLE if name != "netclass"]),
    ):
        flags = [f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults"]
        flags += [f"--collector.{collector}" for collector in collectors]
        yield contender(name, [node_exporter, *flags], port, "/metrics")


@click.command()
@click.option("--rounds", default=200, show_default=True, type=click.IntRange(min=1))
@click.option("--node-exporter", default="prometheus-node-exporter", show_default=True, help="Command to compare with.")
def main(rounds: int, node_exporter: str) -> None:
    """Print what a scrape costs of ours and of node_exporter, in turns on this machine."""
    binary = shutil.which(node_exporter)
    if binary is None:
        print(f"{node_exporter} is not here; install Debian's package prometheus-node-exporter to compare")
        return
    found = measure(binary, rounds)
    print(f"{rounds} scrapes each, in turns; wall time to the last byte, CPU of the process a scrape")
    print(f"{'':18}{'median':>10}{'p99':>10}{'CPU':>10}{'bytes':>9}{'RSS':>10}{'ours / its':>12}")
    for name, figure in found.items():
        ratio = found["optiinfra"].median / figure.median
        print(
            f"{name:18}{figure.median:7.2f} ms{figure.p99:7.2f} ms{figure.cpu:7.2f} ms{figure.body:9d}"
            f"{figure.resident:6.1f} MiB{ratio:12.2f}"
        )


if __name__ == "__main__":
    main()
