"""Pages of every engine, as a server would show them, and what the prober answers for them as a table to read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from exporters.inference import AllowList, Prober
from tests.helpers.fake_engine import page, serving
from tests.helpers.vllm_versions import OLDER

DATA = Path(__file__).parents[1] / "data"
TABLES = DATA / "tables"
# They differ from run to run.
_NOT_SHOWN = ("llm_scrape_duration_seconds", "llm_scrape_body_bytes")


@dataclass(frozen=True, slots=True)
class EngineCase:
    """A server: its exposition (a file below `tests/data`, or text), and its JSON pages by path."""

    name: str
    metrics: str
    pages: dict[str, str] = field(default_factory=dict)
    path: str = "/metrics"

    @property
    def text(self) -> str:
        if not self.metrics or "\n" in self.metrics:
            return self.metrics
        return (DATA / self.metrics).read_text(encoding="utf-8")

    @property
    def table_file(self) -> Path:
        return TABLES / f"{self.name}.txt"

    def answer(self) -> str:
        """What the prober answers, told nothing but the server's address."""
        with serving() as server:
            server.pages = {
                path: page((DATA / file).read_bytes(), "application/json") for path, file in self.pages.items()
            }
            if self.metrics:
                server.pages[self.path] = page(self.text.encode())
            return Prober(AllowList.parse([server.netloc])).probe(server.netloc).body.decode()


def _vllm(version: str) -> str:
    return OLDER[version]((DATA / "captures/vllm/kv_pressure.2.prom").read_text(encoding="utf-8"))


def _both(*files: str) -> str:
    return "".join((DATA / file).read_text(encoding="utf-8") for file in files)


_LLAMACPP = {"/props": "captures/llamacpp/props.json"}
_SGLANG = "synthetic/sglang/metrics-tp2-dp2.prom"
_SGLANG_PAGES = {"/server_info": "synthetic/sglang/server_info.json"}
_VLLM_PAGES = {"/version": "synthetic/vllm/version.json", "/v1/models": "synthetic/vllm/models.json"}
_TRTLLM_PAGES = {"/version": "synthetic/tensorrt_llm/version.json", "/v1/models": "synthetic/tensorrt_llm/models.json"}

CASES = (
    EngineCase("vllm-0.32", "captures/vllm/kv_pressure.2.prom", _VLLM_PAGES),
    EngineCase("vllm-0.9", _vllm("0.9.2")),
    EngineCase("vllm-0.6", _vllm("0.6.6")),
    EngineCase("vllm-with-lmcache", _both("captures/vllm/light.prom", "synthetic/lmcache/metrics-workers.prom")),
    EngineCase("sglang-0.4", "captures/sglang/metrics-docs-v0.4.prom"),
    EngineCase("sglang-0.5-tp2-dp2", _SGLANG, _SGLANG_PAGES),
    EngineCase("tgi-3", "synthetic/tgi/metrics.prom", {"/info": "synthetic/tgi/info.json"}),
    EngineCase("tgi-3-fresh", "synthetic/tgi/metrics-fresh.prom", {"/info": "synthetic/tgi/info.json"}),
    EngineCase("triton-24.10", "synthetic/triton/metrics.prom"),
    EngineCase("triton-inflight-batcher", "captures/triton-trtllm/trtllm-inflight-batcher.readme.prom"),
    EngineCase("triton-base", "captures/triton-trtllm/triton-base-pre-23.12.readme.prom"),
    EngineCase("trtllm-serve-1.3", "synthetic/tensorrt_llm/metrics.prom", _TRTLLM_PAGES, path="/prometheus/metrics"),
    EngineCase("trtllm-serve-idle", "\n", _TRTLLM_PAGES, path="/prometheus/metrics"),
    EngineCase("llamacpp-under-load", "captures/llamacpp/metrics-under-load.prom", _LLAMACPP),
    EngineCase("llamacpp-speculative", "captures/llamacpp/metrics-speculative.prom", _LLAMACPP),
    EngineCase(
        "ollama-0.33",
        "",
        {"/api/ps": "synthetic/ollama/ps.json", "/api/version": "synthetic/ollama/version.json"},
    ),
    EngineCase(
        "ollama-0.5",
        "",
        {"/api/ps": "captures/ollama/api-ps.docs.json", "/api/version": "captures/ollama/api-version.docs.json"},
    ),
    EngineCase("dynamo-frontend", "synthetic/dynamo/metrics.prom"),
    EngineCase(
        "lmcache-in-process", "synthetic/lmcache/metrics-in-process.prom", {"/conf": "synthetic/lmcache/conf.json"}
    ),
    EngineCase("lmcache-server", "synthetic/lmcache/metrics-server.prom"),
    EngineCase("kvoptkit-0.5", "synthetic/kvoptkit/metrics.prom"),
)


def table(answer: str) -> str:
    """One line a series, a histogram on one line too: `family{labels} value`."""
    return "".join(line + "\n" for family in text_string_to_metric_families(answer) for line in _lines(family))


def _lines(family: Metric) -> Iterator[str]:
    name = family.name + ("_total" if family.type == "counter" else "")
    if name in _NOT_SHOWN:
        return
    if family.type not in ("histogram", "summary"):
        for sample in family.samples:
            yield f"{name}{_braces(sample.labels)} {sample.value:.12g}"
        return
    rows: dict[str, dict[str, str]] = {}
    for sample in family.samples:
        labels = {key: value for key, value in sample.labels.items() if key != "le"}
        part = re.sub(".*_", "", sample.name)
        row = rows.setdefault(_braces(labels), {})
        row[sample.labels.get("le", part)] = f"{sample.value:.12g}"
    for labels, row in rows.items():
        total, count = row.pop("sum"), row.pop("count")
        buckets = "".join(f" {bound}:{value}" for bound, value in row.items())
        yield f"{name}{labels} {family.type}, sum {total}, count {count}" + (f", buckets{buckets}" if buckets else "")


def _braces(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""
