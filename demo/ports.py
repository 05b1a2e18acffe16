"""The demo's ports: defaults, how to move them, and who is in the way."""

import dataclasses
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from demo.errors import DemoError

LOOPBACK = "127.0.0.1"
OFFSET_VARIABLE = "DEMO_PORT_OFFSET"
VARIABLES = {
    "recommender": "OPTIINFRA_RECOMMENDER_PORT",
    "exporter": "OPTIINFRA_EXPORTER_PORT",
    "prometheus": "OPTIINFRA_PROMETHEUS_PORT",
    "alertmanager": "OPTIINFRA_ALERTMANAGER_PORT",
    "grafana": "OPTIINFRA_GRAFANA_PORT",
    "engine": "OPTIINFRA_DEMO_ENGINE_PORT",
}
_HIGHEST = 65535


@dataclass(frozen=True, slots=True)
class Ports:
    """One port a server; `engine` is the first replica's, the others follow it."""

    recommender: int = 8002
    exporter: int = 8003
    prometheus: int = 9090
    alertmanager: int = 9093
    grafana: int = 3000
    engine: int = 8101

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Ports":
        """Defaults plus `DEMO_PORT_OFFSET`; a server's own variable overrides both. Raises DemoError."""
        offset = _number(environment, OFFSET_VARIABLE) or 0
        chosen = {
            field.name: _number(environment, VARIABLES[field.name]) or int(field.default) + offset
            for field in dataclasses.fields(cls)
            if isinstance(field.default, int)
        }
        for name, port in chosen.items():
            if not 0 < port <= _HIGHEST:
                raise DemoError(f"port {port} for {name} is not between 1 and {_HIGHEST}; set {VARIABLES[name]}")
        return cls(**chosen)

    def url(self, name: str) -> str:
        """Base URL of one server."""
        return f"http://{LOOPBACK}:{getattr(self, name)}"

    def engine_urls(self, replicas: int) -> list[str]:
        """Base URLs of the simulated engines."""
        return [f"http://{LOOPBACK}:{self.engine + index}" for index in range(replicas)]


def _number(environment: Mapping[str, str], variable: str) -> int | None:
    text = environment.get(variable, "").strip()
    try:
        return int(text) if text else None
    except ValueError:
        raise DemoError(f"{variable}={text} is not a number") from None


def refuse_taken(wanted: Iterable[tuple[str, int]]) -> None:
    """Raise DemoError naming every port of (server, port) that somebody listens on."""
    taken = [
        f"  {port} ({name}) is held by {_holder(port)}; another one: {VARIABLES[name]}=…"
        for name, port in wanted
        if not _is_free(port)
    ]
    if taken:
        raise DemoError(
            "these ports are in use:\n" + "\n".join(taken) + "\nEnd what holds them, set those variables, or move "
            f"all ports at once: {OFFSET_VARIABLE}=10000 make demo"
        )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT are no listeners
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """Name and pid of the listener, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens_there = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,)
            if listens_there and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return "a process of another user"
