"""The exporter's server behind a web configuration: users, headers, TLS, client certificates, changes while it runs."""

import contextlib
import gc
import http.client
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from exporters.errors import WebConfigError

Serve = Callable[..., Any]
Identity = tuple[Path, Path]


def named(events: list[Any], name: str) -> list[Any]:
    return [event for event in events if event["event"] == name]


def test_without_a_configuration_everyone_is_served_over_plain_http(serve: Serve) -> None:
    assert serve(None).ask().text == "hello over http"


def test_users_get_in_with_their_passwords_and_nobody_else(serve: Serve, hashed: Callable[[str], str]) -> None:
    running = serve(f"basic_auth_users: {{alice: '{hashed('sécret:x')}'}}")

    assert running.ask(user=("alice", "sécret:x")).text == "hello over http"
    for user in (None, ("alice", "wrong"), ("bob", "sécret:x"), ("", ""), ("alice", "")):
        refused = running.ask("/healthz", user=user)
        assert (refused.status, refused.text) == (401, "name and password are needed\n")
        assert refused.headers["www-authenticate"] == 'Basic realm="optiinfra exporter", charset="UTF-8"'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic YWxpY2U=",
        "Basic /zpzZWNyZXQ=",
        "Bearer YWxpY2U6c2VjcmV0",
        "Digest username=alice",
    ],
)
def test_an_authorization_that_is_not_name_and_password_is_refused(
    serve: Serve, hashed: Callable[[str], str], header: str
) -> None:
    assert serve(f"basic_auth_users: {{alice: '{hashed('secret')}'}}").ask(Authorization=header).status == 401


def test_the_schemes_name_is_read_in_any_case(serve: Serve, hashed: Callable[[str], str]) -> None:
    running = serve(f"basic_auth_users: {{alice: '{hashed('secret')}'}}")

    assert running.ask(Authorization="bASIC YWxpY2U6c2VjcmV0").status == 200


def test_a_refused_head_request_has_no_body(serve: Serve, hashed: Callable[[str], str]) -> None:
    answer = serve(f"basic_auth_users: {{alice: '{hashed('secret')}'}}").ask(method="HEAD")

    assert (answer.status, answer.text) == (401, "")


def test_configured_headers_are_on_every_answer_and_replace_the_applications(
    serve: Serve, hashed: Callable[[str], str]
) -> None:
    users = f"basic_auth_users: {{alice: '{hashed('secret')}'}}"
    headers = "http_server_config: {headers: {Strict-Transport-Security: max-age=60, X-Frame-Options: sameorigin}}"
    running = serve(f"{users}\n{headers}")

    for answer in (running.ask(), running.ask(user=("alice", "secret"))):
        assert (answer.headers["strict-transport-security"], answer.headers["x-frame-options"]) == (
            "max-age=60",
            "sameorigin",
        )


def test_users_change_without_a_restart(serve: Serve, web_config: Path, hashed: Callable[[str], str]) -> None:
    running = serve(f"basic_auth_users: {{alice: '{hashed('secret')}'}}")
    assert running.ask(user=("alice", "secret")).status == 200

    web_config.write_text(f"basic_auth_users: {{bob: '{hashed('other')}'}}", encoding="utf-8")
    assert running.ask(user=("alice", "secret")).status == 401
    assert running.ask(user=("bob", "other")).status == 200


def test_a_file_that_breaks_serves_nobody_says_so_once_and_is_taken_up_again_when_mended(
    serve: Serve, web_config: Path, hashed: Callable[[str], str], events: list[Any]
) -> None:
    good = f"basic_auth_users: {{alice: '{hashed('secret')}'}}"
    running = serve(good)
    web_config.write_text("basic_auth_users: {alice: secret}", encoding="utf-8")
    answers = [running.ask(user=("alice", "secret")) for _ in range(3)]

    assert {answer.status for answer in answers} == {500}
    assert "secret" not in answers[0].text
    assert len(named(events, "web_config_unusable")) == 1
    assert "line 1: basic_auth_users.alice: not a bcrypt hash" in named(events, "web_config_unusable")[0]["error"]

    web_config.unlink()
    assert running.ask(user=("alice", "secret")).status == 500
    web_config.write_text(good, encoding="utf-8")
    assert running.ask(user=("alice", "secret")).status == 200


