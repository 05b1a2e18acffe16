"""The benchmark of detection runs and prints its tables; the whole corpus is for `make bench`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.process


def test_the_detection_benchmark_prints_its_tables() -> None:
    command = [sys.executable, "-m", "bench.faults_bench", "--only", "down-only-vllm-probed", "--processes", "1"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "1 runs: 1 faults" in printed
    for title in ("confusion", "precision and recall", "judged wrongly", "seconds from onset to alert"):
        assert f"-- {title}" in printed
    assert "LLMServiceDown" in printed
