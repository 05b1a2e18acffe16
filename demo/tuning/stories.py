"""The stories of the worked examples: one fleet of each engine that something limits."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import yaml

from demo.faults.corpus.shapes import HOURS, MINUTE, changing, steady
from demo.faults.fleet import Fleet, Node, Replica, Way, instance
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.inference import Setup
from demo.faults.perturb import Growing
from demo.faults.scenario import Kind, Scenario
from demo.faults.series import Key, Page
from demo.faults.traffic import Load
from exporters.catalog import Engine, load_engine
from exporters.inference import models
from recommender.inventory import ServiceConfig

_WATCHED_SECONDS = 780.0
_INTERVAL = 15.0
_OLLAMA_PS = Path(__file__).parents[2] / "tests" / "data" / "synthetic" / "ollama" / "ps.json"
_IDLE = steady(1)
_TOO_MUCH = Load(rate=2.7)
"""Of what an engine with six slots answers 2.4 a second of."""
_SMALL_KV = Setup(slots=16, blocks=125)
_FULL = Load(rate=0.8, prompt=200, answer=120)
_OVERFULL = Load(rate=1.6, prompt=200, answer=120)
_LONG = Load(rate=0.25, prompt=1200, answer=40)
_ROOM = Setup(slots=16, blocks=4000)
_GPU = GpuLife(((0.0, GpuState(memory=0.91)),))
_GROWS = GpuLife(((0.0, GpuState(memory=0.972, memory_growth_per_hour=0.016)),))


@dataclass(frozen=True)
class Story:
    """A fleet, what is told of it, and what the inventory says (`{instance}` and `{node}` are filled in)."""

    page: str
    title: str
    heading: str
    text: str
    scenario: Scenario
    declared: str

    @property
    def inventory(self) -> str:
        """The service's entry of an inventory."""
        replicas = "".join(
            f"\n    - url: http://{instance(self.scenario.name, number)}\n      node: {self.scenario.name}-n{one.node}"
            for number, one in enumerate(self.scenario.fleet.replicas, start=1)
        )
        body = "".join(f"  {line}\n" for line in self.declared.strip().splitlines())
        return f"{self.scenario.name}:\n{body}  replicas:{replicas}\n"

    @cached_property
    def service(self) -> ServiceConfig:
        """The same, read."""
        return ServiceConfig.model_validate(yaml.safe_load(self.inventory)[self.scenario.name])


def _scenario(name: str, *replicas: Replica, gpu: GpuLife = _GPU, hours: bool = False) -> Scenario:
    nodes = tuple(Node(gpus=(gpu,)) for _ in range(max(one.node for one in replicas)))
    seconds, interval = (HOURS, MINUTE) if hours else (_WATCHED_SECONDS, _INTERVAL)
    return Scenario(name, Kind.HEALTHY, Fleet(replicas, nodes), 1, seconds, interval=interval)


def _pair(engine: Engine, load: Load, setup: Setup, seed: int, *, limit: int | None = None) -> tuple[Replica, Replica]:
    first, second = (changing(seed + number, load, at=60.0, setup=setup) for number in range(2))
    return Replica(first, engine, Way.PROBED, 1, limit), Replica(second, engine, Way.PROBED, 2, limit)


def _spilled() -> tuple[Page, ...]:
    """What the prober makes of Ollama's `/api/ps` at each scrape: one loaded model, half of it on the device."""
    catalogue = load_engine(Engine.OLLAMA)
    page = json.loads(_OLLAMA_PS.read_text(encoding="utf-8"))
    loaded = models.read(catalogue.models, {"models": page["models"][:1]}) if catalogue.models is not None else None
    if catalogue.models is None or loaded is None:
        raise ValueError(f"{_OLLAMA_PS}: no page of Ollama's")
    told: dict[Key, float] = {("llm_up", (("engine", "ollama"),)): 1.0}
    for family, samples in models.families(catalogue, catalogue.models, loaded):
        told |= {(family.name + sample.suffix, sample.labels): sample.value for sample in samples}
    return (told,) * (round(HOURS / MINUTE) + 1)


def _beside_a_cache(seed: int) -> tuple[Replica, Replica]:
    labels = (("engine", "vllm"), ("model", "tiny-llama"))
    lookups = (
        Growing(("llm_external_cache_query_tokens_total", labels), 0, 300.0, _INTERVAL),
        Growing(("llm_external_cache_hit_tokens_total", labels), 0, 9.0, _INTERVAL),
    )
    first, second = _pair(Engine.VLLM, _LONG, _ROOM, seed, limit=16)
    return replace(first, changes=lookups), replace(second, changes=lookups)


