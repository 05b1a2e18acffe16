"""A real Prometheus reads engines through the real prober and directly: the source signals are equal.

vLLM by its replayed states; every other engine by a page made from its catalogue, whose counters grow. What only the
engine's JSON pages tell (`ONLY_JSON`) the prober alone can know. Windows are a third of those that their names say.
"""

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.free_port import free_address
from demo.replay import Replayer, serve
from exporters.catalog import Engine, load_engine
from rules.build import source_files
from rules.catalog import HISTOGRAMS, SOURCE_COUNTERS, SOURCE_GAUGES, source_windows
from tests.helpers.catalogue_pages import page
from tests.helpers.hurried_rules import hurried_rules
from tests.helpers.source_equality import advanced

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
SOURCES = Path(__file__).parents[2] / "rules" / "sources"
STATES = ("idle", "kv_pressure", "light", "prefix_hits", "saturated", "steady")
DOWN = "down"
# Their pages are made from the catalogue.
OTHERS = tuple(each for each in map(load_engine, Engine) if each.families and each.engine is not Engine.VLLM)
TARGETS = (*((state, "vllm") for state in (*STATES, DOWN)), *((each.engine.value,) * 2 for each in OTHERS))
# Scraped every second, the windows of 30s and 1m, of which these are a third, are full after this long.
TIMES_AS_FAST = 3
SCRAPE_SECONDS = 1
FULL_SECONDS = 24

ONLY_JSON = {
    "replica:llm_model_memory_bytes",
    "replica:llm_model_device_memory_bytes",
    "replica:llm_external_cache_capacity_bytes",
}
GAUGES = SOURCE_GAUGES.keys() - ONLY_JSON
COUNTERS = {f"{stem}:rate{window}" for stem in SOURCE_COUNTERS for window in source_windows(stem)}
PARTS = {
    f"{stem}{part}:rate{window}"
    for stem in HISTOGRAMS
    for part in ("_bucket", "_sum", "_count")
    for window in source_windows(stem, part)
}
# vLLM's replayed gauges move.
MOVING = {
    "replica:llm_requests_running",
    "replica:llm_requests_waiting",
    "replica:llm_kv_cache_usage:ratio",
}

Series = dict[tuple[tuple[str, str], ...], float]

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


def until(condition: Callable[[], bool], what: str | Callable[[], str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.25)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def process(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield
        finally:
            child.terminate()
            child.wait(20)


@dataclass(frozen=True, slots=True)
class Query:
    """Asks a running Prometheus, whose log is `log`."""

    address: str
    log: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=20) as answer:
            return json.load(answer)["data"]

    def __call__(self, expression: str) -> list[dict[str, Any]]:
        return list(self.get(f"query?{urllib.parse.urlencode({'query': expression})}")["result"])


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the replayed vLLM, the other engines' pages, nobody, and the exporter are."""

    states: str
    pages: str
    closed: str
    exporter: str

    def of(self, name: str) -> str:
        """The host and port of a target."""
        return self.closed if name == DOWN else self.states if name in STATES else self.pages


def configuration(addresses: Addresses, rules: Path) -> dict[str, Any]:
    """Every target as service `probed` and as service `direct`; one replica of service `both` is read both ways."""

    def probed(service: str, name: str, engine: str) -> dict[str, Any]:
        target = f"http://{addresses.of(name)}/{name}/metrics"
        labels = {"service": service, "node": "n1", "instance": f"{name}:8000"}
        return {
            "targets": [addresses.exporter],
            "labels": labels | {"__param_target": target, "__param_engine": engine},
        }

    def direct(service: str, name: str, engine: str) -> dict[str, Any]:
        labels = {"service": service, "node": "n1", "instance": f"{name}:8000", "job": engine}
        return {"targets": [addresses.of(name)], "labels": labels | {"__metrics_path__": f"/{name}/metrics"}}

    every, both = f"{SCRAPE_SECONDS}s", ("both", "saturated", "vllm")
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(rules / name) for name in source_files()],
        "scrape_configs": [
            {
                "job_name": "llm-probe",
                "metrics_path": "/probe",
                "static_configs": [probed(*both), *(probed("probed", *target) for target in TARGETS)],
            },
            {
                "job_name": "llm-direct",
                "static_configs": [direct(*both), *(direct("direct", *target) for target in TARGETS)],
            },
        ],
    }


def write_pages(folder: Path) -> Path:
    """Pairs of pages, a recording interval apart, of every engine but vLLM, for the replayer."""
    folder.mkdir()
    for catalogue in OTHERS:
        text = page(catalogue, 0)
        for suffix, content in (("", text), (".2", advanced(catalogue, text))):
            (folder / f"{catalogue.engine.value}{suffix}.prom").write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Prometheus, when it has scraped every state for FULL_SECONDS."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.fail("prometheus is not on PATH: install Debian's package `prometheus` (2.42 or newer)")
    folder = tmp_path_factory.mktemp("parity")
    with ExitStack() as stack:
        states, pages = (
            stack.enter_context(serve(Replayer(data))).removeprefix("http://")
            for data in (CAPTURES, write_pages(folder / "pages"))
        )
        exporter, address, closed = (free_address() for _ in range(3))
        command = [sys.executable, "-c", "from exporters.cli import exporter; exporter()"]
        flags = ["--port", exporter.rpartition(":")[2], "--probe-allow", "127.0.0.1:*"]
        stack.enter_context(process(folder / "exporter.log", *command, *flags))
        config = folder / "prometheus.yml"
        hurried_rules(SOURCES, folder / "sources", TIMES_AS_FAST)
        content = configuration(Addresses(states, pages, closed, exporter), folder / "sources")
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        until(lambda: answers(f"http://{exporter}/healthz"), "the exporter answers", 30)
        flags = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
        log = folder / "prometheus.log"
        stack.enter_context(process(log, prometheus, *flags))
        ask = Query(address, log)
        until(lambda: answers(f"http://{address}/-/ready"), "Prometheus is ready", 30)
        age = f"count(max_over_time(up[{2 * SCRAPE_SECONDS}s] offset {FULL_SECONDS}s))"
        targets = 2 * (len(TARGETS) + 1)
        until(lambda: any(float(row["value"][1]) == targets for row in ask(age)), "a full window of scrapes", 120)
        yield ask


