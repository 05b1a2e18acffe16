"""The benchmark of a fleet runs on a small one: a real Prometheus, the exporter, and no scrape missed."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.fleet_server import Fleet, captured_states, pages

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.process
def test_a_small_fleet_is_read_without_a_missed_scrape() -> None:
    sizes = ["--targets", "12", "--interval", "2", "--intervals", "2"]
    command = [sys.executable, "-m", "bench.fleet_bench", *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scrapes missed        0 " in done.stdout
    assert "probes failed         0\n" in done.stdout


def test_the_counters_of_the_fleet_rise_and_its_gauges_stay() -> None:
    first, second = "# TYPE a counter\na_total 10\nb 3\n", "a_total 30\nb 3\n"
    assert [page.decode() for page in pages(first, second, 3)] == [
        "# TYPE a counter\na_total 10\nb 3\n",
        "# TYPE a counter\na_total 12\nb 3\n",
        "# TYPE a counter\na_total 14\nb 3\n",
    ]


def test_each_replica_has_its_model_and_answers_only_what_an_engine_does() -> None:
    fleet = Fleet([state[:2] for state in captured_states()[:1]])
    page = fleet.answer(b"/r/7/metrics")
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'model_name="model-7"' in page
    assert b"tiny-llama" not in page.replace(b'tiny-llama"} 1.0', b"")
    assert b'"id":"model-7"' in fleet.answer(b"/r/7/v1/models")
    assert b'"version"' in fleet.answer(b"/r/7/version")
    assert fleet.answer(b"/r/7/server_info").startswith(b"HTTP/1.1 404 ")
