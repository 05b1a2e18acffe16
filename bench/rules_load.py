"""What a fleet's Prometheus scrapes, for `bench.rules_bench`: replicas, nodes with eight GPUs each, the recommender.

    python -m bench.rules_load --replicas 1000 [--layout direct]

Replica N is `/replica/N`: a captured page of vLLM as the prober renders it, or as the engine gives it (`direct`). Node
N is `/node/N`: the page of a real exporter on the NVML stub, whose GPUs are eight H100s under load. Counters rise by a
step every 15 s. The first answer to each target is its last six minutes, with timestamps, so that the windows of rates
are full at once. Prints its port.
"""

import asyncio
import os
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.fleet_server import CAPTURES, Connection, http, pages
from bench.gpu_bench import COMMAND, Running
from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper
from exporters.inference.render import render
from rules.catalog import OBJECTIVES
from tests.exporters.nvml_stub.scenarios import eight_gpus, realistic
from tests.exporters.nvml_stub.stub import NvmlStub, build

GPUS_PER_NODE = 8
REPLICAS_PER_SERVICE = 20
STEP_SECONDS = 15
HISTORY_STEPS = 24
STEPS = 120
LAYOUTS = ("probe", "direct")
_BETWEEN_SECONDS = 2.0
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


def nodes(replicas: int) -> int:
    """As many GPUs as replicas, whole nodes."""
    return -(-replicas // GPUS_PER_NODE)


def service(replica: int) -> str:
    """The service of a replica."""
    return f"service-{replica // REPLICAS_PER_SERVICE}"


def _probed(text: str) -> str:
    mapper = Mapper(load_engine(Engine.VLLM))
    return 'llm_up{engine="vllm"} 1\n' + render(mapper.families(Reader(mapper.wanted).read(text)))


def replica_states(layout: str) -> list[list[bytes]]:
    """The pages of each captured state, step by step."""
    states = []
    for later in sorted(CAPTURES.glob("*.2.prom")):
        captured = (later.with_suffix("").with_suffix(".prom").read_text(), later.read_text())
        first, second = map(_probed, captured) if layout == "probe" else captured
        states.append(pages(first, second, STEPS))
    return states


def node_pages() -> list[bytes]:
    """The pages of a node, step by step."""
    with tempfile.TemporaryDirectory() as folder:
        stub = NvmlStub(build(Path(folder)), Path(folder) / "nvml.scenario", realistic(eight_gpus()))
        with subprocess.Popen(COMMAND, env={**os.environ, **stub.env}, stderr=subprocess.PIPE, text=True) as process:
            try:
                with closing(Running(process)) as exporter:
                    exporter.wait_for(gpus=GPUS_PER_NODE)
                    first = exporter.scrape()
                    time.sleep(_BETWEEN_SECONDS)
                    return pages(first.decode(), exporter.scrape().decode(), STEPS)
            finally:
                process.terminate()


def recommender_page(replicas: int) -> bytes:
    """Objectives and knobs, as the recommender gives them."""
    lines = [
        f'optiinfra_objective{{service="{name}",objective="{objective}"}} 1'
        for name in sorted({service(number) for number in range(replicas)})
        for objective in OBJECTIVES
    ]
    lines += [
        f'optiinfra_replica_knob{{service="{service(number)}",instance="{number}:8000",knob="{knob}"}} 64'
        for number in range(replicas)
        for knob in ("max_running_requests", "max_batched_tokens", "kv_cache_memory_fraction", "prefix_caching")
    ]
    return ("\n".join(lines) + "\n").encode()


def past(steps: list[bytes], now: float) -> bytes:
    """The first steps as one page, each sample with its time; the last is a step before `now`."""
    parts = []
    for step in range(HISTORY_STEPS):
        stamp = b" %d\n" % (1000 * (now - (HISTORY_STEPS - step) * STEP_SECONDS))
        samples = [line for line in steps[step].splitlines() if line and not line.startswith(b"#")]
        parts.append(stamp.join(samples) + stamp)
    return b"".join(parts)


@dataclass
class Load:
    """What each path answers. `asked` are the targets that have had their past."""

    replicas: int
    states: list[list[bytes]]
    node: list[bytes]
    started: float
    asked: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._state_pasts = [past(steps, self.started) for steps in self.states]
        self._node_past = past(self.node, self.started)
        self._recommender = recommender_page(self.replicas)

    def answer(self, path: bytes) -> bytes:
        """The whole HTTP answer to a GET of `path`."""
        return http(self._page(path), _TEXT)

    def _page(self, path: bytes) -> bytes:
        _, kind, *rest = path.split(b"/")
        if kind == b"recommender":
            return self._recommender
        number = int(rest[0])
        own_past = path not in self.asked
        self.asked.add(path)
        step = min(HISTORY_STEPS + int((time.time() - self.started) / STEP_SECONDS), STEPS - 1)
        if kind == b"node":
            page = self._node_past if own_past else self.node[step]
            return page.replace(b'uuid="GPU-', b'uuid="GPU-%d-' % number)
        state = number % len(self.states)
        page = self._state_pasts[state] if own_past else self.states[state][step]
        return page.replace(b'"tiny-llama"', b'"model-%s"' % service(number).encode())


async def serve(load: Load) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(load.answer), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@click.command()
@click.option("--replicas", default=100, show_default=True)
@click.option("--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True)
def main(replicas: int, layout: str) -> None:
    """Serve the load until interrupted."""
    states, node = replica_states(layout), node_pages()
    asyncio.run(serve(Load(replicas, states, node, time.time())))


if __name__ == "__main__":
    main()
