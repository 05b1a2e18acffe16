"""Probes over TLS verify whom they talk to."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from exporters.inference import AllowList, Prober
from exporters.inference.connection import _tls_context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, key and certificate in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("openssl is not on PATH: install Debian's package `openssl`")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([openssl, *request, *name, "-keyout", key, "-out", cert], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'vllm:num_requests_running{model_name="m"} 3\n'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that refuses our certificate

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    _tls_context.cache_clear()
    yield
    _tls_context.cache_clear()


def test_an_unknown_certificate_is_refused(port: int) -> None:
    _tls_context.cache_clear()
    body = Prober(AllowList.parse(["localhost:*"])).probe(f"https://localhost:{port}", "vllm").body
    assert b'llm_scrape_failure_info{reason="connection"} 1.0' in body
    assert b"CERTIFICATE_VERIFY_FAILED" in body


@pytest.mark.usefixtures("trusted")
def test_a_certificate_that_the_system_trusts_is_accepted_for_its_own_name_only(port: int) -> None:
    prober = Prober(AllowList.parse(["localhost:*", "127.0.0.1:*"]))
    good = prober.probe(f"https://localhost:{port}", "vllm").body
    assert b'llm_requests_running{engine="vllm",model="m"} 3.0' in good
    other = prober.probe(f"https://127.0.0.1:{port}", "vllm").body
    assert b'llm_scrape_failure_info{reason="connection"} 1.0' in other
