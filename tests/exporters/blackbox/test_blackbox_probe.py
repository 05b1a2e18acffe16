"""`/probe?module=…` against real servers: what is asked, what is measured, what a useless or hostile answer costs."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from exporters import __version__
from exporters.blackbox.models import REMEMBER_SECONDS
from exporters.blackbox.probe import BlackboxProber
from exporters.catalog import BLACKBOX_FAMILIES, BlackboxFailure
from exporters.inference.probe import ProbeResult
from tests.exporters.blackbox.conftest import Clock
from tests.exporters.blackbox.endpoint import (
    CHAT,
    COMPLETIONS,
    DONE,
    GOOD,
    ROLE,
    Endpoint,
    Reply,
    chat,
    event,
    models,
    page,
    stream,
    usage,
)

Make = Callable[..., BlackboxProber]


def samples(result: ProbeResult) -> dict[str, float]:
    """Values by name, a label's value behind it where there is one."""
    assert result.status == 200
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(result.body.decode())
        for sample in family.samples
    }


def failure(result: ProbeResult) -> str:
    """The reason of a probe that failed."""
    found = samples(result)
    [reason] = [name.partition(" ")[2] for name in found if name.startswith("llm_probe_failure_info")]
    assert found.get("llm_probe_success") == (None if reason in {"budget", "credentials", "address"} else 0)
    return reason


def probe(prober: BlackboxProber, endpoint: Endpoint, **parameters: str) -> ProbeResult:
    return prober.probe("completion", f"http://{endpoint.netloc}", **parameters)


# -- a probe that goes well


def test_a_good_answer_is_measured(make: Make, endpoint: Endpoint) -> None:
    found = samples(probe(make(), endpoint))

    assert found["llm_probe_success"] == 1
    assert found["llm_probe_generated_tokens"] == 4
    assert found["llm_probe_http_status_code"] == 200
    assert found["llm_probe_response_bytes"] == len(b"".join(GOOD))
    assert found["llm_probe_info completion chat tiny"] == 1
    assert 0 < found["llm_probe_time_to_first_token_seconds"] < found["llm_probe_duration_seconds"] < 20
    phases = [name.split()[1] for name in found if name.startswith("llm_probe_phase_duration_seconds")]
    assert phases == ["model", "resolve", "connect", "head", "stream"]
    spent = sum(value for name, value in found.items() if name.startswith("llm_probe_phase_duration_seconds"))
    assert spent == pytest.approx(found["llm_probe_duration_seconds"], abs=0.5)
    assert not [name for name in found if name.startswith("llm_probe_failure_info")]


def test_first_token_and_gaps_are_seen_as_the_pieces_come(make: Make, endpoint: Endpoint) -> None:
    pause = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield ROLE
        for text, seconds in (("a", 0.06), ("b", 0.02), ("c", 0.1)):
            pause.wait(seconds)
            yield chat(text)
        yield chat(None, "stop") + DONE

    endpoint.replies[CHAT] = stream(slowly())
    found = samples(probe(make(), endpoint))

    first, mean = found["llm_probe_time_to_first_token_seconds"], found["llm_probe_inter_token_latency_seconds"]
    assert 0.06 <= first < 10
    # A piece that a busy machine delivers late shortens the gap after it; test_blackbox_parts measures by a fake clock.
    assert 0 < mean <= found["llm_probe_inter_token_latency_max_seconds"] <= 2 * mean
    assert first + 2 * mean <= found["llm_probe_duration_seconds"] + 1e-9
    assert found["llm_probe_generated_tokens"] == 3


def test_a_probe_says_that_it_is_one_and_asks_for_little(make: Make, endpoint: Endpoint) -> None:
    probe(make(max_tokens=3, prompt="Say hello"), endpoint)
    [asked] = endpoint.posts()

    assert asked.path == CHAT
    assert asked.headers["User-Agent"] == f"optiinfra-blackbox/{__version__}"
    assert asked.headers["X-OptiInfra-Probe"] == "1"
    assert asked.headers["Accept-Encoding"] == "identity"
    assert asked.body == {
        "model": "tiny",
        "max_tokens": 3,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "[n0nce] Say hello"}],
        "user": "optiinfra-probe",
    }


