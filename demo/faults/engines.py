"""The simulated engine in other engines' words: native series of each, made of the same figures.

Names, labels and what is told at all are those of exporters/engines/<engine>.yml. A family that an engine lacks is
absent: the rules have to do without it there.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from demo.faults.inference import Setup
from demo.faults.series import Key, Page
from exporters.catalog import Engine, load_engine
from exporters.exposition import Labels, Reading
from exporters.inference.mapping import Mapper

MODEL = "tiny-llama"
VERSIONS = {
    Engine.VLLM: "0.32.0",
    Engine.SGLANG: "0.5.23",
    Engine.TGI: "3.3.7",
    Engine.LLAMACPP: "b11434",
    Engine.TENSORRT_LLM: "1.2.0",
}
"""What the prober reads beside the metrics: those that the catalogues of knobs were read from, where they say one."""
_BLOCK = 16


@dataclass(frozen=True, slots=True)
class View:
    """Figures of vLLM's page, whatever their labels."""

    reading: Reading
    setup: Setup

    def value(self, name: str) -> float:
        """Sum over the series of a family; 0 where there is none yet."""
        return math.fsum(self.reading.samples.get(f"vllm:{name}", {}).values())

    def histogram(self, name: str) -> Iterator[tuple[str, Labels, float]]:
        """Suffix, `le` and value of each part."""
        for suffix in ("_bucket", "_sum", "_count"):
            for labels, value in self.reading.samples.get(f"vllm:{name}{suffix}", {}).items():
                yield suffix, tuple(pair for pair in labels if pair[0] == "le"), value


Number = Callable[[View], float]


def _of(name: str) -> Number:
    return lambda view: view.value(name)


def _kv(view: View) -> float:
    return view.value("kv_cache_usage_perc")


def _capacity(view: View) -> float:
    return float(view.setup.blocks * _BLOCK)


_RUNNING, _WAITING = _of("num_requests_running"), _of("num_requests_waiting")
_FINISHED, _STEPS = _of("request_success_total"), _of("iteration_tokens_total_count")
_PROMPT, _GENERATED = _of("prompt_tokens_total"), _of("generation_tokens_total")
_CACHED = _of("prefix_cache_hits_total")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one engine calls things. Histograms: its name -> vLLM's; numbers: its series -> what is told there."""

    engine: Engine
    labels: Labels
    numbers: Mapping[Key, Number]
    histograms: Mapping[str, str]

    def page(self, view: View) -> Page:
        """The engine's page, all that the catalogue could read of it."""
        page: dict[Key, float] = {}
        for (name, labels), number in self.numbers.items():
            page[name, self._with(labels)] = number(view)
        for name, source in self.histograms.items():
            for suffix, labels, value in view.histogram(source):
                page[name + suffix, self._with(labels)] = value
        return page

    def _with(self, labels: Labels) -> Labels:
        return tuple(sorted((*self.labels, *labels)))


