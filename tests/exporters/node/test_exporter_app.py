"""The exporter over HTTP."""

import gzip
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from structlog.typing import FilteringBoundLogger

from exporters import __version__
from exporters.app import ExporterApp
from exporters.catalog import HOST_FAMILIES, Collector
from exporters.errors import SettingsError
from exporters.families import FamilySet
from exporters.guard import Guard
from exporters.node import about_exporter
from exporters.server import HttpServer


def load() -> FamilySet:
    out = FamilySet(HOST_FAMILIES)
    out.add("host_load1", 1.5)
    return out


def broken() -> FamilySet:
    raise OSError("the file went away")


@dataclass(frozen=True)
class Page:
    status: int
    body: bytes
    content_type: str


class EchoProber:
    """Answers with what it was asked."""

    def probe(self, target: str | None, engine: str | None, timeout: str | None) -> Page:
        if target == "boom":
            raise RuntimeError("a defect")
        return Page(403 if target == "denied" else 200, f"{target} {engine} {timeout}\n".encode(), "text/x-echo")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Asks one server."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


@pytest.fixture(name="serve")
def _serve(timer: Callable[[], float], log: FilteringBoundLogger) -> Iterator[Callable[..., Client]]:
    running: list[tuple[HttpServer, threading.Thread]] = []

    def start(collectors: dict[Collector, Any] | None = None, prober: Any = None, **options: Any) -> Client:
        guard = Guard(collectors or {Collector.LOAD: load, Collector.CPU: broken}, timer=timer, log=log)
        app = ExporterApp(guard, about_exporter(), prober=prober, log=log, **options)
        server = HttpServer(app, host="127.0.0.1", port=0, log=log)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return Client(server)

    yield start
    for server, thread in running:
        server.stop()
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_metrics_hold_the_node_and_the_exporter_itself_and_survive_a_broken_collector(
    serve: Callable[..., Client],
) -> None:
    answer = serve().ask("/metrics")
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }

    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert samples["host_load1", ()] == 1.5
    assert samples["optiinfra_scrape_collector_success", ("cpu",)] == 0
    assert samples["process_cpu_seconds_total", ()] > 0
    assert "optiinfra_exporter_build_info" in answer.text


def test_openmetrics_is_given_to_those_who_ask_for_it(serve: Callable[..., Client]) -> None:
    answer = serve().ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = openmetrics_families(answer.text)  # type: ignore[no-untyped-call]  # the library's parser has no types
    assert "optiinfra_exporter_build" in {family.name for family in families}


def test_gzip_is_given_to_those_who_accept_it(serve: Callable[..., Client]) -> None:
    answer = serve().ask("/metrics", Accept_Encoding="gzip")

    assert answer.headers["content-encoding"] == "gzip"
    assert b"host_load1 1.5" in gzip.decompress(answer.body)


def test_a_scrape_can_choose_collectors_and_still_gets_the_exporters_own_metrics(serve: Callable[..., Client]) -> None:
    text = serve().ask("/metrics?collect[]=cpu").text

    assert "host_load1" not in text
    assert 'optiinfra_scrape_collector_success{collector="cpu"} 0.0' in text
    assert "process_start_time_seconds" in text


def test_a_collector_that_is_not_on_is_named_with_those_that_are(serve: Callable[..., Client]) -> None:
    answer = serve().ask("/metrics?collect[]=gpu&collect[]=load")

    assert (answer.status, answer.text) == (400, "collect[]: no collector gpu is on; these are: load, cpu\n")


def test_a_scrape_can_leave_collectors_out(serve: Callable[..., Client]) -> None:
    client = serve()
    text = client.ask("/metrics?exclude[]=cpu").text

    assert "host_load1 1.5" in text
    assert 'collector="cpu"' not in text
    assert client.ask("/metrics?exclude[]=gpu").text == ("exclude[]: no collector gpu is on; these are: load, cpu\n")


def test_a_scrape_cannot_both_choose_and_leave_out(serve: Callable[..., Client]) -> None:
    answer = serve().ask("/metrics?exclude[]=cpu&collect[]=load")

    assert (answer.status, answer.text) == (400, "collect[] and exclude[] contradict each other; give one of them\n")


def test_scrapes_beyond_the_most_at_once_are_turned_away_and_health_is_not(serve: Callable[..., Client]) -> None:
    entered, gate = threading.Semaphore(0), threading.Event()

    def slow() -> FamilySet:
        entered.release()
        assert gate.wait(timeout=30)
        return load()

    client = serve({Collector.LOAD: slow}, max_requests=2)
    scrapes = [threading.Thread(target=client.ask, args=("/metrics",)) for _ in range(2)]
    for scrape in scrapes:
        scrape.start()
    try:
        assert all(entered.acquire(timeout=10) for _ in scrapes)
        refused = client.ask("/metrics")
        assert (refused.status, refused.text) == (
            503,
            "2 requests are under way, which is the most; try again later\n",
        )
        assert client.ask("/healthz").status == 200
    finally:
        gate.set()
        for scrape in scrapes:
            scrape.join(timeout=30)
    assert client.ask("/metrics").status == 200


def test_a_browsers_search_for_an_icon_ends_quietly(serve: Callable[..., Client], events: list[Any]) -> None:
    answer = serve().ask("/favicon.ico")

    assert (answer.status, answer.body, events) == (404, b"", [])


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/metrics", 405), ("PUT", "/", 405), ("GET", "/x", 404)]
)
def test_other_methods_and_paths_are_refused(serve: Callable[..., Client], method: str, path: str, status: int) -> None:
    answer = serve().ask(path, method)

    assert answer.status == status
    assert answer.headers.get("allow") == ("GET, HEAD" if status == 405 else None)


