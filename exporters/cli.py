"""`optiinfra exporter`: flags and their environment twins, resolved once."""

import signal
from types import FrameType
from typing import Any

import click
from prometheus_client import CollectorRegistry

from exporters.agent.build import Exporter, registration
from exporters.agent.figures import ScrapeCounter
from exporters.app import ExporterApp
from exporters.blackbox.config import load_config
from exporters.blackbox.probe import BlackboxProber
from exporters.errors import SettingsError
from exporters.inference.probe import Prober
from exporters.inference.targets import AllowList, TargetError
from exporters.logs import LEVELS, forward, logger
from exporters.node import about_exporter, node_guard
from exporters.options import agent, blackbox, gpu, host, node, probe, web
from exporters.options.group import option
from exporters.settings import BlackboxSettings, ExporterSettings, ProbeSettings
from exporters.web.serve import http_server


@click.command(context_settings={"show_default": True})
@web.GROUP
@node.GROUP
@host.GROUP
@gpu.GROUP
@probe.GROUP
@blackbox.GROUP
@agent.GROUP
@option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    env=["OPTIINFRA_LOG_LEVEL", "LOG_LEVEL"],
    text="Least severe events to log.",
)
def exporter(*, log_level: str, **flags: Any) -> None:  # noqa: ANN401 - click's values; each group types its own
    """Serve this node's GPU and host metrics, and probe inference engines.

    Pages: /metrics, /probe?target=URL&engine=auto, /probe?module=NAME&target=URL, /healthz.
    """
    try:
        settings = ExporterSettings(
            web=web.GROUP.settings(flags),
            node=node.GROUP.settings(flags),
            host=host.GROUP.settings(flags),
            gpu=gpu.GROUP.settings(flags),
            probe=probe.GROUP.settings(flags),
            blackbox=blackbox.GROUP.settings(flags),
            agent=agent.GROUP.settings(flags),
        )
        run(settings, log_level)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def run(settings: ExporterSettings, log_level: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    log = logger(log_level)
    forward("waitress", log)
    with node_guard(settings.node, settings.host, settings.gpu, log) as guard:
        about, allowed = about_exporter(), _allowed(settings.probe)
        prober, limit = Prober(allowed, max_body_bytes=settings.probe.max_bytes), settings.web.max_requests
        completions = _completions(settings.blackbox, allowed, about)
        app = ExporterApp(guard, about, prober=prober, blackbox=completions, log=log, max_requests=limit)
        scrapes = ScrapeCounter(app)
        server = http_server(scrapes, settings.web, log)
        probes = bool(settings.probe.allow)
        itself = Exporter(guard, scrapes, server.url, probe=probes, blackbox=completions is not None)

        def stop(_: int, __: FrameType | None) -> None:
            server.stop()  # no logging here: the signal may have interrupted a log call that holds the stream's lock

        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, stop)
        with registration(settings.agent, itself, about, log):
            log.info("exporter_listening", url=server.url, collectors=sorted(settings.node.collectors))
            server.run()
    log.info("exporter_stopped")


def _allowed(settings: ProbeSettings) -> AllowList:
    try:
        return AllowList.parse(settings.allow)
    except TargetError as error:
        raise SettingsError(f"--probe-allow: {error}") from error


def _completions(settings: BlackboxSettings, allowed: AllowList, about: CollectorRegistry) -> BlackboxProber | None:
    if settings.config_file is None:
        return None
    prober = BlackboxProber(load_config(settings.config_file), allowed)
    about.register(prober.tally)
    return prober
