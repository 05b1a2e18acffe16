"""What a person turns at each engine, in the engine's own words (engine-knobs §1-§7).

For advice alone: a change needs the catalogue of knobs, which knows versions and legal values. What is not listed the
engine does not have.
"""

from collections.abc import Mapping

from recommender.playbooks.base import PlanContext

_HANDLES: Mapping[str, Mapping[str, str]] = {
    "kv_cache_memory_fraction": {
        "vllm": "--gpu-memory-utilization",
        "sglang": "--mem-fraction-static",
        "tgi": "--cuda-memory-fraction",
        "tensorrt_llm": "kv_cache_config.free_gpu_memory_fraction",
        "triton": "kv_cache_free_gpu_mem_fraction",
    },
    "max_batched_tokens": {
        "vllm": "--max-num-batched-tokens",
        "sglang": "--chunked-prefill-size",
        "tgi": "--max-batch-prefill-tokens",
        "tensorrt_llm": "max_num_tokens",
        "llamacpp": "-ub",
        "ollama": "the option num_batch",
    },
    "max_running_requests": {
        "vllm": "--max-num-seqs",
        "sglang": "--max-running-requests",
        "tgi": "--max-batch-size",
        "tensorrt_llm": "max_batch_size",
        "triton": "max_batch_size of trtllm-build, for another engine,",
        "llamacpp": "-np",
        "ollama": "OLLAMA_NUM_PARALLEL",
    },
    "graph_max_batch": {
        "vllm": "--max-cudagraph-capture-size",
        "sglang": "--cuda-graph-max-bs-decode",
        "tgi": "--cuda-graphs",
        "tensorrt_llm": "cuda_graph_config.max_batch_size",
    },
    "kv_cache_dtype": {
        "vllm": "--kv-cache-dtype",
        "sglang": "--kv-cache-dtype",
        "tgi": "--kv-cache-dtype",
        "tensorrt_llm": "kv_cache_config.dtype",
        "llamacpp": "-ctk and -ctv (with -fa on)",
        "ollama": "OLLAMA_KV_CACHE_TYPE (with OLLAMA_FLASH_ATTENTION=1)",
    },
    "weight_quantization": {
        "vllm": "--quantization, or a quantised checkpoint",
        "sglang": "--quantization, or a quantised checkpoint",
        "tgi": "--quantize",
        "tensorrt_llm": "a checkpoint quantised with ModelOpt",
        "triton": "an engine built from a quantised checkpoint",
        "llamacpp": "another GGUF file (Q8_0, Q4_K_M)",
        "ollama": "another model tag (:q8_0, :q4_K_M)",
    },
    "speculative_decoding": {
        "vllm": "--speculative-config",
        "sglang": "--speculative-algorithm",
        "tgi": "--speculate",
        "tensorrt_llm": "speculative_config",
        "llamacpp": "--spec-type",
        "ollama": "the option draft_num_predict",
    },
    "speculative_tokens": {
        "vllm": "num_speculative_tokens in --speculative-config",
        "sglang": "--speculative-num-draft-tokens",
        "tgi": "--speculate",
        "tensorrt_llm": "speculative_config.max_draft_len",
        "llamacpp": "--spec-draft-n-max",
        "ollama": "the option draft_num_predict",
    },
    "tensor_parallel_size": {
        "vllm": "--tensor-parallel-size",
        "sglang": "--tp-size",
        "tgi": "--num-shard",
        "tensorrt_llm": "tensor_parallel_size",
        "llamacpp": "-sm and -ts",
    },
    "max_model_length_tokens": {
        "vllm": "--max-model-len",
        "sglang": "--context-length",
        "tgi": "--max-total-tokens",
        "tensorrt_llm": "max_seq_len",
        "llamacpp": "-c (divided by the slots of -np)",
        "ollama": "num_ctx, or OLLAMA_CONTEXT_LENGTH",
    },
    "kv_offload_bytes": {
        "vllm": "--kv-offloading-size (GiB over all ranks)",
        "sglang": "--hicache-size (GB)",
        "tensorrt_llm": "kv_cache_config.host_cache_size (bytes)",
        "triton": "kv_cache_host_memory_bytes",
        "llamacpp": "-cram (MiB)",
    },
    "api_server_processes": {
        "vllm": "--api-server-count",
        "sglang": "--tokenizer-worker-num",
        "tgi": "--validation-workers",
        "llamacpp": "--threads-http",
    },
    "cpu_threads": {"llamacpp": "-t", "ollama": "the option num_thread"},
    "queue_limit_requests": {
        "vllm": "--max-num-queued-reqs",
        "sglang": "--max-queued-requests",
        "tgi": "--max-concurrent-requests",
        "triton": "max_queue_size",
        "ollama": "OLLAMA_MAX_QUEUE",
    },
    "model_keep_alive_seconds": {"ollama": "OLLAMA_KEEP_ALIVE"},
    "loaded_models_max": {"ollama": "OLLAMA_MAX_LOADED_MODELS"},
}


def engine_of(context: PlanContext) -> str | None:
    """The engine of the service, as the inventory says; None outside it."""
    if context.engine is not None:
        return context.engine
    return context.replicas[0].engine if context.replicas else None


def handle(name: str, context: PlanContext) -> str | None:
    """What sets this neutral knob at the service's engine; None where the engine has nothing that does.

    Of an engine that is not known the handle of vLLM is named as an example.
    """
    knob, engine = context.knob(name), engine_of(context)
    if knob is not None:
        return knob.label
    known = _HANDLES.get(name, {})
    if engine is not None:
        return known.get(engine)
    return f"the engine's setting (vLLM: {known['vllm']})" if "vllm" in known else None


def queue_limit(context: PlanContext) -> tuple[str, str]:
    """What bounds the queue of the service, and what to add to the length of the queue there; empty for nothing.

    The limits of vLLM and TGI count the requests that run as well (vllm/config/scheduler.py, launcher/src/main.rs).
    """
    turned = handle("queue_limit_requests", context)
    if turned is None:
        return "the queue limit of the gateway", ""
    counts_running = engine_of(context) in {None, "vllm", "tgi"}
    return turned, " and its batch limit, for it counts those that run as well" if counts_running else ""
