"""An endpoint that works, and a prober of it."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.blackbox.config import BlackboxConfig
from exporters.blackbox.probe import BlackboxProber
from exporters.inference.targets import AllowList
from tests.exporters.blackbox.endpoint import CHAT, COMPLETIONS, GOOD, Endpoint, completion, models, serving, stream


class Clock:
    """Real time plus what a test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as served:
        served.replies["/v1/models"] = models("tiny", "other")
        served.replies[CHAT] = stream(GOOD)
        served.replies[COMPLETIONS] = stream([completion("a"), completion("b", "length"), b"data: [DONE]\n\n"])
        yield served


@pytest.fixture
def make(clock: Clock) -> Callable[..., BlackboxProber]:
    """A prober of one module `completion`; `budget` and `allow` apart, fields are the module's."""

    def build(*, budget: dict[str, Any] | None = None, allow: str = "127.0.0.0/8", **fields: Any) -> BlackboxProber:
        module = {"min_interval_seconds": 0, "timeout_seconds": 20} | fields
        config = BlackboxConfig.model_validate({"modules": {"completion": module}, "budget": budget or {}})
        return BlackboxProber(config, AllowList.parse([allow]), clock=clock, nonce=lambda: "n0nce")

    return build


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, key and certificate in one file."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is not on PATH: install Debian's package `openssl`"
    folder = tmp_path_factory.mktemp("tls")
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([openssl, *request, *name, "-keyout", key, "-out", cert], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both
