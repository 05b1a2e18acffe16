"""Black-box probes over TLS verify whom they talk to, and measure the handshake apart."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporters.blackbox.config import BlackboxConfig
from exporters.blackbox.probe import BlackboxProber
from exporters.inference.targets import AllowList
from tests.exporters.blackbox.endpoint import CHAT, GOOD, Endpoint, models, serving, stream

CONFIG = BlackboxConfig.model_validate({"modules": {"m": {"min_interval_seconds": 0, "timeout_seconds": 2}}})


@pytest.fixture
def secured(certificate: Path) -> Iterator[Endpoint]:
    with serving(Endpoint(certificate)) as served:
        served.replies |= {"/v1/models": models("tiny"), CHAT: stream(GOOD)}
        yield served


def prober(tls: Callable[[], ssl.SSLContext]) -> BlackboxProber:
    return BlackboxProber(CONFIG, AllowList.parse(["localhost:*", "127.0.0.0/8"]), tls=tls)


def test_a_certificate_that_is_trusted_is_accepted_for_its_own_name_only(secured: Endpoint, certificate: Path) -> None:
    trusting = prober(lambda: ssl.create_default_context(cafile=certificate))
    good = trusting.probe("m", f"https://localhost:{secured.port}").body.decode()
    assert "llm_probe_success 1.0" in good
    assert 'llm_probe_phase_duration_seconds{phase="tls"}' in good
    other = trusting.probe("m", f"https://127.0.0.1:{secured.port}").body.decode()
    assert 'llm_probe_failure_info{reason="tls"} 1.0' in other


def test_an_unknown_certificate_is_refused(secured: Endpoint) -> None:
    body = prober(ssl.create_default_context).probe("m", f"https://localhost:{secured.port}").body.decode()
    assert 'llm_probe_failure_info{reason="tls"} 1.0' in body
    assert "# /v1/models: CERTIFICATE_VERIFY_FAILED" in body
    assert secured.asked == []


def test_plain_http_where_tls_is_expected_is_a_tls_failure(endpoint: Endpoint) -> None:
    body = prober(ssl.create_default_context).probe("m", f"https://127.0.0.1:{endpoint.port}").body.decode()
    assert 'llm_probe_failure_info{reason="tls"} 1.0' in body


def test_a_handshake_that_drips_is_given_up_on_at_the_deadline() -> None:
    released = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"\x16\x03\x03\x3f\xff")  # the head of a record of 16 KiB that never comes whole
                try:
                    while not released.wait(0.02):
                        connection.sendall(b"\x02")
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        body = prober(ssl.create_default_context).probe("m", f"https://127.0.0.1:{server.getsockname()[1]}").body
        seconds = time.monotonic() - start
        released.set()
        thread.join()
    assert b'reason="timeout"' in body or b'reason="tls"' in body
    assert seconds < 4
