"""What an agent tells is what a scrape would see."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client import Metric
from structlog.testing import capture_logs

from exporters.agent.figures import Figures, Offer, ScrapeCounter, own_use
from exporters.catalog import GPU_FAMILIES, Collector
from exporters.errors import NoData, ReadError
from exporters.families import FamilySet
from exporters.guard import Guard
from exporters.logs import logger

OFFER = Offer("h", "1.2", "http://h:8003", 30.0, ("load", "gpu"), probe=True, blackbox=False)


def two_gpus() -> FamilySet:
    out = FamilySet(GPU_FAMILIES)
    labels = GPU_FAMILIES["gpu_info"].labels
    for number in "01":
        known = {"gpu": number, "uuid": f"GPU-{number}", "name": "NVIDIA H100 80GB HBM3"}
        out.info("gpu_info", *(known.get(label, "") for label in labels))
    return out


def no_gpu() -> FamilySet:
    raise NoData("no NVIDIA driver")


def broken() -> FamilySet:
    raise ReadError("the driver hangs")


def figures(gpu: Any, clock: Any = lambda: 0.0) -> Figures:
    collectors = {Collector.LOAD: lambda: FamilySet({}), Collector.GPU: gpu}
    guard = Guard(collectors, timer=lambda: 0.0, log=logger("error"))

    def collect() -> Iterable[Metric]:
        return guard.collect()

    return Figures(OFFER, collect=collect, scrapes=lambda: 7, use=lambda: (1.5, 4096), clock=clock)


def test_a_registration_tells_what_the_exporter_can_do() -> None:
    about = figures(two_gpus).about()
    names = [{"gpu": number, "uuid": f"GPU-{number}", "name": "NVIDIA H100 80GB HBM3"} for number in "01"]
    assert about == {
        "hostname": "h",
        "version": "1.2",
        "exporter_url": "http://h:8003",
        "heartbeat_interval_seconds": 30.0,
        "capabilities": {"collectors": ["load", "gpu"], "probe": True, "blackbox": False, "gpus": names},
    }
    assert json.dumps(about)


def test_a_heartbeat_tells_real_figures() -> None:
    instants = iter([100.0, 160.0])
    assert figures(two_gpus, lambda: next(instants)).figures() == {
        "figures": {
            "uptime_seconds": 60.0,
            "collectors_ok": {"load": True, "gpu": True},
            "gpus_seen": 2,
            "scrapes_served": 7,
            "cpu_seconds_total": 1.5,
            "resident_memory_bytes": 4096,
        }
    }


@pytest.mark.parametrize(("gpu", "works", "seen"), [(no_gpu, True, 0), (broken, False, None)])
def test_no_gpu_is_none_and_a_gpu_that_cannot_be_read_is_unknown(gpu: Any, works: bool, seen: int | None) -> None:
    with capture_logs():
        told: Any = figures(gpu).figures()["figures"]
    assert (told["collectors_ok"]["gpu"], told["gpus_seen"]) == (works, seen)


def test_this_process_uses_something() -> None:
    cpu_seconds, resident_bytes = own_use()
    assert cpu_seconds > 0
    assert resident_bytes > 2**20


def test_scrapes_that_were_answered_are_counted_and_nothing_else() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(environ["status"], [])
        return [b"x"]

    counter = ScrapeCounter(app)
    statuses = []
    for path, status in (
        ("/metrics", "200 OK"),
        ("/probe", "200 OK"),
        ("/metrics", "503 Service Unavailable"),
        ("/healthz", "200 OK"),
    ):
        list(counter({"PATH_INFO": path, "status": status}, lambda status, _: statuses.append(status)))
    assert counter.served == 2
    assert len(statuses) == 4
