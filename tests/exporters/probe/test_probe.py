"""/probe against real HTTP servers: captures, hostile answers, and what is refused."""

import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporters.catalog import INFERENCE_FAMILIES, SCRAPE_FAMILIES, ProbeFailure
from exporters.inference import AllowList, Prober
from tests.helpers.fake_engine import CAPTURES, SATURATED, Answer, FakeEngine, failure, page, samples

# -- a probe that goes well


@pytest.mark.parametrize("state", sorted(path.stem for path in CAPTURES.glob("*.prom")))
@pytest.mark.parametrize("asked", ["vllm", "auto"])
def test_every_capture_is_answered_in_canonical_families(
    prober: Prober, engine: FakeEngine, state: str, asked: str
) -> None:
    body = (CAPTURES / f"{state}.prom").read_bytes()
    engine.pages["/metrics"] = page(body)
    found = samples(prober.probe(f"http://{engine.netloc}", asked))
    assert found["llm_up", (("engine", "vllm"),)] == 1
    assert found["llm_scrape_body_bytes", ()] == len(body)
    assert found["llm_scrape_skipped_lines", ()] == 0
    assert 0 < found["llm_scrape_duration_seconds", ()] < 5
    assert found["llm_engine_info", (("engine", "vllm"), ("model", "tiny-llama"), ("version", "0.32.0"))] == 1
    assert not [name for name, _ in found if name == "llm_scrape_failure_info"]


def test_the_answer_holds_catalogued_families_with_catalogued_labels_and_types(
    prober: Prober, engine: FakeEngine
) -> None:
    catalogue = INFERENCE_FAMILIES | SCRAPE_FAMILIES
    for family in text_string_to_metric_families(prober.probe(engine.netloc).body.decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        known = catalogue[name]
        assert family.documentation == known.help
        assert family.type == ("gauge" if known.kind == "info" else known.kind)
        for sample in family.samples:
            assert [label for label in sample.labels if label != "le"] == list(known.labels)


def test_promtool_finds_nothing_to_say_about_the_answer(prober: Prober, engine: FakeEngine) -> None:
    good = prober.probe(engine.netloc).body
    engine.pages["/metrics"] = page(b"", status=500)
    for body in (good, prober.probe(engine.netloc).body):
        done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_engine_behind_a_path_is_read_there(prober: Prober, engine: FakeEngine) -> None:
    engine.pages["/chat/metrics"] = page(SATURATED)
    engine.pages["/chat/version"] = page(b'{"version":"0.9.2"}', "application/json")
    assert b'version="0.9.2"' in prober.probe(f"http://{engine.netloc}/chat/metrics").body
    assert engine.asked == ["/chat/metrics", "/chat/version", "/chat/v1/models"]


def test_plain_text_is_asked_for(prober: Prober, engine: FakeEngine) -> None:
    prober.probe(engine.netloc)
    assert (engine.accepted[0] or "").startswith("text/plain")


def test_unreadable_lines_are_counted_and_the_rest_is_answered(prober: Prober, engine: FakeEngine) -> None:
    engine.pages["/metrics"] = page(b'vllm:num_requests_running{model_name="m"} 3\nvllm:num_requests_waiting{ 4\n')
    found = samples(prober.probe(engine.netloc))
    assert found["llm_scrape_skipped_lines", ()] == 1
    assert found["llm_requests_running", (("engine", "vllm"), ("model", "m"))] == 3


def test_label_values_are_escaped(prober: Prober, engine: FakeEngine) -> None:
    engine.pages["/metrics"] = page(rb'vllm:num_requests_running{model_name="a\\b\"c\nd} 1"} 3' + b"\n")
    found = samples(prober.probe(engine.netloc))
    assert found["llm_requests_running", (("engine", "vllm"), ("model", 'a\\b"c\nd} 1'))] == 3


def test_probes_at_once_do_not_mix(prober: Prober, engine: FakeEngine) -> None:
    states = [path.stem for path in sorted(CAPTURES.glob("*.prom"))]
    for state in states:
        engine.pages[f"/{state}/metrics"] = page((CAPTURES / f"{state}.prom").read_bytes())
    alone = {state: samples(prober.probe(f"{engine.netloc}/{state}/metrics")) for state in states}
    with ThreadPoolExecutor(8) as pool:
        asked = states * 4
        results = pool.map(lambda state: prober.probe(f"{engine.netloc}/{state}/metrics"), asked)
        for state, result in zip(asked, results, strict=True):
            found = samples(result)
            del found["llm_scrape_duration_seconds", ()]
            assert found.items() <= alone[state].items()


# -- a probe that fails


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (page(b"down", status=503), ProbeFailure.HTTP_STATUS),
        (page(b"", status=204), ProbeFailure.HTTP_STATUS),
        (page(b"", status=301, Location="http://127.0.0.1:1/"), ProbeFailure.REDIRECT),
        (page(b"", status=302, Location="/other"), ProbeFailure.REDIRECT),
        (page(b"<html>hello</html>\n", "text/html"), ProbeFailure.CONTENT),
        (page(b"<html>hello</html>\n", None), ProbeFailure.CONTENT),
        (page(b'{"a": 1}\n', "application/json"), ProbeFailure.CONTENT),
        (page(b"\x7fELF\x02\x01\xff\xfe\n"), ProbeFailure.CONTENT),
        (page(b"vllm:num_requests_running 1\nx\0\n"), ProbeFailure.CONTENT),
        (page(SATURATED, Content_Encoding="gzip"), ProbeFailure.CONTENT),
        (page(SATURATED[:20000].rpartition(b"\n")[0] + b"\nvllm:num_req", None), ProbeFailure.CONTENT),
        (page(SATURATED[:20000], Content_Length=str(len(SATURATED))), ProbeFailure.CONNECTION),
        (lambda handler: handler.connection.close(), ProbeFailure.CONNECTION),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n") and None, ProbeFailure.CONTENT),
    ],
)
def test_a_useless_answer_is_a_failed_probe_with_its_reason(
    prober: Prober, engine: FakeEngine, answer: Answer, reason: ProbeFailure
) -> None:
    engine.pages["/metrics"] = answer
    assert failure(prober.probe(engine.netloc, "vllm")) == reason
    assert engine.asked == ["/metrics"]


