"""The recommender's commands. Exit status: 0 done, 1 failed, 2 wrong usage. Every flag has an environment twin."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from recommender.auth import Role, new_token
from recommender.checks import run_checks
from recommender.client import ApiClient, ApiError, read_token
from recommender.errors import RecommenderError
from recommender.ledger.render import show_effects
from recommender.logging_setup import configure_logging
from recommender.render import show_list, show_one
from recommender.settings import load_settings
from recommender.store import Database, Store
from recommender.terminal import terminal

_FILE = click.Path(path_type=Path, dir_okay=False)
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_Found = TypeVar("_Found")


def _options(*options: Callable[[_Decorated], _Decorated]) -> Callable[[_Decorated], _Decorated]:
    def add(function: _Decorated) -> _Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return add


@contextmanager
def _explained() -> Iterator[None]:
    """Our own errors as text and status 1; anything else is a bug and keeps its traceback."""
    try:
        yield
    except (RecommenderError, ApiError) as exc:
        raise click.ClickException(str(exc)) from exc


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


# The environment twins are read by `recommender.settings`, which also gives the defaults.
_configuration = _options(
    click.option("--inventory", type=_FILE, help="Services, replicas, policy. [env: OPTIINFRA_INVENTORY]"),
    click.option("--tokens-file", type=_FILE, help="Who may do what. [env: OPTIINFRA_TOKENS_FILE]"),
    click.option("--database-url", help="Where state is kept. [env: DATABASE_URL]"),
    click.option("--prometheus-url", help="Where signals are read. [env: OPTIINFRA_PROMETHEUS_URL]"),
    click.option("--alertmanager-url", help="Only to watch its health. [env: OPTIINFRA_ALERTMANAGER_URL]"),
)


@click.command()
@_configuration
@click.option("--listen-address", help="Default 127.0.0.1. [env: OPTIINFRA_RECOMMENDER_LISTEN_ADDRESS]")
@click.option("--port", type=int, help="Default 8002; 0 takes a free one. [env: OPTIINFRA_RECOMMENDER_PORT, PORT]")
@click.option("--log-level", help="debug, info, warning or error. [env: OPTIINFRA_LOG_LEVEL, LOG_LEVEL]")
def recommender(**flags: object) -> None:
    """Turn alerts into plans, and approved plans into changes."""
    from recommender.server import assemble, serve  # noqa: PLC0415 - Flask is needed by this command alone

    with _explained():
        settings = load_settings(**flags)
        configure_logging(settings.log_level)
        signal.signal(signal.SIGTERM, _stop)
        assembled = assemble(settings)
        try:
            serve(assembled, settings)
        except KeyboardInterrupt:
            sys.exit(0)


@click.command()
@_configuration
def check(**flags: object) -> None:
    """Check configuration and connections; say how to mend what is wrong."""
    console = terminal()
    with _explained():
        settings = load_settings(**flags)
    failed = 0
    for result in run_checks(settings):
        mark = {True: "[green]ok  [/]", False: "[red]FAIL[/]", None: "[yellow]--  [/]"}[result.ok]
        console.print(mark, result.name, end=" ")
        console.print(result.text, markup=False)
        failed += result.ok is False
    if failed:
        raise click.exceptions.Exit(1)


@click.group()
def audit() -> None:
    """Verify the audit log."""


@audit.command()
@click.option("--database-url", help="Where state is kept. [env: DATABASE_URL]")
def verify(**flags: object) -> None:
    """Walk the whole chain; status 1 when a row was changed, removed or added."""
    with _explained():
        database = Database(load_settings(**flags).database())
        try:
            report = Store(database).verify_audit()
        finally:
            database.close()
    if report.problem:
        raise click.ClickException(f"the audit log was tampered with: {report.problem}")
    click.echo(f"The audit log holds: {report.rows} rows, head {report.head}")


@click.group()
def tokens() -> None:
    """Make tokens for the API."""


@tokens.command()
@click.option("--name", required=True, help="Who it is for; appears in the audit log.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]), help="What it may do.")
@click.option(
    "--file", required=True, type=_FILE, envvar="OPTIINFRA_TOKENS_FILE", show_envvar=True, help="The tokens file."
)
def new(name: str, role: str, file: Path) -> None:
    """Print a new token, once, and append its hash to the tokens file. Restart the recommender to use it."""
    with _explained():
        click.echo(new_token(name, Role(role), file))


_connection = _options(
    click.option("--url", default="http://127.0.0.1:8002", envvar="OPTIINFRA_URL", show_envvar=True, show_default=True),
    click.option(
        "--token-file", type=_FILE, envvar="OPTIINFRA_TOKEN_FILE", show_envvar=True, help="File with your token."
    ),
    click.option(
        "--token", envvar="OPTIINFRA_TOKEN", show_envvar=True, help="Your token; a file is safer.", hidden=True
    ),
)


def _client(url: str, token_file: Path | None, token: str | None) -> ApiClient:
    with _explained():
        return ApiClient(url, read_token(token_file) or token)


_format = click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


def _show(found: _Found, format_: str, show: Callable[[Console, _Found], None]) -> None:
    if format_ == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(terminal(), found)


@click.command()
@_connection
@click.option("--playbook", help="Only this playbook, such as P04.1.")
@click.option("--engine", help="Only this engine.")
@click.option("--gpu", help="Only this GPU.")
@click.option("--service", help="Only this service.")
@click.option("--metric", help="Only this metric, such as ttft_p95_seconds.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_format
def effects(
    url: str, token_file: Path | None, token: str | None, limit: int, format_: str, **filters: str | None
) -> None:
    """List what changes did, against what was predicted, the newest first."""
    with _explained():
        found = _client(url, token_file, token).effects(limit, **filters)
    _show(found, format_, show_effects)


@click.group()
@_connection
@click.pass_context
def workflows(context: click.Context, url: str, token_file: Path | None, token: str | None) -> None:
    """List, show, approve, reject and cancel workflows."""
    context.obj = _client(url, token_file, token)


@workflows.command("list")
@click.option("--state", multiple=True, help="Only these states; repeatable.")
@click.option("--service", help="Only this service.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_format
@click.pass_obj
def list_(client: ApiClient, state: tuple[str, ...], service: str | None, limit: int, format_: str) -> None:
    """List workflows, the newest first."""
    with _explained():
        found = client.workflows(state, service, limit)
    _show(found, format_, show_list)


@workflows.command()
@click.argument("workflow_id")
@_format
@click.pass_obj
def show(client: ApiClient, workflow_id: str, format_: str) -> None:
    """Show evidence, change, expected effect, state, verdicts and history."""
    with _explained():
        found = client.workflow(workflow_id)
    _show(found, format_, show_one)


def _decision(name: str, help_text: str) -> None:
    @workflows.command(name, help=help_text)
    @click.argument("workflow_id")
    @click.option("--comment", default="", help="Why; goes into the audit log.")
    @click.pass_obj
    def decide(client: ApiClient, workflow_id: str, comment: str) -> None:
        with _explained():
            workflow = client.decide(workflow_id, name, comment)
        click.echo(f"{workflow['id']} is {workflow['state']}: {workflow['plan']['title']}")


_decision("approve", "Approve a plan: OptiInfra carries it out.")
_decision("reject", "Reject a plan: nothing is done.")
_decision("cancel", "Stop a workflow: whatever was applied is undone.")
