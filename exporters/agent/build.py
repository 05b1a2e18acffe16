"""Puts the agent together from its settings and what it tells of."""

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import stamina
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from exporters import __version__
from exporters.agent.agent import Agent, Identity
from exporters.agent.client import Orchestrator, OrchestratorError, read_token
from exporters.agent.figures import Figures, Offer, ScrapeCounter, own_use
from exporters.errors import SettingsError
from exporters.guard import Guard
from exporters.inference.targets import TargetError
from exporters.settings import AgentSettings

_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Exporter:
    """The exporter that an agent speaks for."""

    guard: Guard
    scrapes: ScrapeCounter
    listening_at: str
    probe: bool
    blackbox: bool


@contextmanager
def registration(
    settings: AgentSettings | None,
    orchestrator: Orchestrator | None,
    exporter: Exporter,
    about: CollectorRegistry,
    log: FilteringBoundLogger,
) -> Iterator[None]:
    """Keep `exporter` registered while the block runs, and its agent's metrics in `about`; nothing without settings."""
    if settings is None or orchestrator is None:
        yield
        return
    agent = _build(settings, orchestrator, exporter, log)
    about.register(agent)
    agent.start()
    try:
        yield
    finally:
        agent.stop()


def orchestrator_of(settings: AgentSettings | None) -> Orchestrator | None:
    """The orchestrator that the settings name. Raises SettingsError for a URL or a token file that cannot be used."""
    if settings is None:
        return None
    try:
        found = Orchestrator.at(
            settings.orchestrator_url, settings.path_prefix, settings.token_file, clock=time.monotonic
        )
    except TargetError as error:
        raise SettingsError(f"--orchestrator-url: {error}") from None
    if settings.token_file is not None:
        try:
            read_token(settings.token_file)
        except OrchestratorError as error:
            raise SettingsError(f"--agent-token-file: {error}") from None
    return found


def _build(settings: AgentSettings, orchestrator: Orchestrator, exporter: Exporter, log: FilteringBoundLogger) -> Agent:
    # Every attempt is counted and every change of outcome logged by the agent itself.
    stamina.instrumentation.set_on_retry_hooks([])
    guard, scrapes = exporter.guard, exporter.scrapes
    offer = Offer(
        hostname=socket.gethostname(),
        version=__version__,
        exporter_url=settings.exporter_url or _reachable(exporter.listening_at),
        heartbeat_seconds=settings.heartbeat_seconds,
        collectors=guard.names,
        probe=exporter.probe,
        blackbox=exporter.blackbox,
    )
    figures = Figures(offer, collect=guard.collect, scrapes=lambda: scrapes.served, use=own_use, clock=time.monotonic)
    return Agent(
        Identity(settings.agent_id, settings.heartbeat_seconds),
        orchestrator,
        about=figures.about,
        figures=figures.figures,
        clock=time.monotonic,
        now=time.time,
        jitter=random.random,
        log=log,
    )


def _reachable(url: str) -> str:
    """`url`, with this host's name where it listens on every address."""
    parts = urlsplit(url)
    if parts.hostname not in _ANY_ADDRESS:
        return url
    return f"{parts.scheme}://{socket.gethostname()}:{parts.port}"