def test_tls_neither_comes_nor_goes_while_it_runs(
    serve: Serve, web_config: Path, tls_section: str, events: list[Any]
) -> None:
    running = serve("")
    web_config.write_text(tls_section, encoding="utf-8")

    assert running.ask().status == 500
    assert "restart the exporter" in named(events, "web_config_unusable")[0]["error"]


def test_a_wrong_file_is_an_error_at_the_start(serve: Serve) -> None:
    with pytest.raises(WebConfigError, match="unknown key tls; known keys"):
        serve("tls: {}")


def test_over_tls_the_page_is_the_same(serve: Serve, tls_section: str) -> None:
    running = serve(tls_section)

    assert running.server.url == f"https://127.0.0.1:{running.server.port}"
    assert running.ask().text == "hello over https"
    assert running.ask(method="HEAD").text == ""


def test_a_connection_over_tls_serves_one_request_after_the_other(serve: Serve, tls_section: str) -> None:
    running = serve(tls_section)
    with running.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello over https"):
                answer += connection.recv(1000)


def test_a_large_page_comes_whole_through_tls(serve: Serve, tls_section: str) -> None:
    page = os.urandom(1 << 20).hex()

    def app(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(page)))])
        return [page.encode()]

    assert serve(tls_section, app).ask().text == page


def test_a_client_that_speaks_plain_http_is_told_what_is_spoken(serve: Serve, tls_section: str) -> None:
    running = serve(tls_section)
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert (response.status, response.read()) == (400, b"HTTPS is spoken here; ask for https://\n")


def test_old_versions_of_tls_are_refused_quietly(serve: Serve, tls_section: str, events: list[Any]) -> None:
    running = serve(tls_section + "  min_version: TLS13\n")
    context = running.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError), running.connect(context):
        pass
    assert running.ask().status == 200
    assert {event["log_level"] for event in named(events, "tls_handshake_failed")} == {"debug"}


def test_the_configured_cipher_suite_is_the_one_that_is_spoken(serve: Serve, tls_section: str) -> None:
    suite = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n"
    running = serve(tls_section + suite)
    with running.connect() as connection:
        assert connection.cipher() == ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2", 256)


