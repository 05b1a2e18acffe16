"""Three small engines for rollout tests: real files, a real restart command, real health checks over HTTP.

An engine is a configuration file, a copy of it made by the restart command (what the engine "runs with"), a log of
restarts, and a health endpoint. Its metrics follow what it runs with; before the story's start they are those of the
old value.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from recommender.contracts import ReplicaTarget, Sample, Series
from recommender.engine_signals import could_tell, signals_in
from recommender.errors import PrometheusError
from tests.recommender.rollout.builders import START

OLD = "# engine options\nmodel: tiny-llama\nmax-num-seqs: 8  # far too low\nport: 8000\n"
NEW = OLD.replace("max-num-seqs: 8 ", "max-num-seqs: 16 ")
_RESTART = """\
set -e
test ! -e "$1/refuse"
if test -e "$1/config.yml"; then cp "$1/config.yml" "$1/running.yml"; else rm -f "$1/running.yml"; fi
echo restarted >> "$1/restarts.log"
"""


@dataclass
class Engine:
    """One replica of the world, on disk."""

    folder: Path
    port: int = 0

    @property
    def instance(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.folder / "config.yml"

    @property
    def running(self) -> str:
        """The configuration that it was last started with."""
        return (self.folder / "running.yml").read_text()

    @property
    def restarts(self) -> int:
        log = self.folder / "restarts.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def refuse_to_restart(self, *, refuse: bool = True) -> None:
        marker = self.folder / "refuse"
        marker.touch() if refuse else marker.unlink(missing_ok=True)

    def go_down(self, *, down: bool = True) -> None:
        """Answer 503, whatever it runs with; `down_with_new` does so only with the new value."""
        marker = self.folder / "down"
        marker.touch() if down else marker.unlink(missing_ok=True)

    def never_start_with_the_new_value(self) -> None:
        (self.folder / "down_with_new").touch()

    @property
    def serves(self) -> bool:
        if (self.folder / "down").exists():
            return False
        return not ((self.folder / "down_with_new").exists() and self.running != OLD)


@dataclass
class World:
    """The engines, and the effect of the change: TTFT p95 in seconds with the old and with the new value."""

    engines: list[Engine]
    effect: dict[str, float] = field(default_factory=lambda: {"old": 8.0, "new": 1.0})
    errors_with_new: float = 0.0
    inter_token_with_new: float = 0.05
    requests_per_second: float = 20.0
    silent_from: datetime | None = None  # Prometheus has no samples from then on
    prometheus_down: bool = False
    may_restart_alone: bool = False
    engine: str = "vllm"  # what no version of it tells is in no answer
    probed: bool = False
    failing_probes_with_new: float = 0.0
    waiting: tuple[float, float] = (0.0, 0.0)  # with the old and with the new value
    tokens: tuple[float, float] = (20.0, 20.0)
    lost: str = ""  # a signal that the engine should tell and does not

    @property
    def instances(self) -> tuple[str, ...]:
        return tuple(engine.instance for engine in self.engines)

    def targets(self, service: str) -> tuple[ReplicaTarget, ...]:
        return tuple(
            ReplicaTarget(
                service=service,
                instance=engine.instance,
                url=f"http://{engine.instance}",
                engine=self.engine,
                config_file=str(engine.config),
                restart_command=("sh", "-c", _RESTART, "restart", str(engine.folder)),
                ready_path="/health",
                ready_timeout_seconds=60,
                restart_timeout_seconds=10,
                may_restart_alone=self.may_restart_alone,
            )
            for engine in self.engines
        )

    # -- Prometheus, as far as measuring asks it

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        if self.prometheus_down:
            raise PrometheusError("Prometheus did not answer")
        at = at or START
        if "service:objective:" in query:
            return [Sample({}, {"ttft": 2.0, "itl_": 0.1, "erro": 0.01}[query.split(":")[2][:4]])]
        chosen = self._chosen(query)
        if not chosen or (self.silent_from is not None and at > self.silent_from) or not self._told(query):
            return []
        figures = [self._figure(query, engine, at) for engine in chosen]
        total = (
            sum(figures) if query.startswith(("sum(", "count(")) and "/" not in query else sum(figures) / len(figures)
        )
        return [Sample({}, total)]

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        points = []
        at = start
        while at <= end:
            wobble = 1.0 if "count(" in query else 1 + 0.01 * ((at.timestamp() // step_seconds) % 5)
            points += [(at.timestamp(), sample.value * wobble) for sample in self.instant(query, at)]
            at += timedelta(seconds=step_seconds)
        return [Series({}, tuple(points))] if points else []

    def _told(self, query: str) -> bool:
        read = signals_in(query)
        if any("llm_probe_" in signal for signal in read):
            return self.probed
        return could_tell(self.engine, read) and not (self.lost and self.lost in query)

    def _chosen(self, query: str) -> list[Engine]:
        found = re.search(r'instance=~"((?:[^"\\]|\\.)*)"', query)
        if found is None:
            return []
        pattern = re.compile(found.group(1).replace("\\\\", "\\"))
        return [engine for engine in self.engines if pattern.fullmatch(engine.instance)]

    def _figure(self, query: str, engine: Engine, at: datetime) -> float:
        """What one engine's series gives a query, by the first signal that it reads."""
        changed = at > START and "max-num-seqs: 16" in engine.running
        latency, itl = self.effect["new" if changed else "old"], self.inter_token_with_new if changed else 0.05
        waiting, tokens = self.waiting[changed], self.tokens[changed]
        figures = {
            "count_over_time(replica:llm_probe_success": 15.0,
            "count(": 1.0,
            "ttft_seconds_bucket": latency,
            "itl_seconds_bucket": itl,
            "request_errors": self.errors_with_new if changed else 0.0,
            "preemptions": 0.0,
            "llm_probe_success": self.failing_probes_with_new if changed else 0.0,
            "llm_probe_ttft_seconds": latency,
            "llm_probe_itl_seconds": itl,
            "llm_model_device_memory_bytes": 1.0 if changed else 0.5,
            "llm_requests_paused": 0.0,
            "llm_requests_running": itl,  # over the tokens that a batch of this size gives
            "llm_requests_waiting": waiting / tokens if "generation_tokens" in query else waiting,
            "llm_generation_tokens": tokens,
        }
        return next((figure for signal, figure in figures.items() if signal in query), self.requests_per_second)


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        engine: Engine = self.server.engine  # type: ignore[attr-defined] - set below
        self.send_response(200 if self.path == "/health" and engine.serves else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def running_world(folder: Path, replicas: int = 3) -> Iterator[World]:
    """A world whose engines answer health checks until the end of the block."""
    servers: list[ThreadingHTTPServer] = []
    threads: list[threading.Thread] = []
    engines: list[Engine] = []
    try:
        for number in range(replicas):
            server = ThreadingHTTPServer(("127.0.0.1", 0), _Health)
            server.daemon_threads = True
            engine = Engine(folder / f"replica-{number}", server.server_address[1])
            server.engine = engine  # type: ignore[attr-defined] - read by the handler
            engines.append(engine)
            servers.append(server)
            threads.append(threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}))
            threads[-1].start()
        world = World(engines)
        reset(world)
        yield world
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def reset(world: World) -> None:
    """Every engine as at the story's start."""
    for engine in world.engines:
        engine.folder.mkdir(parents=True, exist_ok=True)
        for file in engine.folder.iterdir():
            file.unlink()
        engine.config.write_text(OLD)
        (engine.folder / "running.yml").write_text(OLD)


def existing_world(folders: Sequence[str], ports: Sequence[int]) -> World:
    """The same world seen from another process, which does not serve it."""
    return World([Engine(Path(one), port) for one, port in zip(folders, ports, strict=True)])


def untouched(world: World) -> bool:
    """Whether every engine runs with its old file, and has it."""
    return all(engine.running == OLD and engine.config.read_text() == OLD for engine in world.engines)