def test_a_module_chooses_api_model_usage_and_nonce(make: Make, endpoint: Endpoint) -> None:
    prober = make(endpoint="completions", model="mine", include_usage=False, nonce=False, prompt="p")
    found = samples(probe(prober, endpoint))
    [asked] = endpoint.asked

    assert (asked.path, asked.body["model"], asked.body["prompt"]) == (COMPLETIONS, "mine", "p")
    assert not {"stream_options", "messages"} & asked.body.keys()
    assert found["llm_probe_generated_tokens"] == 2
    assert found["llm_probe_info completion completions mine"] == 1


def test_a_request_may_name_the_model(make: Make, endpoint: Endpoint) -> None:
    probe(make(model="mine"), endpoint, model="asked")
    assert [asked.body["model"] for asked in endpoint.asked] == ["asked"]


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/metrics"])
def test_the_base_url_may_end_as_people_write_it(make: Make, endpoint: Endpoint, base: str) -> None:
    found = make().probe("completion", endpoint.netloc + base)
    assert samples(found)["llm_probe_success"] == 1


def test_an_endpoint_behind_a_path_is_asked_there(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies["/llm/v1/models"] = models("m")
    endpoint.replies["/llm" + CHAT] = stream(GOOD)
    assert samples(make().probe("completion", f"{endpoint.netloc}/llm/v1"))["llm_probe_success"] == 1


def test_the_model_is_asked_for_once_in_a_while_and_after_a_refusal(
    make: Make, endpoint: Endpoint, clock: Clock
) -> None:
    prober = make()
    for _ in range(2):
        probe(prober, endpoint)
    assert [asked.path for asked in endpoint.asked] == ["/v1/models", CHAT, CHAT]
    clock.ahead += REMEMBER_SECONDS
    probe(prober, endpoint)
    assert [asked.path for asked in endpoint.asked][3:] == ["/v1/models", CHAT]
    endpoint.replies[CHAT] = page(b"{}", status=404)
    probe(prober, endpoint)
    probe(prober, endpoint)
    assert [asked.path for asked in endpoint.asked][5:] == [CHAT, "/v1/models", CHAT]


def test_headers_carry_secrets_from_files_that_may_change(make: Make, endpoint: Endpoint, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first\n")
    headers = {"Authorization": {"file": str(secret), "prefix": "Bearer "}, "X-Team": {"value": "a"}}
    prober = make(headers=headers, targets=[f"http://{endpoint.netloc}/v1"])
    probe(prober, endpoint)
    secret.write_text("second\n")
    probe(prober, endpoint)

    assert [asked.headers["Authorization"] for asked in endpoint.asked] == ["Bearer first"] * 2 + ["Bearer second"]
    assert {asked.headers["X-Team"] for asked in endpoint.asked} == {"a"}
    secret.unlink()
    gone = probe(prober, endpoint)
    assert failure(gone) == BlackboxFailure.CREDENTIALS
    secret.write_text("a\nX-Evil: 1")
    assert failure(probe(prober, endpoint)) == BlackboxFailure.CREDENTIALS
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_a_stream_may_be_cut_anywhere(make: Make, endpoint: Endpoint, size: int, *, chunked: bool) -> None:
    whole = b"".join([ROLE, chat("é"), b": ping\r\n\r\n", chat("水🙂"), chat("", "stop"), usage(7), DONE])
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    endpoint.replies[CHAT] = stream(pieces, chunked=chunked)
    found = samples(probe(make(), endpoint))
    assert (found["llm_probe_success"], found["llm_probe_generated_tokens"]) == (1, 7)


@pytest.mark.parametrize("field", ["content", "reasoning", "reasoning_content"])
def test_thoughts_are_tokens_too(make: Make, endpoint: Endpoint, field: str) -> None:
    endpoint.replies[CHAT] = stream([chat(None, **{field: "hm"}), chat(None, "length"), DONE])
    assert samples(probe(make(), endpoint))["llm_probe_generated_tokens"] == 1


@pytest.mark.parametrize("claimed", [0, 1_000_000])
def test_a_count_that_cannot_be_is_not_believed(make: Make, endpoint: Endpoint, claimed: int) -> None:
    endpoint.replies[CHAT] = stream([chat("a"), chat("b", "stop"), usage(claimed), DONE])
    assert samples(probe(make(), endpoint))["llm_probe_generated_tokens"] == 2


def test_a_stream_may_end_after_its_finish_reason_without_done(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = stream([chat("a", "stop")])
    assert samples(probe(make(), endpoint))["llm_probe_success"] == 1


def test_an_endpoint_that_sends_on_after_done_is_left(make: Make, endpoint: Endpoint) -> None:
    def endless() -> Iterator[bytes]:
        yield b"".join(GOOD)
        endpoint.released.wait(10)

    endpoint.replies[CHAT] = stream(endless())
    found = samples(probe(make(), endpoint))
    assert (found["llm_probe_success"], found["llm_probe_duration_seconds"] < 8) == (1, True)


def test_text_may_be_no_matter(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = stream([ROLE, chat("", "stop"), usage(1), DONE])
    assert failure(probe(make(), endpoint)) == BlackboxFailure.EMPTY
    found = samples(probe(make(require_text=False), endpoint))
    assert (found["llm_probe_success"], found["llm_probe_generated_tokens"]) == (1, 1)
    assert "llm_probe_time_to_first_token_seconds" not in found


def test_a_real_stream_of_vllm_is_read_in_pieces_of_any_size(make: Make, endpoint: Endpoint) -> None:
    captured = (Path(__file__).parents[2] / "data" / "blackbox" / "vllm-0.32-completions.sse").read_bytes()
    prober = make(endpoint="completions")
    for size in (1, 100, 10_000):
        pieces = [captured[start : start + size] for start in range(0, len(captured), size)]
        endpoint.replies[COMPLETIONS] = stream(pieces)
        found = samples(probe(prober, endpoint))
        assert (found["llm_probe_success"], found["llm_probe_generated_tokens"]) == (1, 8)


# -- a probe that fails


def bytes_of(raw: bytes) -> Reply:
    return lambda handler: handler.wfile.write(raw) and None


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (page(b'{"error": "no"}', status=500), BlackboxFailure.HTTP_STATUS),
        (page(b"", status=429), BlackboxFailure.HTTP_STATUS),
        (page(b"", status=204), BlackboxFailure.HTTP_STATUS),
        (page(b"", status=307, Location="/v1/elsewhere"), BlackboxFailure.REDIRECT),
        (page(b"", status=301, Location="http://169.254.169.254/"), BlackboxFailure.REDIRECT),
        (page(b'{"choices": [{"message": {}}]}'), BlackboxFailure.PROTOCOL),
        (page(b"".join(GOOD), "text/event-stream", Content_Encoding="gzip"), BlackboxFailure.PROTOCOL),
        (page(b"".join(GOOD)[:-30], "text/event-stream", Content_Length="9999"), BlackboxFailure.CONNECTION),
        (stream(GOOD, content_type="text/html"), BlackboxFailure.PROTOCOL),
        (stream([ROLE, chat("a")]), BlackboxFailure.PROTOCOL),
        (stream([chat("a"), event("{not json")]), BlackboxFailure.PROTOCOL),
        (stream([event("[1]")]), BlackboxFailure.PROTOCOL),
        (stream([event('{"choices": 3}')]), BlackboxFailure.PROTOCOL),
        (stream([event("[" * 60_000)]), BlackboxFailure.PROTOCOL),
        (stream([event('{"usage": {"completion_tokens": ' + "9" * 5000 + "}}")]), BlackboxFailure.PROTOCOL),
        (stream([b"data: \xff\xfe\n\n"]), BlackboxFailure.PROTOCOL),
        (stream([b"\x00\x01\x02binary" * 10]), BlackboxFailure.PROTOCOL),
        (stream([b"data: " + b"x" * 2**20]), BlackboxFailure.TOO_LARGE),
        (stream([b"data: x\n" * 20_000]), BlackboxFailure.TOO_LARGE),
        (stream([event({"error": {"message": "out of memory", "code": 500}})]), BlackboxFailure.ENGINE_ERROR),
        (stream([chat("a"), event({"object": "error", "message": "no"})]), BlackboxFailure.ENGINE_ERROR),
        (stream([ROLE, chat("", "stop"), DONE]), BlackboxFailure.EMPTY),
        (stream([DONE]), BlackboxFailure.EMPTY),
        (bytes_of(b"SSH-2.0-OpenSSH_9.2\r\n"), BlackboxFailure.PROTOCOL),
        (bytes_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), BlackboxFailure.PROTOCOL),
        (lambda handler: handler.connection.close(), BlackboxFailure.CONNECTION),
    ],
)
def test_a_useless_answer_is_a_failed_probe_with_its_reason(
    make: Make, endpoint: Endpoint, reply: Reply, reason: BlackboxFailure
) -> None:
    endpoint.replies[CHAT] = reply
    assert failure(probe(make(), endpoint)) == reason
    assert len(endpoint.posts()) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (models(), BlackboxFailure.MODEL),
        (models("x" * 300), BlackboxFailure.MODEL),
        (models("a\nb"), BlackboxFailure.MODEL),
        (page(b"<html>"), BlackboxFailure.MODEL),
        (page(b"", status=401), BlackboxFailure.HTTP_STATUS),
        (page(b"", status=302, Location="/"), BlackboxFailure.REDIRECT),
        (page(b"[" * 2**21), BlackboxFailure.TOO_LARGE),
    ],
)
def test_without_a_model_nothing_is_asked(
    make: Make, endpoint: Endpoint, reply: Reply, reason: BlackboxFailure
) -> None:
    endpoint.replies["/v1/models"] = reply
    assert failure(probe(make(), endpoint)) == reason
    assert endpoint.posts() == []