@pytest.mark.parametrize("said", [b"", b"\x16", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff" + b"\0" * 20])
def test_clients_that_never_finish_their_handshake_keep_nobody_out(serve: Serve, tls_section: str, said: bytes) -> None:
    running = serve(tls_section)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", running.server.port), timeout=30))
            idle.sendall(said)
        started = time.monotonic()
        assert running.ask().text == "hello over https"
        assert time.monotonic() - started < 5


def test_handshakes_that_fail_leave_nothing_in_memory(serve: Serve, tls_section: str, events: list[Any]) -> None:
    running = serve(tls_section)
    running.ask()
    gc.collect()
    gc.disable()  # what only the collector frees would pile up until it runs
    try:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", running.server.port), timeout=30) as junk:
                junk.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    while junk.recv(1000):
                        pass
        left = [found for found in gc.get_objects() if isinstance(found, ssl.SSLSocket)]
    finally:
        gc.enable()

    assert len(named(events, "tls_handshake_failed")) == 50
    assert len(left) <= 1


def test_clients_that_send_half_a_request_keep_nobody_out(serve: Serve, tls_section: str) -> None:
    running = serve(tls_section)
    with contextlib.ExitStack() as stack:
        for _ in range(100):  # more than the server has threads
            stack.enter_context(running.connect()).sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        assert running.ask().text == "hello over https"


def test_a_connection_that_is_done_with_is_closed_on_both_sides(serve: Serve, tls_section: str) -> None:
    running = serve(tls_section)
    with running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while chunk := connection.recv(1000):
            received += chunk
    assert received.endswith(b"hello over https")


def test_an_answer_under_way_is_finished_after_stop_over_tls(serve: Serve, tls_section: str) -> None:
    entered, gate = threading.Event(), threading.Event()

    def slow(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        entered.set()
        assert gate.wait(timeout=30)
        start_response("200 OK", [("Content-Length", "100000")])
        return [b"x" * 100000]

    running = serve(tls_section, slow)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(running.ask()))
    asking.start()
    assert entered.wait(timeout=30)
    running.server.stop()
    gate.set()
    asking.join(timeout=30)

    assert [len(answer.text) for answer in answers] == [100000]


def test_a_renewed_certificate_is_used_without_a_restart(
    serve: Serve, tmp_path: Path, authority: Any, server_certificate: Identity
) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"

    def install(identity: Identity) -> None:
        certificate.write_bytes(identity[0].read_bytes())
        key.write_bytes(identity[1].read_bytes())

    def presented(running: Any) -> tuple[Any, ...]:
        with running.connect() as connection:
            return tuple(connection.getpeercert()["subjectAltName"])  # type: ignore[index]  # it verified

    install(server_certificate)
    running = serve("tls_server_config: {cert_file: server.pem, key_file: server.key}")
    before = presented(running)
    install(authority.issue("renewed", "IP:127.0.0.1,DNS:renewed.example"))

    assert before == (("IP Address", "127.0.0.1"), ("DNS", "localhost"))
    assert presented(running) == (("IP Address", "127.0.0.1"), ("DNS", "renewed.example"))
    key.write_text("half written", encoding="utf-8")
    with pytest.raises(OSError, match=r"EOF|reset"):
        presented(running)
    install(server_certificate)
    assert presented(running) == before


@pytest.fixture(name="alice", scope="module")
def _alice(authority: Any) -> Identity:
    issued: Identity = authority.issue("alice", "DNS:alice.example,IP:0:0:0:0:0:0:0:1")
    return issued


@pytest.fixture(name="mallory", scope="module")
def _mallory(stranger: Any) -> Identity:
    issued: Identity = stranger.issue("mallory", "DNS:alice.example")
    return issued


def refused(running: Any, identity: Identity | None) -> bool:
    """With TLS 1.3 a client learns of it at its first read only."""
    try:
        running.ask(identity=identity)
    except OSError:
        return True
    return False


def test_a_required_client_certificate_must_be_of_the_authority(
    serve: Serve, tls_section: str, authority: Any, alice: Identity, mallory: Identity
) -> None:
    wanted = f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {authority.certificate}\n"
    running = serve(tls_section + wanted)

    assert running.ask(identity=alice).status == 200
    assert refused(running, None)
    assert refused(running, mallory)


def test_a_client_certificate_that_is_given_must_be_of_the_authority(
    serve: Serve, tls_section: str, authority: Any, alice: Identity, mallory: Identity
) -> None:
    wanted = f"  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: {authority.certificate}\n"
    running = serve(tls_section + wanted)

    assert running.ask(identity=alice).status == 200
    assert running.ask().status == 200
    assert refused(running, mallory)


def test_a_client_certificate_must_have_an_allowed_name(
    serve: Serve, tls_section: str, web_config: Path, authority: Any, alice: Identity
) -> None:
    wanted = f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {authority.certificate}\n"
    running = serve(tls_section + wanted)

    for sans, welcome in (("[alice.example]", True), ("['::1']", True), ("[bob.example, 127.0.0.1]", False)):
        web_config.write_text(f"{tls_section}{wanted}  client_allowed_sans: {sans}\n", encoding="utf-8")
        assert refused(running, alice) is not welcome, sans


def test_a_request_that_trickles_in_does_not_keep_its_connection_open(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.server._QUIET_SECONDS", 1)
    monkeypatch.setattr("exporters.server._CLEANUP_SECONDS", 0)
    running = serve(None)
    with socket.create_connection(("127.0.0.1", running.server.port), timeout=30) as slow:
        until = time.monotonic() + 20
        slow.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        closed = False
        while not closed and time.monotonic() < until:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                slow.sendall(b"x")
            ready, _, _ = select.select([slow], [], [], 0.2)
            if ready:
                with contextlib.suppress(ConnectionResetError):
                    assert slow.recv(100) == b""
                closed = True
    assert closed


def test_too_much_of_a_request_is_refused(serve: Serve) -> None:
    running = serve(None)

    assert running.ask(**{"X-Long": "x" * 40000}).status == 431
    assert running.ask().status == 200
