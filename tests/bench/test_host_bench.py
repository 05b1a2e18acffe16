"""The benchmark of the host families runs against a real node_exporter; how large its figures are is for people."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


def test_the_host_benchmark_compares_with_node_exporter() -> None:
    command = [sys.executable, "-m", "bench.host_bench", "--rounds=3"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout

    lines = [line.split() for line in printed.splitlines()[2:]]
    assert [line[0] for line in lines] == ["optiinfra", "node_exporter", "without"]
    assert all(float(line[-1]) > 0 for line in lines)
