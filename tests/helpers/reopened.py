"""A Prometheus that measures nothing and answers from what another one stored."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.free_port import free_address

READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored, as it was at `moment`."""

    url: str
    moment: datetime

    def __call__(self, expr: str) -> list[dict[str, Any]]:
        """The instant vector of an expression."""
        asked = {"query": expr, "time": f"{self.moment.timestamp():.3f}"}
        answer = requests.get(f"{self.url}/api/v1/query", params=asked, timeout=30)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def value(self, expr: str) -> float:
        """The value of the one sample of an expression."""
        (sample,) = self(expr)
        return float(sample["value"][1])


@contextmanager
def reopened(data: Path, moment: datetime, home: Path) -> Iterator[Stored]:
    """The storage at `data`, whose Prometheus has ended; `home` is for files of this one."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.fail("Prometheus is not on PATH: install Debian's package `prometheus` (2.42 or newer)")
    address = free_address()
    config, log = home / "reopened.yml", home / "reopened.log"
    config.write_text("{}\n", encoding="utf-8")
    flags = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    with log.open("wb") as output, subprocess.Popen([binary, *flags], stdout=output, stderr=output) as child:
        try:
            _wait_ready(f"http://{address}/-/ready", log)
            yield Stored(f"http://{address}", moment)
        finally:
            child.terminate()


def _wait_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)  # a process has no event to wait for
    pytest.fail(f"{url} did not become ready:\n{log.read_text(encoding='utf-8')}")
