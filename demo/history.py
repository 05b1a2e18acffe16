"""A real Prometheus that holds a past: samples of any moment, written as blocks, so nobody has to wait for them."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from demo.errors import DemoError
from demo.free_port import free_address

INTERVAL_SECONDS = 15.0
_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Scraped:
    """A target whose pages were scraped. `page`: the exposition at some seconds since the first scrape.

    `labels` are those of the target, `job` and `instance` among them. `up` 0 from `silent_from` on, and no more pages.
    """

    page: Callable[[float], str]
    labels: Mapping[str, str]
    silent_from: float = float("inf")


def series_of(targets: Iterable[Scraped], steps: int) -> dict[str, list[tuple[int, str]]]:
    """Every series of the targets, `up` among them: (number of the scrape, value) by its text `name{…}`."""
    found: dict[str, list[tuple[int, str]]] = {}
    for target in targets:
        own = ",".join(f'{name}="{value}"' for name, value in target.labels.items())
        for step in range(steps):
            seconds = step * INTERVAL_SECONDS
            answers = seconds < target.silent_from
            found.setdefault(f"up{{{own}}}", []).append((step, "1" if answers else "0"))
            for line in target.page(seconds).splitlines() if answers else ():
                if line and not line.startswith("#"):
                    series, value = line.rsplit(" ", 1)
                    name, _, labels = series.partition("{")
                    inner = ",".join(part for part in (labels.rstrip("}").rstrip(","), own) if part)
                    found.setdefault(f"{name}{{{inner}}}", []).append((step, value))
    return found


@contextmanager
def prometheus(
    series: Mapping[str, list[tuple[int, str]]], steps: int, at: float, folder: Path, *configuration: str
) -> Iterator[str]:
    """The URL of a Prometheus that has `series`, the last scrape at unix second `at`, until the block ends.

    `configuration`: further command-line arguments. Raises DemoError when Prometheus's programs are not there.
    """
    first = at - (steps - 1) * INTERVAL_SECONDS
    text = folder / "history.om"
    text.write_text(_openmetrics(series, first), encoding="utf-8")
    command = [_program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"promtool could not write the history: {done.stderr[-1000:]}")
    with running("global: {scrape_interval: 1h}\n", folder, *configuration) as url:
        yield url


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise DemoError(f"{name} is not on PATH; install Debian's package `prometheus` (2.42 or newer)")
    return path


def _openmetrics(series: Mapping[str, list[tuple[int, str]]], first: float) -> str:
    families: dict[str, list[str]] = {}
    for name, values in series.items():
        lines = families.setdefault(name.partition("{")[0], [])
        lines += [f"{name} {value} {first + step * INTERVAL_SECONDS:.3f}" for step, value in values]
    parts = [f"# TYPE {family} unknown\n" + "\n".join(lines) for family, lines in families.items()]
    return "\n".join([*parts, "# EOF\n"])


@contextmanager
def running(content: str, folder: Path, *configuration: str) -> Iterator[str]:
    """The URL of a Prometheus with this configuration file and what is in `folder`/data, until the block ends."""
    config = folder / "prometheus.yml"
    config.write_text(content, encoding="utf-8")
    address = free_address()
    command = [
        _program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",  # the past is as old as it is
        f"--web.listen-address={address}",
        "--log.level=error",
        *configuration,
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://{address}", folder / "prometheus.log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=15)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            # Ready is said before blocks are open on some versions; a query tells.
            if requests.get(f"{url}/-/ready", timeout=1).ok:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise DemoError(f"Prometheus does not start: {log.read_text()[-1000:]}")
        time.sleep(0.1)
