"""Runs the exporter as its settings say, until it is told to stop."""

import logging
import resource
import signal
import sys
from types import FrameType

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from exporters.agent.build import Exporter, orchestrator_of, registration
from exporters.agent.figures import ScrapeCounter
from exporters.app import ExporterApp
from exporters.blackbox.config import load_config
from exporters.blackbox.probe import BlackboxProber
from exporters.errors import SettingsError
from exporters.guard import Guard
from exporters.inference.probe import Prober
from exporters.inference.targets import AllowList, TargetError
from exporters.logs import forward, logger
from exporters.node import about_exporter, node_guard
from exporters.settings import BlackboxSettings, DemoSettings, ExporterSettings, ProbeSettings
from exporters.web.serve import http_server

# A connection with TLS takes three, a probe one; the usual limit of 1024 is for programs that use select().
_OPEN_FILES = 8192
# How long a thread keeps the interpreter from the others. The one that takes requests gives it up at each system call,
# and with Python's 5 ms it would take a few dozen a second while pages are read.
_SWITCH_SECONDS = 0.001


def run(settings: ExporterSettings, log_level: str) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError when the settings cannot be used."""
    log = logger(log_level)
    forward("waitress", log)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line for each request that waits
    sys.setswitchinterval(_SWITCH_SECONDS)
    _allow_open_files(_OPEN_FILES)
    if settings.demo:
        log.warning("gpus_are_synthetic", scenario=settings.demo.scenario.value, seed=settings.demo.seed)
    with node_guard(settings.node, settings.host, settings.gpu, log, settings.demo) as guard:
        _serve(settings, guard, log)
    log.info("exporter_stopped")


def _serve(settings: ExporterSettings, guard: Guard, log: FilteringBoundLogger) -> None:
    orchestrator = orchestrator_of(settings.agent)  # what cannot be used is told before a port is taken
    about, allowed = about_exporter(demo=settings.demo is not None), _allowed(settings.probe)
    completions = _completions(settings.blackbox, allowed, about)
    app = ExporterApp(
        guard,
        about,
        prober=Prober(allowed, max_body_bytes=settings.probe.max_bytes),
        blackbox=completions,
        log=log,
        max_requests=settings.web.max_requests,
        notice=_notice(settings.demo),
    )
    scrapes = ScrapeCounter(app)
    server = http_server(scrapes, settings.web, log)
    probes = bool(settings.probe.allow)
    itself = Exporter(guard, scrapes, server.url, probe=probes, blackbox=completions is not None)

    def stop(_: int, __: FrameType | None) -> None:
        server.stop()  # no logging here: the signal may have interrupted a log call that holds the stream's lock

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    with registration(settings.agent, orchestrator, itself, about, log):
        log.info("exporter_listening", url=server.url, collectors=sorted(settings.node.collectors))
        server.run()


def _notice(demo: DemoSettings | None) -> str | None:
    return f"Demo: the GPUs are synthetic (scenario {demo.scenario}). The host is real." if demo else None


def _allow_open_files(wanted: int) -> None:
    """Raise this process's own limit towards what the system lets it have, as Go programs do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


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
