"""The fleet of docs/cookbook.md: engines that replay captured states of a real vLLM, on nodes with a GPU each."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from demo.replay import Replayer
from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper
from exporters.inference.render import render

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
INTERVAL_SECONDS = 15
STEPS = 41  # ten minutes
# node -> service, captured state of its engine
ENGINES = {
    "n1": ("chat", "saturated"),
    "n2": ("chat", "light"),
    "n3": ("agents", "kv_pressure"),
    "n4": ("search", "prefix_hits"),
    "n5": ("draft", "idle"),
}
DOWN = "n6"  # a replica of chat that does not answer
# GPUs: watts, share of time held down by heat and by power
GPUS = {
    "n1": (310, 0, 0),
    "n2": (180, 0, 0),
    "n3": (300, 0.2, 0),
    "n4": (290, 0, 0.5),
    "n5": (70, 0, 0),
    "n6": (70, 0, 0),
}
AVAILABLE = {"n1": 0.5, "n2": 0.6, "n3": 0.4, "n4": 0.04, "n5": 0.9, "n6": 0.9}  # memory


def input_series() -> Iterator[dict[str, str]]:
    """Ten minutes of scrapes of the whole fleet, in promtool's notation."""
    for node, (service, state) in ENGINES.items():
        yield from _engine(_target(node, service), state)
    down = _target(DOWN, "chat")
    yield _series("llm_up", {**down, "engine": "vllm"}, "1+0x8 0+0x40")
    for node, service in [*((node, service) for node, (service, _) in ENGINES.items()), (DOWN, "chat")]:
        where = {"service": service, "instance": f"{node}:8000", "knob": "max_running_requests"}
        yield _series("optiinfra_replica_knob", where, f"16+0x{STEPS}")
    for node, (watts, heat, power) in GPUS.items():
        yield from _gpu(node, watts, heat, power)
    for node, available in AVAILABLE.items():
        where = {"job": "node", "node": node}
        yield _series("host_memory_total_bytes", where, f"{64 * 2**30}+0x{STEPS}")
        yield _series("host_memory_available_bytes", where, f"{64 * 2**30 * available}+0x{STEPS}")


def _target(node: str, service: str) -> dict[str, str]:
    return {"job": "llm-probe", "service": service, "instance": f"{node}:8000", "node": node}


def _engine(target: dict[str, str], state: str) -> Iterator[dict[str, str]]:
    """What a scrape of the prober stores while the engine replays the state."""
    now = [0.0]
    replayer = Replayer(CAPTURES, clock=lambda: now[0])
    mapper = Mapper(load_engine(Engine.VLLM))
    reader = Reader(mapper.wanted)
    stored: dict[tuple[str, str], list[str]] = defaultdict(list)
    for step in range(STEPS):
        now[0] = float(step * INTERVAL_SECONDS)
        page = render(mapper.families(reader.read(replayer.page(state))))
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                stored[sample.name, _labels({**sample.labels, **target})].append(repr(sample.value))
    yield _series("llm_up", {**target, "engine": "vllm"}, f"1+0x{STEPS}")
    yield from ({"series": f"{name}{labels}", "values": " ".join(values)} for (name, labels), values in stored.items())


def _gpu(node: str, watts: float, heat: float, power: float) -> Iterator[dict[str, str]]:
    where = {"job": "node", "node": node, "gpu": "0", "uuid": f"GPU-{node}"}
    yield _series("gpu_up", where, f"1+0x{STEPS}")
    yield _series("gpu_power_watts", where, f"{watts}+0x{STEPS}")
    yield _series("gpu_energy_joules_total", where, f"0+{watts * INTERVAL_SECONDS}x{STEPS}")
    for policy, share in (("thermal", heat), ("power", power)):
        yield _series(
            "gpu_violation_seconds_total", {**where, "policy": policy}, f"0+{share * INTERVAL_SECONDS}x{STEPS}"
        )


def _series(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    return {"series": f"{name}{_labels(labels)}", "values": values}


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items()) + "}"