def test_another_programs_exposition_is_of_no_known_engine(prober: Prober, engine: FakeEngine) -> None:
    engine.pages["/metrics"] = page(b"# TYPE up gauge\nup 1\n")
    assert failure(prober.probe(engine.netloc)) == ProbeFailure.UNKNOWN_ENGINE


def test_nobody_listening_is_a_connection_failure(prober: Prober) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        netloc = f"127.0.0.1:{unused.getsockname()[1]}"
        assert failure(prober.probe(netloc, "vllm")) == ProbeFailure.CONNECTION


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_not_read_to_its_end(engine: FakeEngine, *, announced: bool) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        try:
            while True:
                sent += handler.wfile.write(b"a 1\n" * 10000)
        except OSError:
            pass

    engine.pages["/metrics"] = endless
    prober = Prober(AllowList.parse([engine.netloc]), max_body_bytes=100_000)
    assert failure(prober.probe(engine.netloc)) == ProbeFailure.TOO_LARGE
    assert sent < 50_000_000


@pytest.mark.parametrize(
    ("size", "reason"),
    [(b"-1", ProbeFailure.TOO_LARGE), (b"-5", ProbeFailure.CONTENT), (b"zz", ProbeFailure.CONNECTION)],
)
def test_a_chunk_of_a_size_that_cannot_be_is_a_failed_probe(
    engine: FakeEngine, size: bytes, reason: ProbeFailure
) -> None:
    sent = 0

    def chunks(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(size + b"\r\n")
        try:
            while sent < 100_000_000:
                sent += handler.wfile.write(b"a 1\n" * 10000)
        except OSError:
            pass

    engine.pages["/metrics"] = chunks
    prober = Prober(AllowList.parse([engine.netloc]), max_body_bytes=100_000)
    assert failure(prober.probe(engine.netloc)) == reason
    assert sent < 50_000_000


def test_a_resolver_that_hangs_is_given_up_on_at_the_deadline() -> None:
    released = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        released.wait(10)
        return []

    start = time.monotonic()
    prober = Prober(AllowList.parse(["localhost:*"]), timeout_seconds=0.2, resolve=hang)
    assert failure(prober.probe("localhost:1", "vllm")) == ProbeFailure.TIMEOUT
    assert time.monotonic() - start < 3
    released.set()


def test_a_name_that_does_not_resolve_is_a_connection_failure() -> None:
    prober = Prober(AllowList.parse(["no-such-host.invalid:*", f"{'x' * 64}.invalid:*"]))
    for name in ("no-such-host", "x" * 64):  # a label of 64 characters cannot even be asked for
        assert failure(prober.probe(f"{name}.invalid:1", "vllm")) == ProbeFailure.CONNECTION


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_that_drips_is_given_up_on_at_the_deadline(prober: Prober, engine: FakeEngine, part: str) -> None:
    done = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        if part == "body":
            handler.wfile.write(b"no\r\n\r\n")
        try:
            while not done.wait(0.02):
                handler.wfile.write(b"a")
        except OSError:
            pass

    engine.pages["/metrics"] = drip
    start = time.monotonic()
    assert failure(prober.probe(engine.netloc, "vllm", "0.6")) == ProbeFailure.TIMEOUT
    assert 0.2 < time.monotonic() - start < 0.6  # before Prometheus gives up
    done.set()


def test_the_probers_own_limit_holds_whatever_the_scrape_allows(engine: FakeEngine) -> None:
    released = threading.Event()
    engine.pages["/metrics"] = lambda _: released.wait(10) and None
    prober = Prober(AllowList.parse([engine.netloc]), timeout_seconds=0.2)
    start = time.monotonic()
    for timeout in (None, "30", "nonsense", "-1", "nan"):
        assert failure(prober.probe(engine.netloc, "vllm", timeout)) == ProbeFailure.TIMEOUT
    assert time.monotonic() - start < 3
    released.set()


def test_a_failed_probe_says_for_people_why_and_on_one_line(prober: Prober, engine: FakeEngine) -> None:
    engine.pages["/metrics"] = page(b"x", "text/\x01 x;\tq")
    assert prober.probe(engine.netloc).body.decode().splitlines()[-1].startswith("# content type text/")


def test_the_engine_of_a_target_that_went_away_is_remembered(prober: Prober, engine: FakeEngine) -> None:
    assert b"\nllm_up 0.0\n" in prober.probe(f"{engine.netloc}/other", "auto").body
    assert b'\nllm_up{engine="vllm"} 1.0\n' in prober.probe(engine.netloc, "auto").body
    engine.pages["/metrics"] = page(b"", status=500)
    assert b'\nllm_up{engine="vllm"} 0.0\n' in prober.probe(engine.netloc, "auto").body


# -- what is refused


@pytest.mark.parametrize(
    ("target", "asked", "words"),
    [
        (None, "vllm", "target is missing"),
        ("", "vllm", "target is missing"),
        ("ftp://127.0.0.1:8000", "vllm", "http or https"),
        ("http://u:p@127.0.0.1:8000", "vllm", "credentials"),
        ("127.0.0.1:8000", "sglangg", "one of auto, vllm"),
    ],
)
def test_bad_parameters_are_400_with_a_sentence(prober: Prober, target: str | None, asked: str, words: str) -> None:
    result = prober.probe(target, asked)
    assert (result.status, result.content_type) == (400, "text/plain; charset=utf-8")
    assert words in result.body.decode()


def test_a_target_outside_the_list_is_403_and_never_contacted(engine: FakeEngine) -> None:
    for allowed in ([], ["127.0.0.1:1"], ["10.0.0.0/8"]):
        result = Prober(AllowList.parse(allowed)).probe(engine.netloc, "vllm")
        assert result.status == 403
        assert engine.netloc in result.body.decode()
    assert engine.asked == []
