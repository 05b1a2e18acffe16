"""Replays captured expositions over HTTP: real engine states, moving on at the rate they were recorded with.

A state is a pair of captures 30 s apart. Counters and histograms move on linearly at the recorded rate, without end;
gauges alternate between their two recorded values every `GAUGE_PERIOD_SECONDS`. A state with `<state>_trace.csv`
takes the gauges in it from the trace, one row a second, over and over. Everything is a function of the time since the
start, so two scrapers of one replayer see one engine.

    python -m demo.replay --data tests/data/captures/vllm --port 8101
    curl http://127.0.0.1:8101/saturated/metrics
"""

import csv
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

CAPTURE_INTERVAL_SECONDS = 30.0
GAUGE_PERIOD_SECONDS = 10.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Clock = Callable[[], float]

# Gauges that a trace drives: metric name (and the label that selects the series) -> column of the trace.
_TRACED = {
    "vllm:num_requests_running": "num_requests_running",
    "vllm:num_requests_waiting": "num_requests_waiting",
    'vllm:num_requests_waiting_by_reason{reason="capacity"}': "num_requests_waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage_perc",
}


@dataclass(frozen=True, slots=True)
class _Counter:
    """A line of which the value grows by `rate` a second."""

    series: str
    start: float
    rate: float

    def line(self, elapsed: float, _row: dict[str, str] | None) -> str:
        return f"{self.series} {self.start + self.rate * elapsed!r}"


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A line of which the value alternates between two recorded ones, or follows a column of the trace."""

    series: str
    values: tuple[str, str]
    column: str | None

    def line(self, elapsed: float, row: dict[str, str] | None) -> str:
        if row is not None and self.column is not None:
            return f"{self.series} {row[self.column]}"
        return f"{self.series} {self.values[int(elapsed / GAUGE_PERIOD_SECONDS) % 2]}"


@dataclass(frozen=True, slots=True)
class _Comment:
    """A HELP or TYPE line."""

    text: str

    def line(self, _elapsed: float, _row: dict[str, str] | None) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _State:
    lines: tuple[_Counter | _Gauge | _Comment, ...]
    trace: tuple[dict[str, str], ...]

    def page(self, elapsed: float) -> str:
        row = self.trace[int(elapsed) % len(self.trace)] if self.trace else None
        return "\n".join(line.line(elapsed, row) for line in self.lines) + "\n"


def _column(series: str) -> str | None:
    name = series.partition("{")[0]
    for selector, column in _TRACED.items():
        wanted, _, label = selector.partition("{")
        if name == wanted and label.rstrip("}") in series:
            return column
    return None


def _load(data_dir: Path, state: str) -> _State:
    """Read a pair of captures. Raises ValueError when the two do not hold the same series."""
    first = (data_dir / f"{state}.prom").read_text(encoding="utf-8").splitlines()
    second = (data_dir / f"{state}.2.prom").read_text(encoding="utf-8").splitlines()
    later = dict(line.rsplit(" ", 1) for line in second if not line.startswith("#"))
    kind = ""
    lines: list[_Counter | _Gauge | _Comment] = []
    for text in first:
        if text.startswith("#"):
            kind = text.rsplit(" ", 1)[1] if text.startswith("# TYPE ") else kind
            lines.append(_Comment(text))
            continue
        series, value = text.rsplit(" ", 1)
        if series not in later:
            raise ValueError(f"{data_dir / state}.2.prom: no series {series}, which {state}.prom has")
        if kind == "gauge":
            lines.append(_Gauge(series, (value, later[series]), _column(series)))
        else:
            rate = (float(later[series]) - float(value)) / CAPTURE_INTERVAL_SECONDS
            lines.append(_Counter(series, float(value), rate))
    trace_file = data_dir / f"{state}_trace.csv"
    trace: tuple[dict[str, str], ...] = ()
    if trace_file.exists():
        with trace_file.open(newline="", encoding="utf-8") as rows:
            trace = tuple(csv.DictReader(rows))
    return _State(tuple(lines), trace)


class Replayer:
    """Pages of captured states at the clock's time.

    `clock` gives seconds (monotonic); time starts when the replayer is made and runs `speed` times as fast.
    Raises ValueError when `data_dir` holds no pair of captures, or an unequal pair.
    """

    def __init__(self, data_dir: Path, clock: Clock = time.monotonic, *, speed: float = 1.0) -> None:
        names = sorted(path.name.removesuffix(".2.prom") for path in data_dir.glob("*.2.prom"))
        if not names:
            raise ValueError(f"{data_dir}: no captures here; expected pairs <state>.prom and <state>.2.prom")
        self._states = {name: _load(data_dir, name) for name in names}
        self._clock = clock
        self._speed = speed
        self._start = clock()

    @property
    def states(self) -> tuple[str, ...]:
        """The states that can be asked for."""
        return tuple(self._states)

    def page(self, state: str) -> str:
        """The exposition of `state` now. Raises KeyError for an unknown state."""
        return self._states[state].page((self._clock() - self._start) * self._speed)


def _handler(replayer: Replayer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            state, _, page = self.path.strip("/").partition("/")
            if state not in replayer.states or page != "metrics":
                known = ", ".join(f"/{name}/metrics" for name in replayer.states)
                self.send_error(404, "No such state", f"Known: {known}")
                return
            body = replayer.page(state).encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing: a line per scrape helps nobody."""

    return Handler


@contextmanager
def serve(replayer: Replayer, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve every state at `/<state>/metrics` until the block ends; gives the base URL. Port 0 picks a free one."""
    server = ThreadingHTTPServer((host, port), _handler(replayer))
    thread = threading.Thread(target=server.serve_forever, name="replay", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8101, show_default=True)
@click.option("--speed", type=float, default=1.0, show_default=True, help="How many times as fast time runs.")
def main(data: Path, host: str, port: int, speed: float) -> None:
    """Serve the captures in a folder until interrupted."""
    replayer = Replayer(data, speed=speed)
    with serve(replayer, host, port) as base:
        for state in replayer.states:
            click.echo(f"{base}/{state}/metrics")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("stopped")


if __name__ == "__main__":
    main()
