"""What the demo runs and the files that it needs: prepared on disk, then handed to the supervisor as a list."""

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from demo import render
from demo.errors import DemoError
from demo.paths import ROOT, Paths
from demo.ports import LOOPBACK, Ports, refuse_taken
from recommender.errors import ConfigError
from recommender.inventory import Inventory, load_inventory

BACKLOG_PER_REPLICA = 25
ROLES = ("viewer", "approver", "admin", "agent", "alert_source")


@dataclass(frozen=True, slots=True)
class Command:
    """One supervised process."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside the inherited ones."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Programs that are not Python packages; `grafana` is optional."""

    prometheus: str
    alertmanager: str
    grafana: tuple[str, ...] | None

    @classmethod
    def find(cls, search_path: str | None) -> "Binaries":
        """Look on `search_path` under Debian's and upstream's names; raises DemoError with what to install."""
        prometheus = shutil.which("prometheus", path=search_path)
        alertmanager = shutil.which("prometheus-alertmanager", path=search_path) or shutil.which(
            "alertmanager", path=search_path
        )
        missing = [
            package
            for package, program in (("prometheus", prometheus), ("prometheus-alertmanager", alertmanager))
            if program is None
        ]
        if prometheus is None or alertmanager is None:
            raise DemoError(
                f"not on PATH: {' and '.join(missing)}. Install with: sudo apt-get install {' '.join(missing)}\n"
                "or use containers instead: docker compose --profile demo up"
            )
        server = shutil.which("grafana-server", path=search_path)
        program = shutil.which("grafana", path=search_path)
        return cls(prometheus, alertmanager, (server,) if server else (program, "server") if program else None)


