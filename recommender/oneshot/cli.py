"""`optiinfra diagnose`: the first command of a newcomer, against the Prometheus that is there already."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from exporters.catalog import COMPANIONS, Engine
from recommender.errors import RecommenderError
from recommender.inventory import load_inventory
from recommender.knobs.version import parse
from recommender.oneshot.client import Access, ReadingClient
from recommender.oneshot.options import access_options, checked_url, moment
from recommender.oneshot.read import Wish
from recommender.oneshot.report import ExitCode, Report, Source
from recommender.oneshot.run import run
from recommender.oneshot.show import markdown, text

_FILE = click.Path(path_type=Path, dir_okay=False)
_ENGINES = [engine.value for engine in Engine if engine not in COMPANIONS]
_INSTALL = """\
With OptiInfra's recording rules in your Prometheus, everything is judged (trends, budgets and capacity need history),
a diagnosis takes a few short queries, and alerts fire by themselves. Nothing else has to be installed where they run.

A Prometheus that reads files:
    optiinfra export prometheus --out /etc/prometheus/optiinfra
    # the folder's README has the lines for rule_files; then reload Prometheus

A Prometheus of the operator:
    optiinfra export operator --namespace monitoring --label release=prometheus --out manifests
    kubectl apply -f manifests

The rules expect the label `service` on the engines' targets (and `node`, where hosts and GPUs are to be joined), and
jobs that are named like the engine: docs/rules.md.
"""
_EPILOG = """\
Exit status: 0 healthy (or remarks only), 1 warning, 2 critical, 3 not enough evidence, 4 Prometheus could not be asked
or has no LLM series, or an option is wrong. Of several services the worst counts; 3 only where none is worse.
"""


class _WrongOption(click.UsageError):
    exit_code = ExitCode.COULD_NOT_ASK


class _Command(click.Command):
    """Ends with 4 where an option is wrong: click's own 2 is a critical service here."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401 - click's own arguments, passed on
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as exc:
            raise _WrongOption(exc.format_message(), exc.ctx) from exc


@click.command(cls=_Command, epilog=_EPILOG)
@click.option(
    "--prometheus",
    "url",
    metavar="URL",
    envvar="OPTIINFRA_PROMETHEUS_URL",
    show_envvar=True,
    default="http://127.0.0.1:9090",
    show_default=True,
    help="Prometheus, or what has its HTTP API (Thanos, Mimir, VictoriaMetrics), with the path prefix if there is one.",
)
@click.option("--service", metavar="NAME", help="Only this service; all are looked at otherwise.")
@click.option("--engine", type=click.Choice(_ENGINES), help="Only services of this engine.")
@click.option("--engine-version", metavar="VERSION", help="What its replicas run, where a direct scrape does not tell.")
@click.option(
    "--inventory",
    type=_FILE,
    envvar="OPTIINFRA_INVENTORY",
    show_envvar=True,
    help="Objectives, settings, model and hardware: makes advice a sized plan.",
)
@click.option(
    "--signals",
    type=click.Choice(["auto", *(source.value for source in Source)]),
    default="auto",
    show_default=True,
    help="What to read: what the rules record, or the engines' own series; auto takes recorded ones where there are.",
)
@click.option("--deep", is_flag=True, help="Without recording rules, also evaluate what reads back far: many seconds.")
@click.option("--format", "shape", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@access_options
@click.option("--install-rules", is_flag=True, help="Print how to bring the rules into this Prometheus, and stop.")
def diagnose(**options: object) -> None:
    """Say what limits the LLM services that a Prometheus sees, and the change that helps.

    Reads only, and needs nothing of OptiInfra there: without its recording rules they are evaluated over the engines'
    own series (vllm:*, sglang:*, tgi_*, trtllm:*, nv_trt_llm_*, llamacpp:*, dynamo_*) and those of dcgm-exporter,
    nvidia_gpu_exporter and node_exporter.
    """
    if options.pop("install_rules"):
        click.echo(_INSTALL, nl=False)
        return
    shape = options.pop("shape")
    try:
        report = _report(**options)  # type: ignore[arg-type]  # click's values, of the types that the options declare
    except (RecommenderError, click.UsageError) as exc:
        _fail(exc.message if isinstance(exc, click.UsageError) else str(exc))
    except Exception:  # noqa: BLE001 - a mistake of ours would end with 1, which is a warning about a service
        _fail(f"this is a mistake in OptiInfra, please report it:\n{traceback.format_exc()}")
    _show(report, str(shape))
    sys.exit(report.exit_code)


def _report(
    *,
    url: str,
    service: str | None,
    engine: str | None,
    engine_version: str | None,
    inventory: Path | None,
    at: str | None,
    signals: str,
    deep: bool,
    timeout: float,
    bearer_token_file: Path | None,
    username: str | None,
    password_file: Path | None,
    tenant: str | None,
    ca_file: Path | None,
) -> Report:
    if engine_version is not None and parse(engine_version) is None:
        raise click.UsageError(f"--engine-version {engine_version}: write it as the engine tells it: 0.32.0, b11434")
    wish = Wish(
        service=service,
        engine=engine,
        engine_version=engine_version,
        at=None if at is None else moment(at),
        source=None if signals == "auto" else Source(signals),
        deep=deep,
        inventory=load_inventory(inventory),
    )
    access = Access(bearer_token_file, username, password_file, tenant, ca_file)
    client = ReadingClient(checked_url(url), access, timeout_seconds=timeout)
    try:
        return run(client, wish)
    finally:
        client.close()


def _show(report: Report, shape: str) -> None:
    try:
        click.echo(_shaped(report, shape), nl=False, color=True)  # colours are there for a terminal alone
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`: what was read sufficed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _shaped(report: Report, shape: str) -> str:
    if shape == "json":
        return report.model_dump_json(indent=2) + "\n"
    if shape == "markdown":
        return markdown(report)
    console = Console(highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(text(report), end="")
    return captured.get()


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(ExitCode.COULD_NOT_ASK)
