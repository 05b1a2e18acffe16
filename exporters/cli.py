"""`optiinfra exporter`: flags and their environment twins, resolved once."""

import signal
from types import FrameType

import click

from exporters.app import ExporterApp
from exporters.catalog import Collector
from exporters.errors import SettingsError
from exporters.inference.probe import MAX_BODY_BYTES, Prober
from exporters.inference.targets import AllowList, TargetError
from exporters.logs import LEVELS, forward, logger
from exporters.node import about_exporter, node_guard
from exporters.server import HttpServer
from exporters.settings import ExporterSettings, ProbeSettings, chosen_collectors

_NAMES = ", ".join(Collector)


def _split(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Let an option be repeated, or hold several values between commas, as its environment twin does."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@click.command(context_settings={"show_default": True})
@click.option(
    "--listen-address",
    default="127.0.0.1",
    envvar="OPTIINFRA_EXPORTER_LISTEN_ADDRESS",
    show_envvar=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8003,
    envvar=["OPTIINFRA_EXPORTER_PORT", "PORT"],
    show_envvar=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    envvar=["OPTIINFRA_LOG_LEVEL", "LOG_LEVEL"],
    show_envvar=True,
    help="Least severe events to log.",
)
@click.option(
    "--collectors",
    multiple=True,
    callback=_split,
    envvar="OPTIINFRA_EXPORTER_COLLECTORS",
    show_envvar=True,
    metavar="NAME,…",
    help=f"Collectors to run, all when not given: {_NAMES}.",
)
@click.option(
    "--no-collectors",
    multiple=True,
    callback=_split,
    envvar="OPTIINFRA_EXPORTER_NO_COLLECTORS",
    show_envvar=True,
    metavar="NAME,…",
    help="Collectors to leave out.",
)
@click.option(
    "--collector-timeout-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    envvar="OPTIINFRA_EXPORTER_COLLECTOR_TIMEOUT_SECONDS",
    show_envvar=True,
    help="How long a scrape waits for a driver or a disk.",
)
@click.option(
    "--probe-allow",
    multiple=True,
    callback=_split,
    envvar="OPTIINFRA_PROBE_ALLOW",
    show_envvar=True,
    metavar="HOST:PORT,…",
    help="Engines that /probe may read: host:port, host:*, network/bits, network/bits:port. None when not given.",
)
@click.option(
    "--probe-max-bytes",
    type=click.IntRange(min=1),
    default=MAX_BODY_BYTES,
    envvar="OPTIINFRA_PROBE_MAX_BYTES",
    show_envvar=True,
    help="Largest engine page that a probe reads.",
)
def exporter(
    *,
    listen_address: str,
    port: int,
    log_level: str,
    collectors: tuple[str, ...],
    no_collectors: tuple[str, ...],
    collector_timeout_seconds: float,
    probe_allow: tuple[str, ...],
    probe_max_bytes: int,
) -> None:
    """Serve this node's GPU and host metrics, and probe inference engines.

    Pages: /metrics, /probe?target=URL&engine=auto, /healthz.
    """
    try:
        run(
            ExporterSettings(
                listen_address=listen_address,
                port=port,
                collectors=chosen_collectors(collectors, no_collectors),
                collector_timeout_seconds=collector_timeout_seconds,
                probe=ProbeSettings(probe_allow, probe_max_bytes),
            ),
            log_level,
        )
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def run(settings: ExporterSettings, log_level: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    log = logger(log_level)
    forward("waitress", log)
    app = ExporterApp(node_guard(settings, log), about_exporter(), prober=_prober(settings.probe), log=log)
    server = HttpServer(app, host=settings.listen_address, port=settings.port)

    def stop(_: int, __: FrameType | None) -> None:
        server.stop()  # no logging here: the signal may have interrupted a log call that holds the stream's lock

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    log.info("exporter_listening", url=server.url, collectors=sorted(settings.collectors))
    server.run()
    log.info("exporter_stopped")


def _prober(settings: ProbeSettings) -> Prober:
    try:
        allowed = AllowList.parse(settings.allow)
    except TargetError as error:
        raise SettingsError(f"--probe-allow: {error}") from error
    return Prober(allowed, max_body_bytes=settings.max_bytes)
