"""A TLS configuration as an `ssl.SSLContext`, and the check of a client's certificate that `ssl` has no word for."""

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.errors import WebConfigError
from exporters.web.config import CIPHER_SUITES, ClientAuth, TlsServerConfig, TlsVersion

_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How to greet a client. An empty `allowed_sans` welcomes every certificate that verifies."""

    context: ssl.SSLContext
    allowed_sans: frozenset[str] = frozenset()

    def welcomes(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with this certificate, as `getpeercert` gives it, is served.

        None or empty is a client without one, which got this far only where none is required.
        """
        if not self.allowed_sans or not certificate:
            return True
        names = (_san(kind, name) for kind, name in certificate.get("subjectAltName", ()))
        return not self.allowed_sans.isdisjoint(names)


def server_tls(config: TlsServerConfig) -> ServerTls:
    """Load the files. Raises WebConfigError naming the one that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.maximum_version = _VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # it lets a client make the server work at no cost
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [suite for name in config.cipher_suites if (suite := CIPHER_SUITES[name])]
    if suites:
        context.set_ciphers(":".join(suites))
    _load_certificate(context, config.cert_file, config.key_file)
    context.verify_mode = _VERIFY[config.client_auth_type]
    if config.client_ca_file:
        _load_authorities(context, config.client_ca_file)
    return ServerTls(context, frozenset(map(_normal, config.client_allowed_sans)))


def _load_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    for name, path in (("cert_file", cert_file), ("key_file", key_file)):
        _readable(name, path)
    try:
        # Without a password function OpenSSL would ask for the key's on the terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise WebConfigError(
            f"tls_server_config: {cert_file} and {key_file} are not a PEM certificate and its unencrypted key: {error}"
        ) from error


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    _readable("client_ca_file", path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise WebConfigError(f"tls_server_config.client_ca_file: {path} holds no PEM certificate: {error}") from error


def _readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise WebConfigError(f"tls_server_config.{name}: cannot read {path}: {error.strerror}") from error


def _san(kind: str, name: str) -> str:
    return _normal(name) if kind in {"DNS", "IP Address"} else name


def _normal(name: str) -> str:
    """One spelling of an address; other names as they are."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
