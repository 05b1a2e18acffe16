"""The page of a recorded host: golden file, catalogue, promtool."""

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.typing import FilteringBoundLogger

from exporters.catalog import HOST_FAMILIES, PRODUCT_FAMILIES, Collector, Kind
from exporters.guard import Guard, Read
from exporters.host import host_collectors
from exporters.host.patterns import shipped_patterns
from exporters.host.process import EngineProcesses
from exporters.host.tree import HostTree
from exporters.node import about_exporter

FAMILIES = {**HOST_FAMILIES, **PRODUCT_FAMILIES}
UNITS = ("_seconds", "_bytes", "_bytes_per_second")
# Counts and states have no unit.
UNITLESS = {
    "host_cpus", "host_load1", "host_load5", "host_load15", "host_context_switches_total", "host_interrupts_total",
    "host_processes_created_total", "host_processes_running", "host_processes_blocked", "host_page_faults_total",
    "host_major_page_faults_total", "host_oom_kills_total", "host_numa_hits_total", "host_numa_misses_total",
    "host_numa_foreign_total", "host_disk_reads_total", "host_disk_writes_total", "host_disk_requests_in_flight",
    "host_disk_discards_total", "host_disk_flushes_total", "host_file_descriptors_allocated",
    "host_file_descriptors_maximum", "host_network_carrier", "host_network_up", "host_tcp_segments_sent_total",
    "host_tcp_segments_retransmitted_total", "host_tcp_listen_overflows_total", "host_tcp_listen_drops_total",
    "host_process_instances", "host_process_threads", "host_process_open_fds",
    "host_process_cpu_periods_total", "host_process_cpu_throttled_periods_total", "host_process_cpu_limit",
    "host_network_receive_packets_total", "host_network_transmit_packets_total",
    "host_network_receive_errors_total", "host_network_transmit_errors_total", "host_network_receive_drops_total",
    "host_network_transmit_drops_total", "optiinfra_scrape_collector_success",
    "optiinfra_exporter_demo",
}  # fmt: skip


@pytest.fixture(name="collectors")
def _collectors(
    tree: HostTree,
) -> dict[Collector, Read]:
    return {**host_collectors(tree), Collector.PROCESS: EngineProcesses(tree, shipped_patterns()).sample}


@pytest.fixture(name="page")
def _page(collectors: dict[Collector, Read], timer: Callable[[], float], log: FilteringBoundLogger) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Guard(collectors, timer=timer, log=log))
    return generate_latest(registry).decode()


def test_the_page_is_the_golden_one(page: str, host_page_file: Path) -> None:
    if os.environ.get("REGEN"):
        host_page_file.write_text(page, encoding="utf-8")

    assert page == host_page_file.read_text(encoding="utf-8")


def test_what_is_emitted_is_catalogued_and_what_is_catalogued_is_emitted(page: str) -> None:
    about = generate_latest(about_exporter()).decode()
    series = [line for line in (page + about).splitlines() if not line.startswith("#")]
    emitted = {line.split("{")[0].split()[0] for line in series}
    of_the_client_library = {name for name in emitted if name.startswith(("process_", "python_"))}

    assert emitted - of_the_client_library == set(FAMILIES)


def test_samples_have_the_labels_of_the_catalogue(page: str) -> None:
    for metric in text_string_to_metric_families(page):
        for sample in metric.samples:
            assert set(sample.labels) == set(FAMILIES[sample.name].labels), sample.name


def test_no_family_is_printed_twice_and_no_series_either(page: str) -> None:
    lines = page.splitlines()
    families = Counter(line for line in lines if line.startswith("# TYPE"))
    series = Counter(line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#"))

    assert max(families.values()) == 1
    assert max(series.values()) == 1


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_name_says_its_kind_and_its_base_unit(name: str) -> None:
    family = FAMILIES[name]

    assert name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert name.endswith("_info") == (family.kind is Kind.INFO)
    if family.kind is not Kind.INFO:
        assert name.removesuffix("_total").endswith(UNITS) != (name in UNITLESS)


def test_promtool_finds_nothing_to_say(page: str) -> None:
    about = generate_latest(about_exporter()).decode()
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=page + about, text=True, capture_output=True, check=False, timeout=30
    )

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
