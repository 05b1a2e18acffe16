"""`optiinfra exporter`: flags and their environment twins, resolved once."""

import signal
from types import FrameType
from typing import Any

import click

from exporters.app import ExporterApp
from exporters.errors import SettingsError
from exporters.inference.probe import Prober
from exporters.inference.targets import AllowList, TargetError
from exporters.logs import LEVELS, forward, logger
from exporters.node import about_exporter, node_guard
from exporters.options import host, node, probe, web
from exporters.options.group import option
from exporters.settings import ExporterSettings, ProbeSettings
from exporters.web.serve import http_server


@click.command(context_settings={"show_default": True})
@web.GROUP
@node.GROUP
@host.GROUP
@probe.GROUP
@option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    env=["OPTIINFRA_LOG_LEVEL", "LOG_LEVEL"],
    text="Least severe events to log.",
)
def exporter(*, log_level: str, **flags: Any) -> None:  # noqa: ANN401 - click's values; each group types its own
    """Serve this node's GPU and host metrics, and probe inference engines.

    Pages: /metrics, /probe?target=URL&engine=auto, /healthz.
    """
    try:
        settings = ExporterSettings(
            web=web.GROUP.settings(flags),
            node=node.GROUP.settings(flags),
            host=host.GROUP.settings(flags),
            probe=probe.GROUP.settings(flags),
        )
        run(settings, log_level)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def run(settings: ExporterSettings, log_level: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    log = logger(log_level)
    forward("waitress", log)
    guard = node_guard(settings.node, settings.host, log)
    prober, limit = _prober(settings.probe), settings.web.max_requests
    app = ExporterApp(guard, about_exporter(), prober=prober, log=log, max_requests=limit)
    server = http_server(app, settings.web, log)

    def stop(_: int, __: FrameType | None) -> None:
        server.stop()  # no logging here: the signal may have interrupted a log call that holds the stream's lock

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    log.info("exporter_listening", url=server.url, collectors=sorted(settings.node.collectors))
    server.run()
    log.info("exporter_stopped")


def _prober(settings: ProbeSettings) -> Prober:
    try:
        allowed = AllowList.parse(settings.allow)
    except TargetError as error:
        raise SettingsError(f"--probe-allow: {error}") from error
    return Prober(allowed, max_body_bytes=settings.max_bytes)
