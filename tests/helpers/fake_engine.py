"""An engine's HTTP server whose pages a test sets, and what a probe's answer says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from exporters.inference import ProbeResult

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
SATURATED = (CAPTURES / "saturated.prom").read_bytes()
TEXT = "text/plain; version=0.0.4; charset=utf-8"

Answer = Callable[[BaseHTTPRequestHandler], None]


class FakeEngine:
    """A real HTTP server whose pages a test sets; an unknown path is 404."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.accepted: list[str | None] = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append(self.path)
                engine.accepted.append(self.headers["Accept"])
                answer = engine.pages.get(self.path)
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.netloc = f"127.0.0.1:{self.server.server_address[1]}"


def page(body: bytes, content_type: str | None = TEXT, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if content_type:
            handler.send_header("Content-Type", content_type)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Clock:
    """Real time plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@contextmanager
def serving() -> Iterator[FakeEngine]:
    """An engine that shows nothing yet."""
    fake = FakeEngine()
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()
        thread.join()


def json_page(value: object, status: int = 200) -> Answer:
    return page(json.dumps(value).encode(), "application/json", status)


def samples(result: ProbeResult) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    assert result.status == 200
    assert result.content_type == TEXT
    found = [
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(result.body.decode())
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found), "a series is there twice"
    return dict(found)


def failure(result: ProbeResult) -> str:
    """The reason of a failed probe, which says nothing but that."""
    found = samples(result)
    (up,) = [value for (name, _), value in found.items() if name == "llm_up"]
    assert up == 0
    assert {name for name, _ in found} == {"llm_up", "llm_scrape_duration_seconds", "llm_scrape_failure_info"}
    (reason,) = [dict(labels)["reason"] for name, labels in found if name == "llm_scrape_failure_info"]
    return reason