def test_what_was_measured_before_a_failure_is_told(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = stream([chat("a")])
    found = samples(probe(make(), endpoint))
    assert found["llm_probe_time_to_first_token_seconds"] > 0
    assert "llm_probe_generated_tokens" not in found
    endpoint.replies[CHAT] = page(b"", status=503)
    assert samples(probe(make(), endpoint))["llm_probe_http_status_code"] == 503


def endless(lines: Iterable[bytes]) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            while True:
                handler.wfile.writelines(lines)
        except OSError:
            pass

    return reply


@pytest.mark.parametrize(
    "lines", [[b": ping\n\n"] * 1000, [chat("a")] * 100, [b"\n"] * 10_000], ids=["ping", "text", "blank"]
)
def test_an_endless_stream_is_left_at_the_limit(make: Make, endpoint: Endpoint, lines: list[bytes]) -> None:
    endpoint.replies[CHAT] = endless(lines)
    start = time.monotonic()
    assert failure(probe(make(timeout_seconds=30), endpoint)) == BlackboxFailure.TOO_LARGE
    assert time.monotonic() - start < 15


def test_chunks_of_one_byte_are_left_at_the_limit_of_the_wire(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = stream([b":"] * 2**20)
    start = time.monotonic()
    assert failure(probe(make(timeout_seconds=30), endpoint)) == BlackboxFailure.TOO_LARGE
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("part", ["nothing", "head", "body", "drip"])
def test_a_server_that_hangs_or_drips_is_given_up_on_at_the_deadline(make: Make, endpoint: Endpoint, part: str) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        if part != "nothing":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        if part in {"body", "drip"}:
            handler.wfile.write(b"\r\n" + chat("a"))
        while not endpoint.released.wait(0.02 if part == "drip" else 10):
            handler.wfile.write(b":")

    endpoint.replies[CHAT] = reply
    start = time.monotonic()
    found = probe(make(timeout_seconds=0.3), endpoint)
    assert time.monotonic() - start < 8
    assert failure(found) == BlackboxFailure.TIMEOUT
    assert ("llm_probe_time_to_first_token_seconds" in samples(found)) == (part in {"body", "drip"})


def test_the_scrapes_timeout_shortens_the_probes(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = lambda _: endpoint.released.wait(10) and None
    start = time.monotonic()
    assert failure(probe(make(), endpoint, timeout="0.4")) == BlackboxFailure.TIMEOUT
    assert time.monotonic() - start < 4


def test_nobody_listening_is_a_connection_failure(make: Make) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert failure(make(model="m").probe("completion", f"127.0.0.1:{unused.getsockname()[1]}")) == "connection"


# -- what is refused


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        (("nothing", "http://127.0.0.1:1"), 400, "module 'nothing' is not configured; these are: completion"),
        (("completion", None), 400, "target is missing: /probe?module=completion"),
        (("completion", "ftp://127.0.0.1"), 400, "the scheme must be http or https"),
        (("completion", "http://127.0.0.1:1", "m\n"), 400, "model: expected"),
        (("completion", "http://127.0.0.1:1", "m" * 257), 400, "model: expected"),
        (("completion", "http://192.0.2.1:1"), 403, "http://192.0.2.1:1 is not an allowed target"),
        (("completion", "http://169.254.169.254"), 403, "not an allowed target"),
    ],
)
def test_a_bad_parameter_is_refused_with_a_sentence(
    make: Make, parameters: tuple[str, ...], status: int, text: str
) -> None:
    result = make().probe(*parameters)
    assert result.status == status
    assert text in result.body.decode()


@pytest.mark.parametrize("target", ["https://127.0.0.1:{port}", "http://127.0.0.2:{port}", "http://127.0.0.1:1"])
def test_secrets_go_to_the_targets_of_their_module_only(make: Make, endpoint: Endpoint, target: str) -> None:
    prober = make(headers={"X-Key": {"value": "s3cret"}}, targets=[f"http://{endpoint.netloc}"])
    refused = prober.probe("completion", target.format(port=endpoint.port))
    assert refused.status == 403
    assert b"is not among the targets of module 'completion'" in refused.body
    assert endpoint.asked == []


def test_a_name_that_leads_to_a_forbidden_address_is_not_asked(endpoint: Endpoint, make: Make) -> None:
    prober = make(allow=f"engine.test:{endpoint.port}", model="m")
    prober._asker = type(prober._asker)(
        prober._asker.allowed,
        prober._asker.models,
        prober._asker.nonce,
        prober._asker.tls,
        lambda _host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))],
    )
    assert failure(prober.probe("completion", f"http://engine.test:{endpoint.port}")) == BlackboxFailure.ADDRESS
    assert endpoint.asked == []


