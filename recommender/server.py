"""Puts the recommender together and runs it: store, loops, HTTP, and a clean end."""

import socket
import threading
from dataclasses import dataclass

import stamina
import structlog
from flask_openapi3.openapi import OpenAPI
from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

from recommender.auth import Tokens, load_tokens
from recommender.clock import Clock, SystemClock
from recommender.errors import ConfigError, StoreUnavailable
from recommender.executors import build
from recommender.health import (
    Health,
    Probe,
    alertmanager_probe,
    loop_probe,
    prometheus_probe,
    store_probe,
    watchdog_probe,
)
from recommender.heartbeats import HeartbeatCollector
from recommender.http.app import create_app
from recommender.http.context import Context
from recommender.inventory import Inventory, load_inventory
from recommender.ledger.metrics import EffectsCollector
from recommender.pipeline import Pipeline
from recommender.prometheus import PrometheusClient
from recommender.registry.metrics import AgentsCollector
from recommender.rollout.reconciler import Reconciler
from recommender.settings import Settings
from recommender.store import Database, Store
from recommender.store.store import new_id
from recommender.telemetry import HealthCollector, InventoryCollector, StoreCollector, Telemetry
from recommender.worker import Loop

_LOG = structlog.get_logger(__name__)
_PROBE_TIMEOUT_SECONDS = 2.0  # health answers before its asker gives up
_DATABASE_SECONDS = 30.0  # how long a start waits for PostgreSQL
_HISTORY_TIMEOUT_SECONDS = 0.5  # two queries; a plan is promised within 2 s of its alert and can do without them
_STOP_SECONDS = 20.0  # a restart command under way may take longer; it is resumed at the next start


@dataclass(frozen=True, slots=True)
class Recommender:
    """A recommender that is put together and not yet running."""

    app: OpenAPI
    loops: tuple[Loop, ...]
    database: Database

    def start(self) -> None:
        """Begin to look at incidents and to move workflows on."""
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """End the loops after the step that each is doing, and close the database."""
        stopping = [threading.Thread(target=loop.stop, args=(_STOP_SECONDS,)) for loop in self.loops]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self.database.close()


def assemble(settings: Settings, clock: Clock | None = None) -> Recommender:
    """Read inventory and tokens, migrate the database, wire the parts. Raises ConfigError, StoreUnavailable."""
    clock = clock or SystemClock()
    inventory, tokens = load_inventory(settings.inventory), load_tokens(settings.tokens_file)
    database = Database(settings.database())
    _migrate(database)
    return _wire(settings, inventory, tokens, database, clock)


def _migrate(database: Database) -> None:
    """Migrate; wait for a PostgreSQL that is still coming up, as it does when both start together.

    Each wait is logged by stamina, with the error. SQLite has nothing to come up, and waits for its lock by itself.
    """
    if database.dialect != "postgresql":
        database.migrate()
        return
    patient = stamina.RetryingCaller(
        attempts=None, timeout=_DATABASE_SECONDS, wait_initial=0.25, wait_max=4.0, wait_jitter=0.25
    )
    patient.on(StoreUnavailable)(database.migrate)


def _wire(settings: Settings, inventory: Inventory, tokens: Tokens, database: Database, clock: Clock) -> Recommender:
    store, telemetry = Store(database), Telemetry()
    promql = PrometheusClient(settings.prometheus_url, settings.prometheus_timeout_seconds)
    executors, owner = build(), _owner(settings)
    pipeline = Pipeline(
        store=store,
        promql=promql,
        inventory=inventory,
        executors=executors,
        clock=clock,
        owner=owner,
        ids=new_id,
        observe_latency=telemetry.planned,
        history=PrometheusClient(settings.prometheus_url, _HISTORY_TIMEOUT_SECONDS),
    )
    reconciler = Reconciler(store, promql, executors, inventory.targets, clock, owner)
    seconds = settings.polling_interval_seconds
    intake = Loop("intake", pipeline.run_once, clock, seconds, telemetry.loop_error)
    rollout = Loop("reconciler", reconciler.run_once, clock, seconds, telemetry.loop_error)
    health = Health(_probes(settings, store, clock, (intake, rollout)))
    telemetry.registry.register(StoreCollector(store, clock))
    telemetry.registry.register(EffectsCollector(store))
    telemetry.registry.register(AgentsCollector(store, clock))
    telemetry.registry.register(HealthCollector(health))
    telemetry.registry.register(HeartbeatCollector((intake, rollout), store, clock))
    telemetry.registry.register(InventoryCollector(inventory, executors))
    parts = Context(
        store=store,
        pipeline=pipeline,
        inventory=inventory,
        tokens=tokens,
        health=health,
        telemetry=telemetry,
        clock=clock,
        backlog_limit=settings.backlog_limit,
        max_body_bytes=settings.max_body_bytes,
        wake_intake=intake.wake,
        wake_reconciler=rollout.wake,
    )
    return Recommender(create_app(parts), (intake, rollout), database)


def _probes(settings: Settings, store: Store, clock: Clock, loops: tuple[Loop, ...]) -> list[Probe]:
    probes = [
        store_probe(store, clock),
        prometheus_probe(PrometheusClient(settings.prometheus_url, _PROBE_TIMEOUT_SECONDS)),
        *(loop_probe(loop, clock) for loop in loops),
        watchdog_probe(store, clock, settings.watchdog_timeout_seconds),
    ]
    if settings.alertmanager_url:
        probes.append(alertmanager_probe(settings.alertmanager_url, _PROBE_TIMEOUT_SECONDS))
    return probes


def _owner(settings: Settings) -> str:
    """Names this recommender in leases: the same after a restart, another one for another recommender."""
    return settings.agent_id or f"{socket.gethostname()}:{settings.port}"


def listen(recommender: Recommender, settings: Settings) -> MultiSocketServer | BaseWSGIServer:
    """Bind the port. Raises ConfigError when it is taken or not ours."""
    return create_server(
        recommender.app,
        sockets=[_bound(settings.listen_address, settings.port)],
        threads=settings.http_threads,
        ident=None,
        clear_untrusted_proxy_headers=True,
        # Above the application's own limit, so that it is the application that answers 413.
        max_request_body_size=4 * settings.max_body_bytes,
    )


def _bound(address: str, port: int) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family)
    except OSError as exc:
        raise ConfigError(f"cannot listen on {address}:{port}: {exc.strerror}; choose another with --port") from exc


def serve(recommender: Recommender, settings: Settings) -> None:
    """Answer until the process is told to stop (SystemExit or KeyboardInterrupt in this thread); then end cleanly."""
    try:
        server = listen(recommender, settings)
        port = getattr(server, "effective_port", settings.port)
        _LOG.info("recommender_listening", address=settings.listen_address, port=port)
        recommender.start()
        try:
            server.run()
        finally:
            server.close()
    finally:
        recommender.stop()
        _LOG.info("recommender_stopped")
