"""Pages of a real vLLM 0.32 (tests/data/captures/vllm/README.md), moved on by the replayer of the demo."""

from functools import cache
from pathlib import Path

from demo.faults import engines
from demo.faults.fleet import Way
from demo.faults.inference import Setup
from demo.faults.series import Page
from demo.replay import Replayer
from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper

CAPTURES = Path(__file__).parents[3] / "tests" / "data" / "captures" / "vllm"
SETUP = Setup(slots=16)
"""What the engine ran with."""


@cache
def state(name: str, duration: float, interval: float, way: Way) -> tuple[Page, ...]:
    """What is stored of a captured state, scrape by scrape; its KV sawtooth is that of the recorded trace."""
    now = [0.0]
    replayer = Replayer(CAPTURES, clock=lambda: now[0])
    reader = Reader(Mapper(load_engine(Engine.VLLM)).wanted)
    readings = []
    for step in range(round(duration / interval) + 1):
        now[0] = step * interval
        readings.append(reader.read(replayer.page(name)))
    told = engines.probed if way is Way.PROBED else engines.direct
    return told(Engine.VLLM, readings, SETUP)