def test_health_is_ok_whatever_the_collectors_do(serve: Callable[..., Client]) -> None:
    answer = serve({Collector.CPU: broken}).ask("/healthz")

    assert (answer.status, answer.text) == (200, "ok\n")


def test_a_head_request_gets_the_headers_alone(serve: Callable[..., Client]) -> None:
    answer = serve().ask("/healthz", "HEAD")

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "3", b"")


def test_the_landing_page_says_what_there_is_and_loads_nothing(serve: Callable[..., Client]) -> None:
    answer = serve(prober=EchoProber(), notice="figures of <nobody>").ask("/")
    links = re.findall(r'(?:href|action)="([^"]*)"', answer.text)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert __version__ in answer.text
    assert "figures of &lt;nobody&gt;" in answer.text
    assert links == ["/metrics", "/healthz", "/metrics?collect[]=load", "/metrics?collect[]=cpu", "/probe"]
    assert not re.search(r"<script|<img|<link|src=|https?://(?!127\.0\.0\.1)", answer.text)


def test_the_landing_pages_form_probes_what_is_typed_into_it(serve: Callable[..., Client]) -> None:
    client = serve(prober=EchoProber())
    page = client.ask("/").text
    names = re.findall(r'<(?:input|select) id="(\w+)" name="(\w+)"', page)

    assert names == [("target", "target"), ("engine", "engine")]
    for label, _ in names:
        assert f'<label for="{label}">' in page
    assert '<option value="auto">' in page
    assert client.ask("/probe?target=http%3A%2F%2F127.0.0.1%3A8000&engine=auto").text == (
        "http://127.0.0.1:8000 auto None\n"
    )


def test_the_landing_page_of_an_exporter_that_does_not_probe_has_no_form(serve: Callable[..., Client]) -> None:
    page = serve().ask("/").text

    assert "Probing is off" in page
    assert "module" not in page
    assert "/probe?module=NAME" in serve(blackbox=EchoProber()).ask("/").text
    assert "<form" not in page


def test_a_probe_gets_target_and_engine_and_its_answer_is_passed_on(serve: Callable[..., Client]) -> None:
    client = serve(prober=EchoProber())
    target = "http://127.0.0.1:8101/metrics?a=b"
    answer = client.ask("/probe?" + urlencode({"target": target, "engine": "vllm"}))

    assert (answer.status, answer.headers["content-type"], answer.text) == (200, "text/x-echo", f"{target} vllm None\n")
    assert client.ask("/probe", X_Prometheus_Scrape_Timeout_Seconds="10").text == "None None 10\n"
    assert client.ask("/probe?target=denied").status == 403


def test_a_parameter_given_twice_is_refused(serve: Callable[..., Client]) -> None:
    answer = serve(prober=EchoProber()).ask("/probe?target=a&target=b")

    assert (answer.status, answer.text) == (400, "target: give it once, not 2 times\n")


def test_an_exporter_without_a_prober_says_so(serve: Callable[..., Client]) -> None:
    answer = serve().ask("/probe?target=x")

    assert (answer.status, answer.text) == (404, "probing is off in this exporter\n")


def test_a_defect_in_a_route_is_a_500_that_tells_nothing_and_is_logged(
    serve: Callable[..., Client], events: list[Any]
) -> None:
    answer = serve(prober=EchoProber()).ask("/probe?target=boom")

    assert answer.status == 500
    assert "a defect" not in answer.text
    assert "request_failed" in [event["event"] for event in events]


def test_an_answer_under_way_is_finished_after_stop(serve: Callable[..., Client]) -> None:
    entered, gate = threading.Event(), threading.Event()

    def slow() -> FamilySet:
        entered.set()
        assert gate.wait(timeout=30)
        return load()

    client = serve({Collector.LOAD: slow})
    answers: list[Answer] = []
    scrape = threading.Thread(target=lambda: answers.append(client.ask("/metrics")))
    scrape.start()
    assert entered.wait(timeout=30)
    client.server.stop()
    gate.set()
    scrape.join(timeout=30)

    assert [answer.status for answer in answers] == [200]
    assert "host_load1 1.5" in answers[0].text


def test_dozens_of_engines_that_hang_hold_up_neither_this_nodes_page_nor_health(serve: Callable[..., Client]) -> None:
    entered, gate = threading.Semaphore(0), threading.Event()

    class HangingProber:
        def probe(self, target: str | None, engine: str | None, timeout: str | None) -> Page:
            entered.release()
            assert gate.wait(timeout=30)
            return Page(200, f"{target} {engine} {timeout}\n".encode(), "text/plain")

    client = serve(prober=HangingProber())
    probes = [threading.Thread(target=client.ask, args=(f"/probe?target={i}",)) for i in range(50)]
    for probe in probes:
        probe.start()
    try:
        assert all(entered.acquire(timeout=10) for _ in probes)
        assert client.ask("/healthz").status == 200
        assert "host_load1 1.5" in client.ask("/metrics").text
    finally:
        gate.set()
        for probe in probes:
            probe.join(timeout=30)


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(
    serve: Callable[..., Client], log: FilteringBoundLogger
) -> None:
    taken = serve().server.port

    with pytest.raises(SettingsError, match=f"port {taken}: Address already in use; choose another"):
        HttpServer(lambda _, __: [], host="127.0.0.1", port=taken, log=log)


def test_a_server_may_be_stopped_from_several_threads_at_once_and_when_it_has_stopped(
    log: FilteringBoundLogger,
) -> None:
    for _ in range(20):
        server = HttpServer(lambda _, __: [], host="127.0.0.1", port=0, log=log)
        threads = [threading.Thread(target=call) for call in (server.run, *[server.stop] * 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        server.stop()
        assert not any(thread.is_alive() for thread in threads)
