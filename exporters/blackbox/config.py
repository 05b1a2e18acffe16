"""The `--blackbox-config` file: probe modules and the budget that all of them share."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from exporters.config_file import PlacedError, parse_config_file
from exporters.errors import SettingsError
from exporters.inference.targets import Target, parse_endpoint

_MAX_FILE_BYTES = 2**20
_MAX_SECRET_BYTES = 64 * 2**10
# What a probe says of itself, and what the HTTP client sets: no module may change it.
_OWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-optiinfra-probe",
    }
)
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_MODULE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MODEL_NAME = re.compile(r"[\x20-\x7e]{1,256}")


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header's name is up to 100 letters, digits and dashes")
    if name.lower() in _OWN_HEADERS:
        raise ValueError("the prober sets this header itself; leave it out")
    return name


def _module_name(name: str) -> str:
    if not _MODULE_NAME.fullmatch(name):
        raise ValueError("a module's name is a small letter and up to 63 more, digits, dashes and underscores")
    return name


def _model_name(name: str) -> str:
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError("a model's name is 1 to 256 printable ASCII characters")
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]
ModuleName = Annotated[str, AfterValidator(_module_name)]
ModelName = Annotated[str, AfterValidator(_model_name)]


def _root(url: str) -> Target:
    return parse_endpoint(url, ()).root


def _base_url(url: str) -> str:
    _root(url)  # its TargetError is a ValueError
    if "://" not in url:
        raise ValueError(f"{url!r}: write the scheme too; a secret must not go over http where https is meant")
    return url


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Endpoint(StrEnum):
    """Which API of the endpoint is asked."""

    CHAT = "chat"
    COMPLETIONS = "completions"

    @property
    def path(self) -> str:
        """The path behind the base URL."""
        return "/v1/chat/completions" if self is Endpoint.CHAT else "/v1/completions"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CredentialsError(Exception):
    """The secret of a header cannot be had; the message names header and file, never the secret."""


class Header(_Strict):
    """A request header: a plain `value`, or a secret's `file`, read anew for each probe, behind a `prefix`."""

    value: Annotated[str, Field(max_length=4096)] | None = None
    file: Path | None = None
    prefix: Annotated[str, Field(max_length=100)] = ""

    @model_validator(mode="after")
    def _one_source(self) -> "Header":
        if (self.value is None) == (self.file is None):
            raise ValueError("give exactly one of value and file")
        return self

    def read(self, name: str) -> str:
        """The header's value. Raises CredentialsError."""
        if self.file is None:
            text = self.value or ""
        else:
            try:
                with self.file.open("rb") as file:
                    text = file.read(_MAX_SECRET_BYTES).decode("latin-1").strip()
            except OSError as error:
                raise CredentialsError(f"header {name}: cannot read {self.file}: {error.strerror}") from None
        text = self.prefix + text
        if not _HEADER_VALUE.fullmatch(text):
            raise CredentialsError(f"header {name}: its value holds characters that no header may")
        return text


class Module(_Strict):
    """One way to probe. Durations are in seconds."""

    endpoint: Endpoint = Endpoint.CHAT
    prompt: Annotated[str, Field(min_length=1, max_length=4096)] = "Reply with the word: ready"
    nonce: bool = True
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 8
    model: ModelName | None = None
    headers: dict[HeaderName, Header] = Field(default_factory=dict, max_length=20)
    targets: Annotated[tuple[BaseUrl, ...], Field(max_length=1000)] = ()
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    min_interval_seconds: Annotated[float, Field(ge=0, le=86400)] = 10.0
    include_usage: bool = True
    require_text: bool = True

    @model_validator(mode="after")
    def _secrets_have_targets(self) -> "Module":
        if self.headers and not self.targets:
            raise PlacedError(
                ("headers",), "name the targets that may have them, or any allowed target gets their secrets"
            )
        return self

    def serves(self, target: Target) -> bool:
        """Whether `target` may be asked so: it is at one of `targets`, scheme, host and port; any may where none is."""
        at = (target.scheme, target.host, target.port)
        return not self.targets or at in {(one.scheme, one.host, one.port) for one in map(_root, self.targets)}


class BudgetLimits(_Strict):
    """What all probes of this exporter together may spend."""

    probes_per_minute: Annotated[float, Field(gt=0, le=6000)] = 60.0
    tokens_per_hour: Annotated[int, Field(ge=1, le=10_000_000)] = 36_000
    concurrent_probes: Annotated[int, Field(ge=1, le=32)] = 8


class BlackboxConfig(_Strict):
    """The whole file."""

    budget: BudgetLimits = BudgetLimits()
    modules: Annotated[dict[ModuleName, Module], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _budget_allows_every_module(self) -> "BlackboxConfig":
        for name, module in self.modules.items():
            if module.max_tokens > self.budget.tokens_per_hour:
                raise PlacedError(
                    ("modules", name, "max_tokens"),
                    f"{module.max_tokens} is more than budget.tokens_per_hour ({self.budget.tokens_per_hour}): "
                    "it could never run; lower the one or raise the other",
                )
        return self


def load_config(path: Path) -> BlackboxConfig:
    """Read and check the file, and that every secret in it can be read. Raises SettingsError naming place and cause."""
    try:
        text = path.read_bytes()[: _MAX_FILE_BYTES + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"--blackbox-config: cannot read {path}: {why}") from None
    if len(text) > _MAX_FILE_BYTES:
        raise SettingsError(f"--blackbox-config: {path} has more than {_MAX_FILE_BYTES} bytes")
    config = parse_config(text, path.name)
    for name, module in config.modules.items():
        try:
            read_headers(module.headers)
        except CredentialsError as error:
            raise SettingsError(f"{path.name}: modules.{name}: {error}") from None
    return config


def parse_config(text: str, name: str) -> BlackboxConfig:
    """Check the text of a file that people know as `name`. Raises ConfigFileError with one line a finding."""
    return parse_config_file(text, name, BlackboxConfig)


def read_headers(headers: Mapping[str, Header]) -> dict[str, str]:
    """The headers with their values. Raises CredentialsError."""
    return {name: header.read(name) for name, header in headers.items()}