_SGLANG = Dialect(
    Engine.SGLANG,
    (("engine_type", "unified"), ("model_name", MODEL), ("tp_rank", "0")),
    {
        ("sglang:num_running_reqs", ()): _RUNNING,
        ("sglang:num_queue_reqs", ()): _WAITING,
        ("sglang:token_usage", ()): lambda view: round(_kv(view), 2),
        ("sglang:max_total_num_tokens", ()): _capacity,
        ("sglang:num_requests_total", ()): _FINISHED,
        ("sglang:num_aborted_requests_total", ()): lambda view: 0.0,  # noqa: ARG005 - all numbers take the view
        ("sglang:cuda_graph_passes_total", (("mode", "decode_cuda_graph"),)): _STEPS,
        ("sglang:prompt_tokens_total", ()): _PROMPT,
        ("sglang:realtime_tokens_total", (("mode", "decode"),)): _GENERATED,
        ("sglang:num_retracted_requests_total", ()): _of("num_preemptions_total"),
        ("sglang:cached_tokens_total", (("cache_source", "device"),)): _CACHED,
    },
    {
        "sglang:time_to_first_token_seconds": "time_to_first_token_seconds",
        "sglang:inter_token_latency_seconds": "inter_token_latency_seconds",
        "sglang:e2e_request_latency_seconds": "e2e_request_latency_seconds",
        "sglang:queue_time_seconds": "request_queue_time_seconds",
    },
)
_TGI = Dialect(
    Engine.TGI,
    (),
    {
        ("tgi_batch_current_size", ()): _RUNNING,
        ("tgi_queue_size", ()): _WAITING,
        ("tgi_batch_current_max_tokens", ()): lambda view: _kv(view) * _capacity(view),
        ("tgi_batch_max_total_tokens", ()): _capacity,
        ("tgi_request_success", ()): _FINISHED,
        ("tgi_batch_inference_count", (("method", "decode"),)): _STEPS,
    },
    {
        "tgi_request_input_length": "request_prompt_tokens",
        "tgi_request_generated_tokens": "request_generation_tokens",
        "tgi_request_mean_time_per_token_duration": "request_time_per_output_token_seconds",
        "tgi_request_duration": "e2e_request_latency_seconds",
        "tgi_request_queue_duration": "request_queue_time_seconds",
    },
)
_LLAMACPP = Dialect(
    Engine.LLAMACPP,
    (),
    {
        ("llamacpp:requests_processing", ()): _RUNNING,
        ("llamacpp:requests_deferred", ()): _WAITING,
        ("llamacpp:n_decode_total", ()): _STEPS,
        ("llamacpp:prompt_tokens_total", ()): lambda view: _PROMPT(view) - _CACHED(view),
        ("llamacpp:prompt_tokens_cached_total", ()): _CACHED,
        ("llamacpp:tokens_predicted_total", ()): _GENERATED,
        ("llamacpp:tokens_predicted_seconds_total", ()): _of("inter_token_latency_seconds_sum"),
    },
    {},
)
_TENSORRT_LLM = Dialect(
    Engine.TENSORRT_LLM,
    (("engine_type", "trtllm"), ("model_name", MODEL)),
    {
        ("trtllm:num_requests_running", ()): _RUNNING,
        ("trtllm:num_requests_waiting", ()): _WAITING,
        ("trtllm:max_batch_size_runtime", ()): lambda view: float(view.setup.slots),
        ("trtllm:kv_cache_utilization", ()): _kv,
        ("trtllm:kv_cache_max_blocks", ()): lambda view: float(view.setup.blocks),
        ("trtllm:kv_cache_tokens_per_block", ()): lambda view: float(_BLOCK),  # noqa: ARG005 - all take the view
        ("trtllm:request_success_total", (("finished_reason", "length"),)): _FINISHED,
        ("trtllm:prompt_tokens_total", ()): _PROMPT,
        ("trtllm:prompt_cached_tokens_total", ()): _CACHED,
        ("trtllm:generation_tokens_total", ()): _GENERATED,
        ("trtllm:model_config_info", (("max_model_len", "4096"),)): lambda view: 1.0,  # noqa: ARG005 - all take it
    },
    {
        "trtllm:time_to_first_token_seconds": "time_to_first_token_seconds",
        "trtllm:time_per_output_token_seconds": "request_time_per_output_token_seconds",
        "trtllm:e2e_request_latency_seconds": "e2e_request_latency_seconds",
        "trtllm:request_queue_time_seconds": "request_queue_time_seconds",
        "trtllm:request_prefill_time_seconds": "request_prefill_time_seconds",
        "trtllm:request_decode_time_seconds": "request_decode_time_seconds",
    },
)
_DIALECTS = {dialect.engine: dialect for dialect in (_SGLANG, _TGI, _LLAMACPP, _TENSORRT_LLM)}


def direct(engine: Engine, readings: Sequence[Reading], setup: Setup) -> tuple[Page, ...]:
    """What a direct scrape of the engine stores of each reading."""
    if engine is Engine.VLLM:
        return tuple(_keyed(reading.samples) for reading in readings)
    return tuple(_DIALECTS[engine].page(View(reading, setup)) for reading in readings)


def probed(engine: Engine, readings: Sequence[Reading], setup: Setup) -> tuple[Page, ...]:
    """What a scrape of the exporter's prober stores: `llm_*`, and the limit of engines with a page that tells it."""
    mapper = _mapper(engine)
    named = (("engine", engine.value), ("model", MODEL))
    told: dict[Key, float] = {
        ("llm_up", (("engine", engine.value),)): 1.0,
        ("llm_engine_info", (*named, ("version", VERSIONS[engine]))): 1.0,
    }
    if engine in (Engine.LLAMACPP, Engine.SGLANG):  # of /props and /server_info
        told["llm_max_running_requests", named] = float(setup.slots)
    return tuple({**told, **_mapped(mapper, _native(engine, reading, setup))} for reading in readings)


@cache
def _mapper(engine: Engine) -> Mapper:
    return Mapper(load_engine(engine))


def _native(engine: Engine, reading: Reading, setup: Setup) -> Reading:
    if engine is Engine.VLLM:
        return reading
    samples: dict[str, dict[Labels, float]] = {}
    for (name, labels), value in _DIALECTS[engine].page(View(reading, setup)).items():
        samples.setdefault(name, {})[labels] = value
    return Reading(samples, 0)


def _mapped(mapper: Mapper, reading: Reading) -> Page:
    return {
        (family.name + sample.suffix, sample.labels): sample.value
        for family, samples in mapper.families(reading, MODEL)
        for sample in samples
    }


def _keyed(samples: Mapping[str, Mapping[Labels, float]]) -> Page:
    return {(name, labels): value for name, series in samples.items() for labels, value in series.items()}
