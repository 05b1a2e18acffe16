"""What all parts of the inventory are made of: how they refuse, units, addresses."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=7 * 86400, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Argument = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Path = tuple[str | int, ...]


class InventoryProblems(ValueError):
    """Entries that are legal one by one and wrong together: (path into the inventory, what is wrong and the mend)."""

    def __init__(self, problems: list[tuple[Path, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in problems))


class Config(BaseModel):
    """A part of the inventory: it cannot be changed, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def instance_of(url: str) -> str:
    """The Prometheus `instance` label of an engine URL: host:port, with the scheme's port when none is written."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def check_http_url(url: str) -> str:
    """`url` without its trailing slash; ValueError when it is not plain http(s) with a host."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"'{url}' is not an http or https URL; write it like http://gpu-1.example:8000")
    try:
        parts.port  # noqa: B018 - reading it is the check: it raises for a port that is no port
    except ValueError as exc:
        raise ValueError(f"'{url}' has a bad port; use 1 to 65535") from exc
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"'{parts.hostname}': a URL here has no user, password, query or fragment")
    return url.rstrip("/")
