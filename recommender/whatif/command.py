"""`optiinfra whatif`: by a running recommender, or straight from a Prometheus and an inventory."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from recommender.client import ApiClient, ApiError, read_token
from recommender.errors import RecommenderError
from recommender.inventory import load_inventory
from recommender.model import KnobValue
from recommender.oneshot.client import Access, ReadingClient
from recommender.oneshot.options import access_options, checked_url, moment
from recommender.oneshot.report import Source
from recommender.whatif.direct import Place, ask_directly
from recommender.whatif.model import LoadWish, WhatIf, Wish
from recommender.whatif.text import markdown, text

_FILE = click.Path(path_type=Path, dir_okay=False)
_NOT_ENOUGH = 3  # as `optiinfra diagnose` has it
_EPILOG = """\
Exit status: 0 predicted, 1 failed or refused, 2 wrong usage, 3 something is unknown that the prediction needs.

\b
  optiinfra whatif chat --set max_running_requests=256
  optiinfra whatif chat --set prefix_caching=on --load prefix_hit_ratio=0.4
  optiinfra whatif chat --set max_running_requests=256 --prometheus http://prometheus:9090 --inventory inventory.yml
  optiinfra whatif vllm --set tensor_parallel_size=2 --prometheus http://prometheus:9090 \\
      --given model=meta-llama/Llama-3.1-8B-Instruct --given gpu=h100_sxm --given gpus_per_replica=1
"""


@click.command(epilog=_EPILOG)
@click.argument("service")
@click.option("--set", "settings", multiple=True, metavar="KNOB=VALUE", help="A knob by neutral name; repeatable.")
@click.option(
    "--load",
    "loads",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Another load of one replica: prompt_tokens, output_tokens, arrivals_per_second, clients, prefix_hit_ratio.",
)
@click.option("--instance", help="The replica, host:port; the busiest one otherwise.")
@click.option("--format", "shape", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option("--url", default="http://127.0.0.1:8002", envvar="OPTIINFRA_URL", show_envvar=True, show_default=True)
@click.option("--token-file", type=_FILE, envvar="OPTIINFRA_TOKEN_FILE", show_envvar=True, help="File with your token.")
@click.option("--token", envvar="OPTIINFRA_TOKEN", show_envvar=True, help="Your token; a file is safer.", hidden=True)
@click.option("--prometheus", metavar="URL", help="Read this Prometheus; no recommender, and no rules, are needed.")
@click.option("--inventory", type=_FILE, envvar="OPTIINFRA_INVENTORY", show_envvar=True, help="With --prometheus.")
@click.option(
    "--given",
    "facts",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --prometheus, what nothing tells: model, model_config, gpu, gpus_per_replica, weight_dtype, or a knob "
    "as it is now; repeatable.",
)
@click.option(
    "--signals",
    type=click.Choice(["auto", *(source.value for source in Source)]),
    default="auto",
    show_default=True,
    help="With --prometheus: what the rules record, or the engines' own series.",
)
@access_options
def whatif(
    *,
    service: str,
    settings: tuple[str, ...],
    loads: tuple[str, ...],
    instance: str | None,
    shape: str,
    url: str,
    token_file: Path | None,
    token: str | None,
    prometheus: str | None,
    inventory: Path | None,
    facts: tuple[str, ...],
    signals: str,
    at: str | None,
    timeout: float,
    **access: Any,  # noqa: ANN401 - the fields of `Access`
) -> None:
    """Predict what SERVICE would do with other settings or another load. Nothing is changed."""
    wish = _wish(settings, loads, instance)
    given = {name: _value(value) for name, value in _pairs("--given", facts).items()}
    if prometheus is None and (given or at):
        raise click.UsageError("--given and --at go with --prometheus: a recommender has its inventory, and its clock")
    try:
        if prometheus is None:
            answer = WhatIf.model_validate(
                ApiClient(url, read_token(token_file) or token).what_if(service, wish.model_dump(exclude_none=True))
            )
        else:
            place = Place(
                inventory=load_inventory(inventory),
                given=given,
                source=None if signals == "auto" else Source(signals),
                at=None if at is None else moment(at),
            )
            client = ReadingClient(checked_url(prometheus), Access(**access), timeout_seconds=timeout)
            with closing(client):
                answer = ask_directly(client, service, wish, place)
    except (RecommenderError, ApiError) as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(_shaped(answer, shape), nl=False)
    if answer.limited_by_after is None:
        sys.exit(_NOT_ENOUGH)


def _shaped(answer: WhatIf, shape: str) -> str:
    if shape == "json":
        return answer.model_dump_json(indent=2) + "\n"
    return markdown(answer) if shape == "markdown" else text(answer)


def _wish(settings: tuple[str, ...], loads: tuple[str, ...], instance: str | None) -> Wish:
    if not settings and not loads:
        raise click.UsageError("say what to look at: --set knob=value, or --load name=number")
    values = {name: _value(value) for name, value in _pairs("--set", settings).items()}
    given = _pairs("--load", loads)
    try:
        return Wish(settings=values, load=LoadWish.model_validate(given), instance=instance)
    except ValidationError as exc:
        wrong = (f"--load {'.'.join(map(str, one['loc']))}: {_wrong(one['type'], one['msg'])}" for one in exc.errors())
        raise click.UsageError("; ".join(wrong)) from exc


def _wrong(kind: str, message: str) -> str:
    return f"there is none; it takes {', '.join(LoadWish.model_fields)}" if kind == "extra_forbidden" else message


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name or not value:
            raise click.UsageError(f"{option} {one}: write it as name=value")
        if name in found:
            raise click.UsageError(f"{option} {name} is given twice")
        found[name] = value
    return found


def _value(written: str) -> KnobValue:
    """A number where it is one; words are the knob's affair."""
    try:
        value = json.loads(written)
    except ValueError:
        return written
    return value if isinstance(value, bool | int | float) else written