# -- the budget


def test_over_budget_nothing_is_sent(make: Make, endpoint: Endpoint, clock: Clock) -> None:
    prober = make(budget={"probes_per_minute": 2}, model="m")
    assert [samples(probe(prober, endpoint)).get("llm_probe_success") for _ in range(2)] == [1, 1]
    refused = probe(prober, endpoint)
    assert failure(refused) == BlackboxFailure.BUDGET
    assert samples(refused) == {"llm_probe_failure_info budget": 1}
    assert b"# probes_per_minute is spent; again in 30 s" in refused.body
    assert len(endpoint.asked) == 2
    clock.ahead += 31
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1


def test_one_target_is_left_alone_for_a_while_and_others_are_not(make: Make, endpoint: Endpoint, clock: Clock) -> None:
    prober = make(min_interval_seconds=30, model="m")
    endpoint.replies["/b" + CHAT] = stream(GOOD)
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1
    for same in (endpoint.netloc, f"{endpoint.netloc}/v1", f"http://{endpoint.netloc}/metrics"):
        assert failure(prober.probe("completion", same)) == BlackboxFailure.BUDGET
    assert samples(prober.probe("completion", f"{endpoint.netloc}/b"))["llm_probe_success"] == 1
    clock.ahead += 30
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1


def test_the_budget_holds_over_requests_at_once(make: Make, endpoint: Endpoint) -> None:
    prober = make(budget={"tokens_per_hour": 24, "concurrent_probes": 32}, max_tokens=8, model="m")
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: probe(prober, endpoint), range(48)))
    succeeded = [result for result in results if samples(result).get("llm_probe_success") == 1]
    assert len(succeeded) == len(endpoint.posts()) == 3
    assert {failure(result) for result in results if result not in succeeded} == {BlackboxFailure.BUDGET}


