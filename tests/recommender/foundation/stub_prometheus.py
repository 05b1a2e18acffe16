"""A tiny real HTTP server that answers instant queries by matching labels, as Prometheus does."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from rules.catalog import OBJECTIVES, THRESHOLDS

_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')
Series = tuple[dict[str, str], float]


def limited_service(
    service: str = "chat", instances: tuple[str, ...] = ("127.0.0.1:9001", "127.0.0.1:9002")
) -> list[Series]:
    """What the rules record of a service whose batch limit of 8 is exhausted while KV is nearly empty."""
    replica = {
        "replica:llm_up": 1.0,
        "replica:llm_requests_running:avg2m": 8.0,
        "replica:llm_requests_running:max2m": 8.0,
        "replica:llm_requests_waiting:avg2m": 20.0,
        "replica:llm_requests_waiting:min2m": 12.0,
        "replica:llm_kv_cache_usage:avg2m": 0.05,
        "replica:llm_kv_cache_usage:max2m": 0.06,
        "replica:llm_kv_cache_capacity_tokens": 60_000.0,
        "replica:llm_kv_cache_memory_fraction": 0.9,
        "replica:llm_preemptions:rate1m": 0.0,
        "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
        "replica:llm_max_running_requests": 8.0,
        "replica:llm_admission_fullness:ratio_avg2m": 1.0,
        "replica:llm_tokens_per_running_request:avg5m": 375.0,
        "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.95,
        "replica:llm_ttft_seconds:p95_5m": 9.0,
        "replica:llm_itl_seconds:p95_5m": 0.012,
        "replica:llm_itl_seconds:mean_5m": 0.01,
        "replica:llm_request_prompt_tokens:mean_5m": 200.0,
        "replica:llm_request_generation_tokens:mean_5m": 300.0,
    }
    of_service = {
        "service:llm_replicas:count": float(len(instances)),
        "service:llm_replicas_up:count": float(len(instances)),
        "service:llm_requests_waiting:sum": 40.0,
        "service:llm_requests_running:sum": 16.0,
        "service:llm_ttft_seconds:p95_5m": 9.0,
        "service:llm_itl_seconds:p95_5m": 0.012,
        "service:llm_queue_share_of_ttft:ratio_rate5m": 0.95,
        "service:llm_ttft_seconds_events:count5m": 500.0,
    }
    found: list[Series] = [
        ({"__name__": one.resolved} | ({"service": service} if one.per_service else {}), one.default)
        for one in THRESHOLDS.values()
    ]
    for instance in instances:
        labels = {"service": service, "instance": instance, "model": "m", "engine": "vllm", "node": "n1"}
        found += [({"__name__": name, **labels}, value) for name, value in replica.items()]
        found.append(({"__name__": "replica:bottleneck:evidence", **labels, "bottleneck": "admission_limited"}, 1.0))
    named = {"service": service, "model": "m"}
    found += [({"__name__": name, **named}, value) for name, value in of_service.items()]
    promised = [one for one in OBJECTIVES.values() if one.default is not None]
    found += [({"__name__": one.series, "service": service}, one.default) for one in promised]
    return found


def healthy_service(service: str = "chat") -> list[Series]:
    """The same without the condition: nothing waits, slots are free."""
    calm = {
        "replica:llm_requests_waiting:avg2m": 0.0,
        "replica:llm_requests_waiting:min2m": 0.0,
        "replica:llm_requests_running:avg2m": 2.0,
        "replica:llm_requests_running:max2m": 3.0,
        "replica:llm_admission_fullness:ratio_avg2m": 0.25,
        "service:llm_requests_waiting:sum": 0.0,
        "service:llm_ttft_seconds:p95_5m": 0.2,
        "replica:llm_ttft_seconds:p95_5m": 0.2,
        "service:llm_queue_share_of_ttft:ratio_rate5m": 0.01,
        "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.01,
    }
    return [
        (labels, calm.get(labels["__name__"], value))
        for labels, value in limited_service(service)
        if not labels["__name__"].endswith(":bottleneck:evidence")
    ]


class StubPrometheus:
    """`series` and `broken` may be changed while it runs; `queries` counts what was asked."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.broken = False
        self.queries = 0
        self.url = ""

    def answer(self, query: str) -> list[dict[str, object]]:
        if query == "vector(1)":
            return [{"metric": {}, "value": [0, "1"]}]
        matchers = _MATCHER.findall(query)
        assert matchers, f"the stub does not understand {query}"
        found = [(labels, value) for labels, value in self.series if all(_fits(labels, *one) for one in matchers)]
        return [{"metric": labels, "value": [0, str(value)]} for labels, value in found]


def _fits(labels: dict[str, str], name: str, operator: str, raw: str) -> bool:
    value, wanted = labels.get(name, ""), raw.replace('\\"', '"').replace("\\\\", "\\")
    if operator in {"=", "!="}:
        return (value == wanted) == (operator == "=")
    return bool(re.fullmatch(wanted, value)) == (operator == "=~")


@contextmanager
def stub_prometheus() -> Iterator[StubPrometheus]:
    """A stub that listens on a free port of the loopback."""
    stub = StubPrometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stub.queries += 1
            query = parse_qs(urlsplit(self.path).query).get("query", [""])[0]
            document = {"status": "success", "data": {"resultType": "vector", "result": stub.answer(query)}}
            body = json.dumps(document).encode()
            self.send_response(502 if stub.broken else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
