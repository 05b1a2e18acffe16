"""A real Prometheus with a past: captured engines of every kind, scraped by jobs that no rule of ours expects."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.faults.promtool import Pack, ask
from demo.history import Scraped, prometheus, series_of
from demo.replay import Replayer
from exporters.catalog import Engine as CataloguedEngine
from exporters.catalog import load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper
from exporters.inference.render import render
from rules.pack import RULES_DIR

Key = tuple[tuple[str, str], ...]

DATA = Path(__file__).parents[2] / "data"
STEPS = 42
AT = 1_795_000_005.0  # a multiple of 15 s, the interval of scrapes and rules
VLLM = ("saturated", "kv_pressure", "idle")
PAGES = {
    "sglang": "captures/sglang/metrics-docs-v0.4.prom",
    "sglang-dp": "synthetic/sglang/metrics-tp2-dp2.prom",
    "llamacpp": "captures/llamacpp/metrics-under-load.prom",
    "tgi": "synthetic/tgi/metrics.prom",
    "tensorrt_llm": "synthetic/tensorrt_llm/metrics.prom",
    "triton": "synthetic/triton/metrics.prom",
    "dynamo": "synthetic/dynamo/metrics.prom",
}
MACHINE = "10.0.0.1"
OTHER_MACHINE = "10.0.0.2"
NVIDIA_SMI = "captures/nvidia_gpu_exporter/linux-x86_64__nvidia-l40s__595.80__load.prom"
_CUMULATIVE = re.compile(r"_(total|count|sum|bucket)$")


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine of the past: the service and job that it is called by, its kind, its pages."""

    service: str
    kind: str
    address: str
    page: Callable[[float], str]
    silent_from: float = float("inf")
    probed: bool = False

    def scraped(self, **labels: str) -> Scraped:
        """As a target with these labels."""
        return Scraped(self.page, {**labels, "instance": self.address}, self.silent_from)


def vllm(state: str) -> Callable[[float], str]:
    """Pages of a captured state, by the second."""
    now = [0.0]
    replayer = Replayer(DATA / "captures" / "vllm", clock=lambda: now[0])

    def page(seconds: float) -> str:
        now[0] = seconds
        return replayer.page(state)

    return page


def moving(text: str) -> Callable[[float], str]:
    """A page of which all that is cumulative grows by a hundredth of what it is, each second."""
    lines = text.splitlines()
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))

    def grown(line: str, seconds: float) -> str:
        if not line.strip() or line.startswith("#"):
            return line
        series, value = line.rsplit(" ", 1)
        name = series.partition("{")[0]
        stem = _CUMULATIVE.sub("", name)
        kind = kinds.get(name, kinds.get(stem, ""))
        if kind == "gauge" or (kind != "counter" and not _CUMULATIVE.search(name)):
            return line
        return f"{series} {float(value) * (1 + seconds / 100)!r}"

    return lambda seconds: "\n".join(grown(line, seconds) for line in lines)


def probed(page: Callable[[float], str]) -> Callable[[float], str]:
    """What OptiInfra's prober makes of a vLLM's page."""
    mapper = Mapper(load_engine(CataloguedEngine.VLLM))
    reader = Reader(mapper.wanted)
    return lambda seconds: render(mapper.families(reader.read(page(seconds)))) + 'llm_up{engine="vllm"} 1\n'


def engines() -> list[Engine]:
    """Every engine of the past; one of them has been silent for minutes, one is read through OptiInfra's prober."""
    found = [Engine(state, "vllm", f"10.0.0.{number}:8000", vllm(state)) for number, state in enumerate(VLLM, 1)]
    found.append(Engine("down", "vllm", "10.0.0.9:8000", vllm("light"), silent_from=STEPS * 15 - 465))
    found.append(Engine("probed", "vllm", "10.0.0.7:8000", probed(vllm("prefix_hits")), probed=True))
    for number, (service, file) in enumerate(PAGES.items(), 1):
        page = moving((DATA / file).read_text(encoding="utf-8"))
        found.append(Engine(service, service.partition("-")[0], f"10.0.1.{number}:9000", page))
    return found