def test_probes_under_way_have_a_limit_and_give_their_place_back(make: Make, endpoint: Endpoint) -> None:
    prober = make(budget={"concurrent_probes": 1}, model="m")
    arrived, go_on = threading.Event(), threading.Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        arrived.set()
        go_on.wait(10)
        stream(GOOD)(handler)

    endpoint.replies[CHAT] = wait
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(probe, prober, endpoint)
        assert arrived.wait(10)
        assert b"1 probes are under way" in probe(prober, endpoint).body
        go_on.set()
        assert samples(first.result())["llm_probe_success"] == 1
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1


# -- the page


def test_promtool_finds_nothing_to_say_about_the_pages(make: Make, endpoint: Endpoint) -> None:
    prober = make(budget={"probes_per_minute": 2})
    pages = [probe(prober, endpoint).body]
    endpoint.replies[CHAT] = stream([chat('a"\\\n')])
    pages += [probe(prober, endpoint).body, probe(prober, endpoint).body]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(prober.tally)
    pages.append(generate_latest(registry))
    for body in pages:
        done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert b'optiinfra_blackbox_probes_total{module="completion",outcome="success"} 1.0' in pages[-1]
    assert b'optiinfra_blackbox_probes_total{module="completion",outcome="budget"} 1.0' in pages[-1]
    assert b'optiinfra_blackbox_reserved_tokens_total{module="completion"} 16.0' in pages[-1]


def test_the_answer_holds_catalogued_families_with_catalogued_labels_and_types(make: Make, endpoint: Endpoint) -> None:
    families = list(text_string_to_metric_families(probe(make(), endpoint).body.decode()))
    assert {family.name for family in families} == BLACKBOX_FAMILIES.keys() - {"llm_probe_failure_info"}
    for family in families:
        known = BLACKBOX_FAMILIES[family.name]
        assert (family.documentation, family.type) == (known.help, "gauge")
        for sample in family.samples:
            assert tuple(sample.labels) == known.labels


def test_neither_prompt_nor_answer_nor_secret_is_shown(make: Make, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    headers = {"Authorization": {"file": str(tmp_path / "token")}}
    prober = make(prompt="my pr0mpt", headers=headers, targets=[f"http://{endpoint.netloc}"])
    replies = [stream([chat("answ3r", "stop"), DONE]), stream([chat("answ3r")]), stream([event('{"answ3r')])]
    replies += [page(json.dumps({"error": "my pr0mpt answ3r"}).encode(), status=400)]
    for reply in replies:
        endpoint.replies[CHAT] = reply
        body = probe(prober, endpoint).body
        assert not [word for word in (b"pr0mpt", b"answ3r", b"s3cret") if word in body]