_MODEL = """
hardware: {gpu: h100_sxm, gpus_per_replica: 1, weight_dtype: bf16}
model: meta-llama/Llama-3.1-8B-Instruct
"""

_MORE = """
tuning: {prefix_reuse_ratio: 0.1, host_memory_bytes: 1099511627776}
"""

STORIES: tuple[Story, ...] = (
    Story(
        "vllm",
        "vLLM: from a queue to `--max-num-seqs`",
        "Too few slots",
        "Two replicas with six slots each get an eighth more requests than they can answer. Their KV caches are "
        "nearly empty.",
        _scenario("chat", *_pair(Engine.VLLM, _TOO_MUCH, Setup(), 901, limit=6)),
        f"engine: vllm{_MODEL}settings: {{max_running_requests: 6, max_batched_tokens: 2048}}",
    ),
    Story(
        "vllm",
        "vLLM: from a queue to `--max-num-seqs`",
        "Too little KV cache",
        "Sixteen slots, and room for the KV of six requests: requests are thrown out of the batch and computed again.",
        _scenario("summaries", *_pair(Engine.VLLM, _FULL, _SMALL_KV, 903, limit=16)),
        f"engine: vllm{_MODEL}settings: {{max_running_requests: 16, kv_cache_memory_fraction: 0.9}}{_MORE}",
    ),
    Story(
        "sglang",
        "SGLang: from a queue to `--max-running-requests`",
        "Too few slots",
        "The engine tells its limit (`/server_info`): six requests at once.",
        _scenario("sglang", *_pair(Engine.SGLANG, _TOO_MUCH, Setup(), 905)),
        f"engine: sglang{_MODEL}settings: {{max_running_requests: 6}}",
    ),
    Story(
        "tgi",
        "TGI: KV cache in tokens",
        "Too little KV cache",
        "TGI tells neither KV usage in tokens nor preemptions; what it tells is enough to see that memory is full.",
        _scenario("tgi", *_pair(Engine.TGI, _OVERFULL, _SMALL_KV, 907)),
        f"engine: tgi{_MODEL}settings: {{max_running_requests: 16, kv_cache_memory_fraction: 0.9}}",
    ),
    Story(
        "tensorrt_llm",
        "TensorRT-LLM: `max_batch_size`",
        "Too few slots",
        "trtllm-serve with a batch of six.",
        _scenario("trtllm", *_pair(Engine.TENSORRT_LLM, _TOO_MUCH, Setup(), 909)),
        f"engine: tensorrt_llm{_MODEL}settings: {{max_running_requests: 6, max_batched_tokens: 2048}}",
    ),
    Story(
        "llamacpp",
        "llama.cpp: slots and their context",
        "Too few slots",
        "llama-server with six slots. It has no KV gauge, so nobody can say from metrics how full its cache is: what a "
        "slot takes is its whole context, which is reserved at the start.",
        _scenario("llamacpp", *_pair(Engine.LLAMACPP, _TOO_MUCH, Setup(), 911)),
        f"engine: llamacpp{_MODEL}settings: {{max_running_requests: 6, context_tokens: 24576, kv_cache_dtype: fp16}}\n"
        "tuning: {longest_request_tokens: 4000}",
    ),
    Story(
        "ollama",
        "Ollama: a model that spills out of device memory",
        "Half of the model on the CPU",
        "`/api/ps` tells that half of the model's bytes are not on the device, whose memory is full. Four requests at "
        "once have a whole context each, whether they use it or not.",
        _scenario("ollama", Replica(_IDLE, Engine.OLLAMA, pages=_spilled()), gpu=_GROWS, hours=True),
        "engine: ollama\nhardware: {gpu: h100_sxm, gpus_per_replica: 1}\nmodel: llama3.3:70b\n"
        "settings: {max_running_requests: 4, max_model_length_tokens: 8192, kv_cache_dtype: fp16}",
    ),
    Story(
        "lmcache",
        "LMCache: a cache beside vLLM that is not hit",
        "Lookups without hits",
        "Two replicas ask an external KV cache for the beginnings of long prompts and find almost none of them.",
        _scenario("lmcache", *_beside_a_cache(913)),
        f"engine: vllm{_MODEL}settings: {{max_running_requests: 16, prefix_caching: true}}{_MORE}",
    ),
)
