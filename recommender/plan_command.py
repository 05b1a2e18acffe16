"""`optiinfra plan`: the change that would be proposed now, with its proof; or its patch alone, for a file or a pipe."""

import json
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from recommender.client import ApiClient, ApiError, read_token
from recommender.diagnosis.text import escaped, plain
from recommender.errors import RecommenderError
from recommender.inventory import load_inventory
from recommender.model import Diagnosis, Plan
from recommender.oneshot.client import Access, ReadingClient
from recommender.oneshot.options import access_options, checked_url, moment
from recommender.oneshot.read import Wish
from recommender.oneshot.run import run
from recommender.oneshot.show import plan_markdown
from recommender.render_plan import plan_parts, show_parts
from recommender.terminal import terminal

_FILE = click.Path(path_type=Path, dir_okay=False)
_PATCHES = ("engine-config", "cli", "environment", "helm-values", "compose")
_NOTHING = 3  # as `optiinfra whatif` has it
_EPILOG = """\
Exit status: 0 a change is proposed, 1 failed, 2 wrong usage, 3 no change: nothing to do, advice only, something unknown
that a change needs, or no such patch.

\b
  optiinfra plan chat
  optiinfra plan chat --patch helm-values > values-patch.yml
  optiinfra plan chat --prometheus http://prometheus:9090 --inventory inventory.yml --format markdown
"""


@dataclass(frozen=True, slots=True)
class _Found:
    diagnosis: Diagnosis
    plan: Plan | None
    admission: str = ""


@click.command(epilog=_EPILOG)
@click.argument("service")
@click.option("--patch", type=click.Choice(_PATCHES), help="Print only this patch of the change.")
@click.option("--format", "shape", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--url", default="http://127.0.0.1:8002", envvar="OPTIINFRA_URL", show_envvar=True, show_default=True)
@click.option("--token-file", type=_FILE, envvar="OPTIINFRA_TOKEN_FILE", show_envvar=True, help="File with your token.")
@click.option("--token", envvar="OPTIINFRA_TOKEN", show_envvar=True, help="Your token; a file is safer.", hidden=True)
@click.option("--prometheus", metavar="URL", help="Read this Prometheus; no recommender, and no rules, are needed.")
@click.option("--inventory", type=_FILE, envvar="OPTIINFRA_INVENTORY", show_envvar=True, help="With --prometheus.")
@access_options
def plan(*, service: str, patch: str | None, shape: str, prometheus: str | None, **options: Any) -> None:  # noqa: ANN401 - click's
    """Plan SERVICE now: the change that would be proposed, why it fits, what it brings, how to write it.

    Asks a running recommender, which knows what changes did here before, or with --prometheus reads a Prometheus
    itself. Nothing is stored, and nothing is changed.
    """
    if prometheus is None and options["at"]:
        raise click.UsageError("--at goes with --prometheus: a recommender plans for now")
    try:
        found = _by_recommender(service, options) if prometheus is None else _by_reading(service, prometheus, options)
    except (RecommenderError, ApiError) as exc:
        raise click.ClickException(str(exc)) from exc
    if patch is not None:
        _show_patch(found, patch)
    elif shape == "json":
        click.echo(json.dumps(_data(found), indent=2, ensure_ascii=False))
    elif shape == "markdown":
        click.echo("\n".join(_markdown(service, found)))
    else:
        _show(found)
    if found.plan is None or found.plan.change is None:
        sys.exit(_NOTHING)


def _by_recommender(service: str, options: dict[str, Any]) -> _Found:
    client = ApiClient(options["url"], read_token(options["token_file"]) or options["token"])
    told = client.plan(service)
    made = None if told["plan"] is None else Plan.model_validate(told["plan"])
    return _Found(Diagnosis.model_validate(told["diagnosis"]), made, str(told["admission"]))


def _by_reading(service: str, url: str, options: dict[str, Any]) -> _Found:
    at = None if options["at"] is None else moment(options["at"])
    wish = Wish(service=service, at=at, inventory=load_inventory(options["inventory"]))
    names = ("bearer_token_file", "username", "password_file", "tenant", "ca_file")
    access = Access(**{name: options[name] for name in names})
    with closing(ReadingClient(checked_url(url), access, timeout_seconds=options["timeout"])) as client:
        (report,) = run(client, wish).services
    return _Found(report.diagnosis, report.plan)


def _show_patch(found: _Found, wanted: str) -> None:
    patches = () if found.plan is None else found.plan.patches
    content = next((one.content for one in patches if one.format == wanted), None)
    if content is None:
        why = f"it has {', '.join(one.format for one in patches)}" if patches else _nothing(found)
        click.echo(f"No patch {wanted}: {why}", err=True)
        sys.exit(_NOTHING)
    click.echo(content, nl=False)


def _nothing(found: _Found) -> str:
    return plain(found.diagnosis.text if found.plan is None else found.plan.title)


def _data(found: _Found) -> dict[str, Any]:
    return {
        "diagnosis": found.diagnosis.model_dump(mode="json"),
        "plan": None if found.plan is None else found.plan.model_dump(mode="json"),
        "admission": found.admission,
    }


def _markdown(service: str, found: _Found) -> list[str]:
    lines = [f"## {escaped(service)}", "", escaped(found.diagnosis.text)]
    if found.plan is None:
        return [*lines, "", "No plan: nothing is to be done."]
    return [*lines, *plan_markdown(found.plan), *(["", escaped(found.admission)] if found.admission else [])]


def _show(found: _Found) -> None:
    console = terminal()
    console.print(Text(plain(found.diagnosis.text)))
    console.print()
    if found.plan is None:
        console.print("No plan: nothing is to be done.")
        return
    console.print(Text(plain(found.plan.title), "bold"))
    if found.admission:
        console.print(Text(plain(found.admission)))
    show_parts(console, plan_parts(found.plan.model_dump(mode="json")))
