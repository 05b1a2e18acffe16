"""The options by which one-shot commands are let in to a Prometheus, and the moment that they look at."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

_FILE = click.Path(path_type=Path, dir_okay=False)
_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--at", metavar="TIME", help="Another moment than now: unix seconds, or 2026-11-21T03:00:00Z."),
    click.option(
        "--timeout", type=click.FloatRange(1, 600), default=30.0, show_default=True, help="Seconds per query."
    ),
    click.option(
        "--bearer-token-file", type=_FILE, help="A file with the token that Prometheus, or its proxy, asks for."
    ),
    click.option("--username", help="For basic authentication, with --password-file."),
    click.option("--password-file", type=_FILE),
    click.option("--tenant", help="Sent as X-Scope-OrgID, for Mimir and Cortex."),
    click.option("--ca-file", type=_FILE, help="Certificates of the authority that signed Prometheus's."),
)


def access_options(command: _Command) -> _Command:
    """Adds `--at`, `--timeout` and those of `client.Access` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def checked_url(url: str) -> str:
    """`url`, which has a scheme. Raises click.UsageError."""
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--prometheus {url}: write it with its scheme, http://{url}")
    return url


def moment(text: str) -> datetime:
    """Unix seconds or ISO 8601; a time without a zone is UTC. Raises click.UsageError."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.UsageError(f"--at {text}: write unix seconds, or a time such as 2026-11-21T03:00:00Z") from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)
