"""Settings of the exporter, resolved once by the command line."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exporters.catalog import Collector
from exporters.errors import SettingsError
from exporters.host.patterns import EnginePattern
from exporters.synthetic.scenario import Scenario


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the exporter listens and whom it serves.

    Port 0 takes a free one; `max_requests` bounds readings of this node under way, and 0 is no bound.
    """

    listen_address: str
    port: int
    config_file: Path | None
    max_requests: int


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What is read on this machine, and how long a scrape waits for a reading that can hang."""

    collectors: frozenset[Collector]
    collector_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Where the machine's file systems are mounted, and which of its processes are engines."""

    procfs: Path
    sysfs: Path
    rootfs: Path
    engine_processes: tuple[EnginePattern, ...]


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """How often GPUs are read, off the scrape path, and whether each of their processes gets a series."""

    interval_seconds: float
    slow_interval_seconds: float
    processes: bool

    @property
    def slow_every(self) -> int:
        """Slow readings are taken with every so many fast ones."""
        return max(round(self.slow_interval_seconds / self.interval_seconds), 1)

    @property
    def stale_seconds(self) -> float:
        """Values that are older are withheld: three intervals, and at least 10 s, for drivers under load are slow."""
        return max(3 * self.interval_seconds, 10.0)


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Which synthetic GPUs stand in for real ones."""

    scenario: Scenario
    seed: int


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How engines may be probed. An empty `allow` refuses every target."""

    allow: tuple[str, ...]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class BlackboxSettings:
    """The file that says how endpoints are asked for completions; None asks none."""

    config_file: Path | None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Which orchestrator the exporter registers with, and as whom. `exporter_url` None: where it listens."""

    orchestrator_url: str
    path_prefix: str
    heartbeat_seconds: float
    agent_id: str
    token_file: Path | None
    exporter_url: str | None


@dataclass(frozen=True, slots=True)
class ExporterSettings:
    """All that the flags say, a field a subject."""

    web: WebSettings
    node: NodeSettings
    host: HostSettings
    gpu: GpuSettings
    demo: DemoSettings | None
    probe: ProbeSettings
    blackbox: BlackboxSettings
    agent: AgentSettings | None

    def __post_init__(self) -> None:
        """Raise SettingsError for subjects that contradict each other."""
        if self.demo and Collector.GPU not in self.node.collectors:
            raise SettingsError("--demo shows GPUs, which --collectors or --no-collectors leave out; drop one of them")


def chosen_collectors(only: Iterable[str], without: Iterable[str]) -> frozenset[Collector]:
    """Resolve `--collectors` (all, when empty) and `--no-collectors`.

    Raises `SettingsError` for a name that is no collector, for one that is both chosen and left out, and when
    nothing is left.
    """
    chosen = {_collector("--collectors", name) for name in only}
    left_out = {_collector("--no-collectors", name) for name in without}
    both = sorted(chosen & left_out)
    if both:
        raise SettingsError(f"{', '.join(both)}: named by --collectors and by --no-collectors; drop one of the two")
    collectors = frozenset(chosen or Collector) - left_out
    if not collectors:
        raise SettingsError("--no-collectors leaves none; leave out fewer")
    return collectors


def _collector(flag: str, name: str) -> Collector:
    try:
        return Collector(name)
    except ValueError:
        raise SettingsError(f"{flag}: {name!r} is no collector; these are: {', '.join(Collector)}") from None
