"""The benchmark of the prober runs and prints the figures that the docs quote; how large they are is for people."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_probe_benchmark_prints_its_figures() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "bench.probe_bench"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    assert "probe" in printed
    assert "prometheus_client.parser" in printed
