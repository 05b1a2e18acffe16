"""Numbers as people write them in engines' files: read as the engine reads them, or unknown."""

import pytest

from recommender.knobs import load
from recommender.model import KnobValue


@pytest.mark.parametrize(
    ("engine", "name", "written", "meant"),
    [
        ("vllm", "max_model_length_tokens", "32k", 32_000),
        ("vllm", "max_model_length_tokens", "32K", 32_768),
        ("vllm", "max_model_length_tokens", "1M", 1_048_576),
        ("vllm", "max_model_length_tokens", "1m", 1_000_000),
        ("vllm", "max_model_length_tokens", "25.6k", 25_600),
        ("vllm", "max_model_length_tokens", " 16k ", 16_000),
        ("vllm", "max_model_length_tokens", "8192", 8192),
        ("vllm", "max_model_length_tokens", "1.5K", None),  # vLLM takes no fraction before a power of two
        ("vllm", "max_model_length_tokens", "auto", None),
        ("vllm", "max_model_length_tokens", -1, None),
        ("vllm", "max_model_length_tokens", "32 k", None),
        ("vllm", "max_model_length_tokens", "1e3", None),
        ("vllm", "max_model_length_tokens", "8192.0", None),
        ("vllm", "max_model_length_tokens", "1_000", None),
        ("vllm", "max_model_length_tokens", "0x2000", None),
        ("vllm", "max_model_length_tokens", "9" * 400 + "k", None),
        ("vllm", "max_batched_tokens", "8k", 8000),
        ("vllm", "kv_cache_memory_bytes", "16G", 16 * 2**30),
        ("vllm", "max_running_requests", "64k", None),  # a plain number there
        ("vllm", "max_running_requests", "٦٤", None),  # digits that only Python reads
        ("vllm", "max_running_requests", True, None),
        ("vllm", "kv_cache_memory_fraction", "9e-1", 0.9),
        ("vllm", "kv_cache_memory_fraction", "90%", None),
        ("vllm", "kv_cache_memory_fraction", "nan", None),
        ("sglang", "kv_offload_bytes", "16", 16_000_000_000),
        ("sglang", "kv_offload_bytes", "16GB", None),
        ("tgi", "graph_max_batch", "1,2,4,8", 8),
        ("tgi", "graph_max_batch", "1,2,", None),
        ("ollama", "model_keep_alive_seconds", "1h30m", 5400),
        ("ollama", "model_keep_alive_seconds", "-5m", -1),
        ("ollama", "model_keep_alive_seconds", "5 m", None),
        ("lmcache", "external_cache_bytes", "1.5", 3 * 2**29),
        ("lmcache", "external_cache_bytes", "5GB", None),
    ],
)
def test_a_number_is_read_as_its_engine_reads_it_or_is_unknown(
    engine: str, name: str, written: object, meant: KnobValue | None
) -> None:
    knob = load(engine).get(name)
    assert knob is not None
    assert knob.from_engine(written) == meant
