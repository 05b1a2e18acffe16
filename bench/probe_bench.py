"""How much CPU one probe costs, and how the reader compares with the reference parser on the same text.

    python -m bench.probe_bench [CAPTURE]

A probe here is all that is done with a fetched exposition: tell the engine, find catalogued series, map, leave out what
cannot be, write canonical text. "cold" is a reader that has seen nothing yet; a prober keeps its reader, so every probe
but the first is "warm".
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from prometheus_client.parser import text_string_to_metric_families

from exporters.catalog import METRICS_PATH, Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.detection import Detection
from exporters.inference.mapping import Mapper
from exporters.inference.plausible import plausible
from exporters.inference.render import render

CAPTURE = Path(__file__).parents[1] / "tests" / "data" / "captures" / "vllm" / "saturated.2.prom"


@dataclass(frozen=True, slots=True)
class Figures:
    """Median CPU milliseconds."""

    probe: float
    read_warm: float
    read_cold: float
    parser: float

    @property
    def ratio(self) -> float:
        """Reference parser over warm reader."""
        return self.parser / self.read_warm

    @property
    def cold_ratio(self) -> float:
        """Reference parser over a reader that has seen nothing yet."""
        return self.parser / self.read_cold


def measure(text: str, rounds: int = 100) -> Figures:
    """Measure on one exposition; the contenders take turns, so that a busy machine slows all of them."""
    detection = Detection({engine: load_engine(engine) for engine in Engine})
    mapper = Mapper(load_engine(detection.engine(METRICS_PATH, text, None, None)))
    wanted = mapper.wanted
    reader = Reader(wanted)

    def probe() -> bytes:
        detection.engine(METRICS_PATH, text, None, None)
        families, _ = plausible(mapper.families(reader.read(text)))
        return render(families).encode()

    def parse() -> list[object]:
        return [s for f in text_string_to_metric_families(text) for s in f.samples if s.name in wanted]

    contenders: dict[str, Callable[[], object]] = {
        "probe": probe,
        "read_warm": lambda: reader.read(text),
        "read_cold": lambda: Reader(wanted).read(text),
        "parser": parse,
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender()
    for _ in range(rounds):
        for name, contender in contenders.items():
            start = time.process_time_ns()
            contender()
            times[name].append((time.process_time_ns() - start) / 1e6)
    return Figures(**{name: statistics.median(each) for name, each in times.items()})


@click.command()
@click.argument("capture", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=CAPTURE)
@click.option("--rounds", default=100, show_default=True)
def main(capture: Path, rounds: int) -> None:
    """Print median CPU times for one exposition."""
    text = capture.read_text(encoding="utf-8")
    found = measure(text, rounds)
    print(f"{capture.name}: {len(text.encode())} bytes, {rounds} rounds, median CPU")
    print(f"probe (detect to render)   {found.probe:7.3f} ms")
    print(f"reader, warm               {found.read_warm:7.3f} ms   {found.ratio:5.1f} x faster than the parser")
    print(f"reader, cold               {found.read_cold:7.3f} ms   {found.cold_ratio:5.1f} x faster than the parser")
    print(f"prometheus_client.parser   {found.parser:7.3f} ms")


if __name__ == "__main__":
    main()