def series(query: Query, expression: str, service: str) -> Series:
    """Values by labels, the service left out, of one service."""
    return {
        tuple(sorted(item for item in row["metric"].items() if item[0] not in ("service", "__name__"))): float(
            row["value"][1]
        )
        for row in query(expression)
        if row["metric"].get("service") == service
    }


def records(query: Query, service: str, instance: str = ".+") -> set[str]:
    """Names of what is recorded, but for infos: engines tell of themselves on pages that Prometheus does not read."""
    every = f'{{__name__=~"replica:.+",__name__!~".+:info",service="{service}",instance=~"{instance}"}}'
    return {row["metric"]["__name__"] for row in query(every)}


def test_both_ways_record_the_same_signals(query: Query) -> None:
    expected = GAUGES | COUNTERS | PARTS

    def differing() -> set[str]:
        return (records(query, "probed") ^ expected) | (records(query, "direct") ^ expected)

    # A scrape that a busy machine cuts off takes its target's series away until the next.
    until(
        lambda: not differing(), lambda: f"these are recorded one way, or though nobody gives them: {differing()}", 60
    )


def differences(query: Query, signal: str) -> list[str]:
    """Where the two ways differ now: constants at all, rates by more than a scrape's jitter, moving gauges as means."""
    moving = signal in MOVING
    expression = f"avg_over_time({signal}[30s])" if moving else signal
    probed, direct = series(query, expression, "probed"), series(query, expression, "direct")
    if not probed:
        return ["nobody gives it"]
    tolerance = 0.15 if moving else 1e-9 if signal in GAUGES else 0.05 if signal.endswith("5m") else 0.02
    found = [f"{dict(labels)} has no counterpart" for labels in probed.keys() ^ direct.keys()]
    return found + [
        f"{dict(labels)}: probed {value}, direct {direct[labels]}"
        for labels, value in probed.items()
        if labels in direct and direct[labels] != pytest.approx(value, rel=tolerance, abs=1e-9)
    ]


@pytest.mark.parametrize("signal", sorted(GAUGES | COUNTERS | PARTS))
def test_a_signal_is_the_same_both_ways(query: Query, signal: str) -> None:
    labels = list(series(query, f"last_over_time({signal}[{FULL_SECONDS}s])", "probed"))
    names = {"instance", "engine", "node"} | ({"le"} if "_bucket:" in signal else set())
    assert labels
    # An engine that is down tells no model, and of some the series name none.
    assert {name for each in labels for name, _ in each} - {"model"} == names
    assert signal != "replica:llm_up" or not any("model" in dict(each) for each in labels)
    # A scrape that a busy machine delays moves a rate at that instant, and so does the time between two evaluations
    # while a window of five minutes, here 100 s, is not full; a wrong rule differs for good.
    until(lambda: not differences(query, signal), lambda: f"equal signals: {differences(query, signal)}", 110)


def test_the_signals_say_what_the_captures_say(query: Query) -> None:
    def value(signal: str, state: str) -> float:
        (row,) = query(f'last_over_time({signal}{{service="direct",instance="{state}:8000"}}[{FULL_SECONDS}s])')
        return float(row["value"][1])

    assert value("replica:llm_generation_tokens:rate1m", "saturated") == pytest.approx(2984, rel=0.05)
    assert value("replica:llm_generation_tokens:rate1m", "idle") == 0
    assert value("replica:llm_preemptions:rate1m", "kv_pressure") == pytest.approx(9.8, rel=0.05)
    assert value("replica:llm_kv_cache_capacity_tokens", "kv_pressure") == 3072
    assert value("replica:llm_kv_cache_capacity_tokens", "saturated") == 2048 * 128
    assert value("replica:llm_kv_cache_memory_fraction", "idle") == 0.92
    hits = value("replica:llm_prefix_cache_hit_tokens:rate1m", "prefix_hits")
    assert hits / value("replica:llm_prefix_cache_query_tokens:rate1m", "prefix_hits") == pytest.approx(0.942, abs=0.01)


def test_an_engine_that_is_down_is_said_to_be_so_both_ways_and_nothing_else_is(query: Query) -> None:
    expected = {(("engine", "vllm"), ("instance", f"{DOWN}:8000"), ("node", "n1")): 0.0}
    every = f'{{__name__=~"replica:.+",instance="{DOWN}:8000"}}'
    for service in ("probed", "direct"):
        assert series(query, every, service) == expected


def test_a_replica_read_both_ways_gives_every_signal_once(query: Query) -> None:
    assert records(query, "both") == records(query, "direct", "saturated:8000")
    # Two rules that wrote one series would give it twice the samples of a replica that is read one way.
    for signal in ("replica:llm_up", "replica:llm_requests_running", "replica:llm_itl_seconds_count:rate1m"):
        written = f'count_over_time({signal}{{instance="saturated:8000"}}[20s])'
        (once,), (both,) = (series(query, written, service).values() for service in ("direct", "both"))
        assert both < 1.5 * once


def test_every_rule_evaluates(query: Query) -> None:
    rules = [rule for group in query.get("rules")["groups"] for rule in group["rules"]]
    assert {(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"} == set()
    assert "Error on ingesting" not in query.log.read_text(encoding="utf-8")
