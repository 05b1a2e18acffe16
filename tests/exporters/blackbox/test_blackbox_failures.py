"""What a useless, hostile or absent answer to a black-box probe costs, and the reason that it is given."""

import socket
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler

import pytest

from exporters.catalog import BlackboxFailure
from tests.exporters.blackbox.asking import Make, failure, probe, samples
from tests.exporters.blackbox.endpoint import (
    CHAT,
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
)


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
        (page(b"", status=401), BlackboxFailure.MODEL),
        (page(b"", status=404), BlackboxFailure.MODEL),
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


def test_a_list_of_models_that_is_not_there_reads_unlike_a_completion_that_is_not(
    make: Make, endpoint: Endpoint
) -> None:
    del endpoint.replies["/v1/models"]
    unlisted = probe(make(), endpoint)
    assert (failure(unlisted), samples(unlisted)["llm_probe_http_status_code"]) == (BlackboxFailure.MODEL, 404)
    assert b"# /v1/models answers HTTP 404; name the model with the module's key model" in unlisted.body

    del endpoint.replies[CHAT]
    unserved = probe(make(model="tiny"), endpoint)
    assert (failure(unserved), samples(unserved)["llm_probe_http_status_code"]) == (BlackboxFailure.HTTP_STATUS, 404)
    assert b"# /v1/chat/completions answers HTTP 404" in unserved.body


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