@dataclass(frozen=True, slots=True)
class Stack:
    """One run of the demo. `own_inventory` is the user's file: real engines in place of simulated ones."""

    paths: Paths
    ports: Ports
    binaries: Binaries
    own_inventory: Path | None = None

    @property
    def inventory(self) -> Path:
        """The inventory that recommender and story read."""
        return self.own_inventory or self.paths.inventory

    def check(self) -> Inventory | None:
        """Refuse what cannot work before anything is written: a faulty inventory, taken ports. Raises DemoError."""
        inventory = self._read_own_inventory()
        wanted = [
            (name, getattr(self.ports, name)) for name in ("recommender", "exporter", "prometheus", "alertmanager")
        ]
        if self.binaries.grafana is not None:
            wanted.append(("grafana", self.ports.grafana))
        if inventory is None:
            wanted += [("engine", self.ports.engine + index) for index in range(render.REPLICAS)]
        refuse_taken(wanted)
        return inventory

    def prepare(self) -> None:
        """Write everything under the run directory. Measurements of an earlier simulated run are removed."""
        if self.own_inventory is None:
            for left_over in (self.paths.run / "data", self.paths.run / "engines"):
                shutil.rmtree(left_over, ignore_errors=True)
        for directory in (self.paths.logs, self.paths.prometheus_data, self.paths.alertmanager_data):
            directory.mkdir(parents=True, exist_ok=True)
        self._write_tokens()
        self._write_servers()
        if self.own_inventory is None:
            self._write_fleet()

    def commands(self) -> list[Command]:
        """All processes; the story, last, is the one whose end ends the demo."""
        fleet = [] if self.own_inventory else [*self._engines(), self._load()]
        grafana = [] if self.binaries.grafana is None else [self._grafana(self.binaries.grafana)]
        return [*fleet, self._exporter(), self._recommender(), self._prometheus(), self._alertmanager(), *grafana]

    def probe_targets(self) -> list[str]:
        """host:port of every engine: what the exporter may probe."""
        inventory = self._read_own_inventory()
        if inventory is None:
            return [urlsplit(url).netloc for url in self.ports.engine_urls(render.REPLICAS)]
        return [replica.instance for service in inventory.services.values() for replica in service.replicas]

    def _read_own_inventory(self) -> Inventory | None:
        if self.own_inventory is None:
            return None
        try:
            return load_inventory(self.own_inventory)
        except ConfigError as error:
            raise DemoError(str(error)) from error

    def _write_tokens(self) -> None:
        files = {role: self.paths.token(role) for role in ROLES}
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                _write_private(path, secrets.token_urlsafe(32) + "\n")
        _write_private(self.paths.tokens, yaml.safe_dump(render.tokens(files), sort_keys=False))

    def _write_servers(self) -> None:
        prometheus = render.prometheus_config(
            _load(ROOT / "rules" / "prometheus.yml"),
            directory=ROOT / "rules",
            ports=self.ports,
            token=self.paths.token("viewer"),
        )
        alertmanager = render.alertmanager_config(
            _load(ROOT / "alertmanager" / "alertmanager.yml"),
            directory=ROOT / "alertmanager",
            ports=self.ports,
            token=self.paths.token("alert_source"),
        )
        _write_yaml(self.paths.prometheus, prometheus)
        _write_yaml(self.paths.alertmanager, alertmanager)

    def _write_fleet(self) -> None:
        engines = []
        for number, url in enumerate(self.ports.engine_urls(render.REPLICAS), start=1):
            config, pid_file = self.paths.engine_config(number), self.paths.engine_pid(number)
            config.parent.mkdir(parents=True, exist_ok=True)
            _write_yaml(config, render.engine_config(self.ports.engine + number - 1))
            engines.append(
                {
                    "url": url,
                    "config_file": str(config),
                    "restart_command": [sys.executable, "-m", "demo.restart", str(pid_file)],
                }
            )
        _write_yaml(self.paths.inventory, render.inventory(self.ports, engines))

    def _engines(self) -> list[Command]:
        return [
            Command(
                f"engine-{number}",
                (
                    *(sys.executable, "-m", "demo.keeper", str(self.paths.engine_pid(number)), "--"),
                    *(sys.executable, "-m", "demo.engine", "--config", str(self.paths.engine_config(number))),
                ),
            )
            for number in range(1, render.REPLICAS + 1)
        ]

    def _load(self) -> Command:
        urls = self.ports.engine_urls(render.REPLICAS)
        # A queue from the first scrape on: rules that ask for two minutes of waiting need not wait for one to build up.
        backlog = ("--backlog", str(BACKLOG_PER_REPLICA * len(urls)))
        return Command("load", (sys.executable, "-m", "demo.load", "--model", render.MODEL, *backlog, *urls))

    def _exporter(self) -> Command:
        return Command(
            "exporter",
            (_console_script(), "exporter"),
            {
                "OPTIINFRA_EXPORTER_LISTEN_ADDRESS": LOOPBACK,
                "OPTIINFRA_EXPORTER_PORT": str(self.ports.exporter),
                "OPTIINFRA_PROBE_ALLOW": ",".join(self.probe_targets()),
            },
        )

    def _recommender(self) -> Command:
        return Command(
            "recommender",
            (_console_script(), "recommender"),
            {
                "OPTIINFRA_RECOMMENDER_LISTEN_ADDRESS": LOOPBACK,
                "OPTIINFRA_RECOMMENDER_PORT": str(self.ports.recommender),
                "OPTIINFRA_INVENTORY": str(self.inventory.resolve()),
                "OPTIINFRA_TOKENS_FILE": str(self.paths.tokens),
                "OPTIINFRA_PROMETHEUS_URL": self.ports.url("prometheus"),
                "OPTIINFRA_ALERTMANAGER_URL": self.ports.url("alertmanager"),
                "DATABASE_URL": f"sqlite:///{self.paths.database}",
            },
        )

    def _prometheus(self) -> Command:
        return Command(
            "prometheus",
            (
                self.binaries.prometheus,
                f"--config.file={self.paths.prometheus}",
                f"--storage.tsdb.path={self.paths.prometheus_data}",
                f"--web.listen-address={LOOPBACK}:{self.ports.prometheus}",
                "--log.level=warn",
            ),
        )

    def _alertmanager(self) -> Command:
        return Command(
            "alertmanager",
            (
                self.binaries.alertmanager,
                f"--config.file={self.paths.alertmanager}",
                f"--storage.path={self.paths.alertmanager_data}",
                f"--web.listen-address={LOOPBACK}:{self.ports.alertmanager}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ),
        )

    def _grafana(self, program: tuple[str, ...]) -> Command:
        home = Path("/usr/share/grafana")
        return Command(
            "grafana",
            (*program, *((f"--homepath={home}",) if home.is_dir() else ())),
            {
                "GF_SERVER_HTTP_ADDR": LOOPBACK,
                "GF_SERVER_HTTP_PORT": str(self.ports.grafana),
                "GF_PATHS_DATA": str(self.paths.grafana / "data"),
                "GF_PATHS_LOGS": str(self.paths.grafana / "logs"),
                "GF_PATHS_PLUGINS": str(self.paths.grafana / "plugins"),
                "GF_PATHS_PROVISIONING": str(ROOT / "dashboards" / "provisioning"),
                "PROMETHEUS_URL": self.ports.url("prometheus"),
                "OPTIINFRA_DASHBOARDS": str(ROOT / "dashboards" / "generated"),
                "GF_AUTH_ANONYMOUS_ENABLED": "true",
                "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            },
        )


def _console_script() -> str:
    """The `optiinfra` of this interpreter's environment, on PATH or not."""
    return str(Path(sys.executable).with_name("optiinfra"))


def _load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise DemoError(f"{path} is not a YAML mapping")
    return content


def _write_yaml(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