def machines(*, named: bool) -> list[Scraped]:
    """Two machines: host and GPU of one by dcgm-exporter and node_exporter, GPUs of the other by nvidia-smi's exporter.

    `named`: their targets have the label `node`.
    """
    labels, others = ({"node": MACHINE}, {"node": OTHER_MACHINE}) if named else ({}, {})
    smi = moving((DATA / NVIDIA_SMI).read_text(encoding="utf-8"))
    dcgm = "\n".join(
        f'{name}{{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA L4"}} {value}'
        for name, value in (
            ("DCGM_FI_DEV_SM_CLOCK", 1500),
            ("DCGM_FI_DEV_FB_USED", 20000),
            ("DCGM_FI_DEV_FB_FREE", 3000),
            ("DCGM_FI_DEV_GPU_UTIL", 97),
            ("DCGM_FI_DEV_GPU_TEMP", 71),
            ("DCGM_FI_DEV_POWER_USAGE", 60),
        )
    )

    def host(seconds: float) -> str:
        idle = "\n".join(
            f'node_cpu_seconds_total{{cpu="{cpu}",mode="{mode}"}} {1000 + share * seconds}'
            for cpu in range(4)
            for mode, share in (("idle", 0.25), ("user", 0.75))
        )
        return f"{idle}\nnode_load1 3.5\nnode_memory_MemAvailable_bytes 8e9\nnode_memory_MemTotal_bytes 3.2e10\n"

    return [
        Scraped(lambda _: dcgm, {**labels, "job": "gpu-metrics", "instance": f"{MACHINE}:9400"}),
        Scraped(host, {**labels, "job": "node-metrics", "instance": f"{MACHINE}:9100"}),
        Scraped(smi, {**others, "job": "gpu-metrics-2", "instance": f"{OTHER_MACHINE}:9835"}),
    ]


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Targets without the labels `service` and `node`, in jobs that are named as a site names them.

    One more was there in the first minutes, and then was not scraped any more.
    """
    targets = [engine.scraped(job=engine.service) for engine in engines()] + machines(named=False)
    gone = series_of([Scraped(vllm("light"), {"job": "taken-away", "instance": "10.0.0.8:8000"})], STEPS // 4)
    with prometheus({**series_of(targets, STEPS), **gone}, STEPS, AT, tmp_path_factory.mktemp("past")) as url:
        yield url


@pytest.fixture(scope="session")
def at() -> datetime:
    """The last scrape."""
    return datetime.fromtimestamp(AT, UTC)


def _input(targets: list[Scraped]) -> list[dict[str, str]]:
    series = []
    for name, values in series_of(targets, STEPS).items():
        known = dict(values)
        series.append({"series": name, "values": " ".join(known.get(step, "_") for step in range(STEPS))})
    return series


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, float]:
    """What the shipped rules record, where targets have the labels and jobs that they expect."""
    folder = tmp_path_factory.mktemp("rules") / "rules"
    # No diagnosis reads scores, nor what watches the monitoring itself.
    shutil.copytree(
        RULES_DIR, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "tests", "scores", "meta.yml")
    )
    nodes = {f"{node}:8000": {"node": node} for node in (MACHINE, OTHER_MACHINE)}
    targets = [
        engine.scraped(
            job="llm-probe" if engine.probed else engine.kind,
            service=engine.service,
            **nodes.get(engine.address, {}),
        )
        for engine in engines()
    ]
    every = '{{__name__=~"({levels}):.+",__name__!~".+_(bucket|sum|count):.+",{where}}}'
    end = (STEPS - 1) * 15.0
    questions = {
        **{every.format(levels="replica|service", where=f'service="{engine.service}"'): end for engine in engines()},
        every.format(levels="node|gpu", where='node!=""'): end,
        '{__name__=~"threshold:.+"}': end,
    }
    answers = ask(Pack(folder), _input([*targets, *machines(named=True)]), 15.0, questions)
    return {tuple(sorted(one.labels.items())): one.value for answer in answers for one in answer}


@pytest.fixture(scope="session")
def ruled(recorded: Mapping[Key, float], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has what the rules recorded at the last scrape, and nothing else."""
    series = {}
    for key, value in recorded.items():
        labels = ",".join(f'{name}="{text}"' for name, text in key if name != "__name__")
        series[f"{dict(key)['__name__']}{{{labels}}}"] = [(0, repr(value))]
    with prometheus(series, 1, AT, tmp_path_factory.mktemp("ruled")) as url:
        yield url
