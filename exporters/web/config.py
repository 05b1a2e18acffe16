"""What a web configuration file may say: the Prometheus convention (exporter-toolkit, `--web.config.file`).

What Python's `ssl` cannot do is an error here, never left out in silence.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

# Key of the validation context: the folder that relative paths start from.
FOLDER = "folder"

_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
# bcrypt's least; and each step doubles the time of a check, which at 15 is seconds.
_MIN_COST = 4
_MAX_COST = 15


class ClientAuth(StrEnum):
    """Whether a client must show a certificate."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


class TlsVersion(StrEnum):
    """Versions that are still safe to serve."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


# Go's names of the suites of TLS 1.2 and OpenSSL's; those of TLS 1.3 are always on, in Go too.
CIPHER_SUITES: Mapping[str, str | None] = MappingProxyType(
    {
        "TLS_AES_128_GCM_SHA256": None,
        "TLS_AES_256_GCM_SHA384": None,
        "TLS_CHACHA20_POLY1305_SHA256": None,
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    }
)

# Headers that the convention knows, and the values of those that have a closed set.
_HEADERS: Mapping[str, frozenset[str] | None] = MappingProxyType(
    {
        "Content-Security-Policy": None,
        "Strict-Transport-Security": None,
        "X-Content-Type-Options": frozenset({"nosniff"}),
        "X-Frame-Options": frozenset({"deny", "sameorigin"}),
        "X-XSS-Protection": None,
    }
)


def _resolved(path: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get(FOLDER, Path())
    return folder / path


_File = Annotated[Path, AfterValidator(_resolved)]


class Section(BaseModel):
    """A mapping of the file: no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    # Keys of the convention that cannot be honoured here, and what to do instead.
    unsupported: ClassVar[Mapping[str, str]] = MappingProxyType({})


class TlsServerConfig(Section):
    """Certificate, and whom to serve."""

    unsupported: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "cert": "name a file with 'cert_file'",
            "key": "name a file with 'key_file'",
            "client_ca": "name a file with 'client_ca_file'",
            "curve_preferences": "Python's ssl cannot choose a list of curves; leave it out",
        }
    )

    cert_file: _File
    key_file: _File
    client_auth_type: ClientAuth = ClientAuth.NONE
    client_ca_file: _File | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TlsVersion = TlsVersion.TLS12
    max_version: TlsVersion = TlsVersion.TLS13
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True

    @field_validator("cipher_suites")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in CIPHER_SUITES]
        if unknown:
            raise ValueError(f"no suite {', '.join(unknown)}; known: {', '.join(CIPHER_SUITES)}")
        return names

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        asks = self.client_auth_type is not ClientAuth.NONE
        if asks and self.client_ca_file is None:
            raise ValueError(f"client_auth_type {self.client_auth_type} needs client_ca_file")
        if not asks and (self.client_ca_file or self.client_allowed_sans):
            raise ValueError(f"client_ca_file and client_allowed_sans need client_auth_type {ClientAuth.REQUIRED}")
        if self.min_version > self.max_version:
            raise ValueError(f"min_version {self.min_version} is above max_version {self.max_version}")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that this part of the configuration names."""
        return tuple(path for path in (self.cert_file, self.key_file, self.client_ca_file) if path)


class HttpServerConfig(Section):
    """Headers of every answer. `http2` is accepted and changes nothing: HTTP/1.1 is spoken."""

    http2: bool = True
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("headers")
    @classmethod
    def _known(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name not in _HEADERS:
                raise ValueError(f"header {name!r} cannot be set; these can: {', '.join(_HEADERS)}")
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"header {name}: the value must be printable ASCII on one line")
            allowed = _HEADERS[name]
            if value and allowed and value.lower() not in allowed:
                raise ValueError(f"header {name}: {value!r} is none of {', '.join(sorted(allowed))}")
        return headers


def _user_name(name: str) -> str:
    if not name or ":" in name:
        raise ValueError("a user's name is not empty and holds no colon")
    return name


def _bcrypt_hash(text: str) -> str:
    match = _BCRYPT.fullmatch(text)
    if match is None:
        raise ValueError("not a bcrypt hash; make one with: htpasswd -nBC 10 '' | tr -d ':\\n'")
    if not _MIN_COST <= int(match["cost"]) <= _MAX_COST:
        raise ValueError(f"the hash's cost must be {_MIN_COST} to {_MAX_COST}, as each check pays it")
    return text


_Users = dict[Annotated[str, AfterValidator(_user_name)], Annotated[str, AfterValidator(_bcrypt_hash)]]


class WebConfig(Section):
    """The whole file; an empty one serves plain HTTP to everyone."""

    unsupported: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"rate_limit": "bound scrapes with --max-requests instead"}
    )

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: _Users = Field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the configuration names."""
        return self.tls_server_config.files if self.tls_server_config else ()
