"""The Prometheus client and the evidence, against a real Prometheus and against servers that misbehave."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recommender.calibration import fit_itl
from recommender.errors import PrometheusError
from recommender.evidence import gather, quote
from recommender.model import Evidence
from recommender.prometheus import PrometheusClient
from rules.catalog import OBJECTIVES, THRESHOLDS, Bottleneck

HOSTILE = 'we"ird\\name\n{}'


@pytest.fixture
def client(recorded: tuple[str, datetime]) -> Iterator[PrometheusClient]:
    one = PrometheusClient(recorded[0])
    yield one
    one.close()


@pytest.fixture
def chat(client: PrometheusClient, recorded: tuple[str, datetime]) -> Evidence:
    return gather(client, "chat", recorded[1])


@pytest.mark.process
def test_a_running_prometheus_passes_the_check(client: PrometheusClient) -> None:
    client.check()


@pytest.mark.process
def test_a_time_out_of_less_than_a_second_is_one_that_prometheus_takes(recorded: tuple[str, datetime]) -> None:
    hurried, at = PrometheusClient(recorded[0], timeout_seconds=0.9), recorded[1]
    assert hurried.instant("vector(1)")
    assert hurried.range("vector(1)", at - timedelta(minutes=2), at, 60.0)


@pytest.mark.process
def test_an_instant_query_gives_labels_and_values_and_leaves_nan_out(
    client: PrometheusClient, recorded: tuple[str, datetime]
) -> None:
    (up,) = client.instant('replica:llm_up{service="batch"}', recorded[1])
    assert up.labels["instance"] == "10.9.9.9:8000"
    assert up.value == 0.0
    assert client.instant("service:llm_prefix_cache_hit:ratio_rate5m", recorded[1]) == []
    assert client.instant("no_such_series", recorded[1]) == []


@pytest.mark.process
def test_a_range_query_gives_points_in_order(client: PrometheusClient, recorded: tuple[str, datetime]) -> None:
    start = recorded[1] - timedelta(seconds=60)
    (series,) = client.range('replica:llm_up{service="batch"}', start, recorded[1], 30)
    assert [value for _, value in series.points] == [0.0, 0.0, 0.0]
    assert [at - start.timestamp() for at, _ in series.points] == [0.0, 30.0, 60.0]
    assert client.range("service:llm_prefix_cache_hit:ratio_rate5m", start, recorded[1], 30) == []


@pytest.mark.process
def test_a_query_that_prometheus_refuses_is_named_with_its_reason(client: PrometheusClient) -> None:
    with pytest.raises(PrometheusError, match=r"refused the query 'sum\('.*parse error"):
        client.instant("sum(")


@pytest.mark.process
def test_a_scalar_is_not_taken_for_a_vector(client: PrometheusClient) -> None:
    with pytest.raises(PrometheusError, match="something other than an instant vector"):
        client.instant("42")


def test_an_unreachable_prometheus_is_named_with_what_to_check() -> None:
    client = PrometheusClient("http://user:secret@127.0.0.1:9", timeout_seconds=1)
    with pytest.raises(
        PrometheusError, match=r"http://\*\*\*@127.0.0.1:9 did not answer.*Check that it runs"
    ) as caught:
        client.check()
    assert "secret" not in str(caught.value)


class _Misbehaving(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            self._trickle()
            return
        body = b"<html>not Prometheus</html>"
        if self.path.startswith("/shape"):
            body = b'{"status":"success","data":{"result":[{"metric":{},"value":[1,"abc"]}]}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)  # the misbehaviour itself: a byte now and then, for ever
        except OSError:
            pass  # the client gave up, as it should

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def misbehaving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Misbehaving)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["/page", "/shape"])
def test_an_answer_that_is_not_prometheus_is_an_error(misbehaving: str, path: str) -> None:
    with pytest.raises(PrometheusError, match="something other than an instant vector"):
        PrometheusClient(misbehaving + path).instant("up")


def test_a_server_that_trickles_is_cut_off_at_the_deadline(misbehaving: str) -> None:
    started = time.monotonic()
    with pytest.raises(PrometheusError, match="did not answer"):
        PrometheusClient(f"{misbehaving}/slow", timeout_seconds=0.5).instant("up")
    assert time.monotonic() - started < 3


@pytest.mark.process
def test_evidence_has_the_services_own_readings_and_no_buckets(chat: Evidence) -> None:
    assert chat.value("service:llm_ttft_seconds:p95_5m") == 3.5
    assert sorted(chat.replica_readings) == ["10.0.0.1:8000", "10.0.0.2:8000"]
    assert chat.value("replica:llm_requests_waiting:min2m", "10.0.0.1:8000") == 80.0
    assert not [name for name in chat.replica_readings["10.0.0.1:8000"] if "bucket" in name]


@pytest.mark.process
def test_each_reading_keeps_the_query_that_gives_it_again(
    client: PrometheusClient, chat: Evidence, recorded: tuple[str, datetime]
) -> None:
    readings = [*chat.service_readings.values(), *chat.replica_readings["10.0.0.1:8000"].values()]
    for reading in (one for one in readings if one.value is not None):
        (sample,) = client.instant(reading.query, recorded[1])
        assert sample.value == pytest.approx(reading.value)


@pytest.mark.process
def test_what_is_absent_or_ambiguous_is_unknown_and_not_zero(chat: Evidence) -> None:
    assert chat.value("service:llm_prefix_cache_hit:ratio_rate5m") is None
    assert chat.value("service:llm_itl_seconds:p95_5m") is None  # two models, and none can be chosen
    assert chat.thresholds["admission_fullness_ratio"] is None  # a sibling's own figure says nothing of this service
    assert chat.objectives == dict.fromkeys(OBJECTIVES) | {"ttft_p95_seconds": 2.0}
    assert set(chat.thresholds) == set(THRESHOLDS)


@pytest.mark.process
def test_thresholds_are_those_that_hold_for_the_service(chat: Evidence) -> None:
    known = {name: value for name, value in chat.thresholds.items() if name != "admission_fullness_ratio"}
    defaults = {name: threshold.default for name, threshold in THRESHOLDS.items() if name in known}
    assert known == defaults | {"kv_cache_usage_high_ratio": 0.8}


@pytest.mark.process
def test_a_replica_carries_its_nodes_signals_and_the_worst_gpu(chat: Evidence) -> None:
    assert chat.value("node:host_cpu_busy:ratio", "10.0.0.1:8000") == 0.9
    assert chat.value("gpu:gpu_memory_free_bytes", "10.0.0.2:8000") == 6e9
    reading = chat.replica_readings["10.0.0.2:8000"]["gpu:gpu_memory_free_bytes"]
    assert reading.query == 'min(gpu:gpu_memory_free_bytes{node="gpu-2"})'


@pytest.mark.process
def test_conditions_are_confirmed_for_the_service_and_the_nodes_of_its_replicas_only(chat: Evidence) -> None:
    confirmed = {one.bottleneck: one for one in chat.confirmed}
    assert set(confirmed) == {
        Bottleneck.ADMISSION_LIMITED,
        Bottleneck.HOST_CPU_SATURATION,
        Bottleneck.HIGH_LATENCY,
    }
    assert confirmed[Bottleneck.ADMISSION_LIMITED].instances == ("10.0.0.1:8000", "10.0.0.2:8000")
    assert confirmed[Bottleneck.HOST_CPU_SATURATION].instances == ("10.0.0.1:8000",)
    assert confirmed[Bottleneck.HIGH_LATENCY].value is None  # two latencies are not one figure


@pytest.mark.process
def test_a_service_name_cannot_leave_its_literal(client: PrometheusClient, recorded: tuple[str, datetime]) -> None:
    evidence = gather(client, HOSTILE, recorded[1])
    assert sorted(evidence.replica_readings) == ["10.8.8.8:8000"]
    assert quote(HOSTILE) == '"we\\"ird\\\\name\\n{}"'
    unknown = gather(client, '"} or {service=~".+', recorded[1])
    assert unknown.replica_readings == {}
    assert unknown.service_readings == {}


@pytest.mark.process
def test_evidence_of_an_unreachable_prometheus_is_an_error(recorded: tuple[str, datetime]) -> None:
    with pytest.raises(PrometheusError):
        gather(PrometheusClient("http://127.0.0.1:9", timeout_seconds=1), "chat", recorded[1])


@pytest.mark.process
def test_the_latency_model_is_fitted_from_history_and_absent_without(
    client: PrometheusClient, recorded: tuple[str, datetime]
) -> None:
    fit = fit_itl(client, "history", recorded[1])
    assert fit is not None
    assert fit.alpha_seconds == pytest.approx(0.020, rel=0.02)
    assert fit.beta_seconds == pytest.approx(0.001, rel=0.02)
    assert fit_itl(client, "chat", recorded[1]) is None
