"""Certificates that openssl made, and an exporter's server behind a web configuration file."""

import contextlib
import http.client
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import bcrypt
import pytest
from structlog.typing import FilteringBoundLogger

from exporters.server import HttpServer
from exporters.settings import WebSettings
from exporters.web.serve import http_server


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder of its own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def found(self) -> "Authority":
        use = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._request("ca", "-x509", "-out", str(self.certificate), "-days", "2", "-subj", "/CN=test authority", *use)
        return self

    def issue(self, name: str, san: str) -> tuple[Path, Path]:
        """Give certificate and key for a subject alternative name."""
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        self._request(name, "-out", str(request), "-subj", f"/CN={name}", "-addext", f"subjectAltName={san}")
        signer = ("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial")
        keys = self.folder / "keys.ext"  # Python 3.13 verifies strictly, and wants these
        keys.write_text("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n", encoding="utf-8")
        signed = ("-in", str(request), "-out", str(certificate), "-days", "2", "-copy_extensions", "copy")
        openssl("x509", "-req", *signer, *signed, "-extfile", str(keys))
        return certificate, self.folder / f"{name}.key"

    def _request(self, name: str, *more: str) -> None:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", *curve, "-keyout", str(self.folder / f"{name}.key"), *more)


@pytest.fixture(name="authority", scope="session")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority")).found()


@pytest.fixture(name="stranger", scope="session")
def _stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("stranger")).found()


@pytest.fixture(name="server_certificate", scope="session")
def _server_certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server", "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(name="hashed", scope="session")
def _hashed() -> Callable[[str], str]:
    """A bcrypt hash of the least cost."""
    return lambda password: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def greet(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """The application behind the server: says hello, and over what."""
    body = b"hello over " + environ["wsgi.url_scheme"].encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Frame-Options", "deny")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Running:
    """A server, and how to ask it."""

    server: HttpServer
    authority: Path

    def context(self, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if identity:
            context.load_cert_chain(*identity)
        return context

    def ask(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        user: tuple[str, str] | None = None,
        identity: tuple[Path, Path] | None = None,
        **headers: str,
    ) -> Answer:
        if user:
            headers["Authorization"] = "Basic " + b64encode(":".join(user).encode()).decode()
        connection = self._connection(identity)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read().decode(),
            )

    @contextlib.contextmanager
    def connect(self, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """A TLS connection that is greeted and says nothing yet."""
        with (
            socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as raw,
            (context or self.context()).wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            yield connection

    def _connection(self, identity: tuple[Path, Path] | None) -> http.client.HTTPConnection:
        if self.server.url.startswith("https:"):
            context = self.context(identity)
            return http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=30, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)


@pytest.fixture(name="web_config")
def _web_config(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


@pytest.fixture(name="serve")
def _serve(web_config: Path, authority: Authority, log: FilteringBoundLogger) -> Iterator[Callable[..., Running]]:
    """Start a server with the given text as its web configuration."""
    with contextlib.ExitStack() as stack:

        def start(text: str | None, app: Any = greet) -> Running:
            if text is not None:
                web_config.write_text(text, encoding="utf-8")
            settings = WebSettings(
                listen_address="127.0.0.1",
                port=0,
                config_file=None if text is None else web_config,
                max_requests=0,
            )
            server = http_server(app, settings, log)
            thread = threading.Thread(target=server.run)
            thread.start()
            stack.callback(thread.join, timeout=30)
            stack.callback(server.stop)
            return Running(server, authority.certificate)

        yield start


@pytest.fixture(name="tls_section")
def _tls_section(server_certificate: tuple[Path, Path]) -> str:
    certificate, key = server_certificate
    return f"tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n"
