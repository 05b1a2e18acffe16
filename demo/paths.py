"""Where the demo's run-time files lie: all under one directory that git ignores."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Paths:
    """File names under the run directory; nothing here touches the disk."""

    run: Path

    @property
    def state(self) -> Path:
        """Pid of the supervisor and the process groups that it started."""
        return self.run / "demo.pid"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.run / "logs"

    @property
    def inventory(self) -> Path:
        """The simulated fleet's inventory."""
        return self.run / "inventory.yml"

    @property
    def prometheus(self) -> Path:
        """Rendered Prometheus configuration."""
        return self.run / "prometheus.yml"

    @property
    def alertmanager(self) -> Path:
        """Rendered Alertmanager configuration."""
        return self.run / "alertmanager.yml"

    @property
    def tokens(self) -> Path:
        """The recommender's tokens file."""
        return self.run / "tokens.yml"

    @property
    def database(self) -> Path:
        """The recommender's SQLite file."""
        return self.run / "data" / "optiinfra.db"

    @property
    def prometheus_data(self) -> Path:
        """Prometheus' storage."""
        return self.run / "data" / "prometheus"

    @property
    def alertmanager_data(self) -> Path:
        """Alertmanager's storage."""
        return self.run / "data" / "alertmanager"

    @property
    def grafana(self) -> Path:
        """Grafana's data."""
        return self.run / "grafana"

    def token(self, role: str) -> Path:
        """The token of a role, one line."""
        return self.run / "tokens" / role

    def engine_config(self, number: int) -> Path:
        """Configuration file of replica `number`, from 1."""
        return self.run / "engines" / f"replica-{number}.yml"

    def engine_pid(self, number: int) -> Path:
        """Pid file of the keeper of replica `number`."""
        return self.run / "engines" / f"replica-{number}.pid"

    def log(self, process: str) -> Path:
        """Log file of one process."""
        return self.logs / f"{process}.log"
