"""Which format the file of an engine has, and changes in the engine's words and the file's spelling."""

import sys
from pathlib import Path, PurePath

import pytest

from recommender.contracts import ReplicaTarget
from recommender.errors import ExecutorError
from recommender.executors.command import CommandExecutor
from recommender.executors.engine_config import agrees, changed, current, format_of, means, scalars
from recommender.executors.env_config import EnvConfig
from recommender.executors.pbtxt_config import PbtxtConfig
from recommender.executors.yaml_config import YamlConfig
from recommender.knobs import load
from recommender.model import Change, KnobValue

KEY = "kv_cache_config.free_gpu_memory_fraction"


def change_of(engine: str, name: str, old: KnobValue, new: KnobValue) -> Change:
    knob = load(engine).get(name)
    assert knob is not None
    return knob.change(engine, old, new, reason="", formula="", inputs={})


# -- by the file's name and the engine


@pytest.mark.parametrize(
    ("name", "engine", "kind"),
    [
        ("engine.yml", "vllm", YamlConfig(dashes=True)),
        ("engine.yaml", "sglang", YamlConfig()),
        ("engine.conf", "tensorrt_llm", YamlConfig()),
        (".env", "vllm", EnvConfig()),
        (".env.production", "vllm", EnvConfig()),
        ("tgi.env", "tgi", EnvConfig()),
        ("ollama", "ollama", EnvConfig()),
        ("llama-server.conf", "llamacpp", EnvConfig()),
    ],
)
def test_the_format_follows_from_name_and_engine(name: str, engine: str, kind: object) -> None:
    assert format_of(PurePath("/etc") / name, engine) == kind


def test_triton_reads_no_file_but_its_config_pbtxt() -> None:
    assert format_of(PurePath("model/config.pbtxt"), "triton") == PbtxtConfig()
    with pytest.raises(ExecutorError, match=r"name that as config_file"):
        format_of(PurePath("model/triton.yml"), "triton")


@pytest.mark.parametrize(
    ("change", "name", "before", "after"),
    [
        (
            change_of("sglang", "kv_cache_dtype", "auto", "fp8"),
            "s.yml",
            "kv-cache-dtype: auto\n",
            "kv-cache-dtype: fp8_e4m3\n",
        ),
        (
            change_of("sglang", "kv_offload_bytes", 10**10, 2 * 10**10),
            "s.yml",
            "hicache-size: 10\n",
            "hicache-size: 20\nenable-hierarchical-cache: true\n",
        ),
        (
            change_of("sglang", "tensor_parallel_size", 1, 2),
            "s.yml",
            "tensor-parallel-size: 1\n",
            "tensor-parallel-size: 2\n",
        ),
        (
            change_of("sglang", "prefix_caching", False, True),
            "s.yml",
            "disable-radix-cache: true # why\na: 1\n",
            "a: 1\n",
        ),
        (change_of("sglang", "prefix_caching", True, False), "s.yml", "a: 1\n", "a: 1\ndisable-radix-cache: true\n"),
        (
            change_of("vllm", "prefix_caching", False, True),
            "v.yml",
            "no-enable-prefix-caching: true\n",
            "enable-prefix-caching: true\n",
        ),
        (change_of("vllm", "max_running_requests", 8, 16), "v.yml", "max_num_seqs: 8\n", "max_num_seqs: 16\n"),
        (
            change_of("vllm", "kv_offload_bytes", 2**30, 2**34),
            "v.yml",
            "kv_offloading_size: 1.0\n",
            "kv_offloading_size: 16\n",
        ),
        (
            change_of("vllm", "speculative_decoding", "ngram", "none"),
            "v.yml",
            "a: 1\nspeculative-config:\n  method: ngram\n  num_speculative_tokens: 4\n",
            "a: 1\n",
        ),
        (
            change_of("vllm", "graph_max_batch", 64, 128),
            "v.yml",
            "compilation_config: {max_cudagraph_capture_size: 64}\n",
            "compilation_config: {max_cudagraph_capture_size: 128}\n",
        ),
        (
            change_of("tensorrt_llm", "capacity_policy", "guaranteed_no_evict", "max_utilization"),
            "t.yaml",
            "scheduler_config:\n  capacity_scheduler_policy: GUARANTEED_NO_EVICT\n",
            "scheduler_config:\n  capacity_scheduler_policy: MAX_UTILIZATION\n",
        ),
        (
            change_of("tensorrt_llm", "kv_cache_capacity_tokens", 8, 16),
            "t.yaml",
            "a: 1\n",
            "a: 1\nkv_cache_config:\n  max_tokens: 16\n",
        ),
        (change_of("tgi", "prefix_caching", False, True), "tgi.env", "PREFIX_CACHING=0\n", "PREFIX_CACHING=1\n"),
        (change_of("tgi", "kv_cache_dtype", "fp8", "auto"), "tgi.env", "KV_CACHE_DTYPE=fp8_e4m3fn\nA=1\n", "A=1\n"),
        (
            change_of("llamacpp", "kv_cache_dtype", "fp16", "int8"),
            "l.env",
            "LLAMA_ARG_CACHE_TYPE_K=f16\nLLAMA_ARG_N_PARALLEL=4\n",
            "LLAMA_ARG_CACHE_TYPE_K=q8_0\nLLAMA_ARG_N_PARALLEL=4\nLLAMA_ARG_CACHE_TYPE_V=q8_0\n",
        ),
        (
            change_of("ollama", "model_keep_alive_seconds", 300, 3600),
            "o.env",
            "OLLAMA_KEEP_ALIVE=5m\n",
            "OLLAMA_KEEP_ALIVE=3600s\n",
        ),
    ],
)
def test_a_change_is_written_in_the_engines_words_and_the_files_spelling(
    change: Change, name: str, before: str, after: str
) -> None:
    path = PurePath(name)
    assert changed(before, change, path) == after
    assert changed(after, change, path) == after
    held = current(scalars(format_of(path, change.engine).read(before, name)), change)
    assert held is None or means(change, held, change.old)
    held = current(scalars(format_of(path, change.engine).read(after, name)), change)
    assert held is None or means(change, held, change.new)
    assert held is None or not means(change, held, change.old)


@pytest.mark.parametrize(
    ("change", "name", "text", "says"),
    [
        (change_of("ollama", "max_batched_tokens", 512, 1024), "o.env", "", "num_batch has no variable"),
        (change_of("sglang", "max_running_requests", 8, 16), "s.env", "", "--max-running-requests has no variable"),
        (
            change_of("tgi", "max_batched_tokens", 512, 1024),
            "tgi.yml",
            "",
            "name an environment file (*.env) as config_file",
        ),
        (
            change_of("sglang", "tensor_parallel_size", 1, 2),
            "s.yml",
            "tp-size: 1\ntensor-parallel-size: 1\n",
            "are the same option",
        ),
        (
            change_of("triton", "queue_limit_requests", 64, 128),
            "config.pbtxt",
            "max_batch_size: 8\n",
            "without switching on what is around it",
        ),
    ],
)
def test_a_change_that_has_no_place_in_the_file_is_refused(change: Change, name: str, text: str, says: str) -> None:
    with pytest.raises(ExecutorError) as refused:
        changed(text, change, PurePath(name))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("held", "wanted", "alike"),
    [
        ("8", 8, True),
        (8, "8", True),
        ("0.90", 0.9, True),
        ("true", True, True),
        ("True", True, True),
        ("1", True, False),
        (1, True, False),
        ("8", 9, False),
        ("fp8", "fp8", True),
        ("fp8", 8, False),
        ("nan", 8, False),
        (None, 8, False),
    ],
)
def test_text_that_means_the_value_agrees_with_it(held: object, wanted: KnobValue, alike: bool) -> None:
    assert agrees(held, wanted) is alike


# -- carried out by the command executor, with a restart command that reads the file as the engine would


@pytest.mark.parametrize(
    ("change", "file", "seen"),
    [
        (
            change_of("sglang", "kv_cache_dtype", "auto", "fp8"),
            ("engine.yml", "# SGLang\nkv-cache-dtype: auto  # for now\nport: 30000\n", "kv-cache-dtype"),
            "fp8_e4m3",
        ),
        (
            change_of("tensorrt_llm", "kv_cache_memory_fraction", 0.8, 0.85),
            (
                "engine.yaml",
                "kv_cache_config:\n  free_gpu_memory_fraction: 0.8\n  enable_block_reuse: true\n",
                "kv_cache_config.free_gpu_memory_fraction",
            ),
            "0.85",
        ),
        (change_of("tgi", "graph_max_batch", 32, 64), ("tgi.env", "PORT=80\n", "CUDA_GRAPHS"), "1,2,4,8,16,32,64"),
        (
            change_of("llamacpp", "max_running_requests", 4, 8),
            ("llama.env", "export LLAMA_ARG_N_PARALLEL='4'\n", "LLAMA_ARG_N_PARALLEL"),
            "8",
        ),
        (
            change_of("ollama", "model_keep_alive_seconds", 300, 3600),
            ("ollama.env", "# residency\nOLLAMA_KEEP_ALIVE=5m\n", "OLLAMA_KEEP_ALIVE"),
            "3600s",
        ),
    ],
    ids=["sglang", "tensorrt_llm", "tgi", "llamacpp", "ollama"],
)
def test_an_engine_is_restarted_with_its_own_kind_of_file(
    tmp_path: Path, change: Change, file: tuple[str, str, str], seen: str
) -> None:
    name, text, reader = file
    config = tmp_path / name
    config.write_text(text)
    by_yaml = (
        "import functools, sys, yaml; tree = yaml.safe_load(open(sys.argv[1]))\n"
        "print(functools.reduce(lambda node, key: node[key], sys.argv[2].split('.'), tree))"
    )
    script = (
        f'{sys.executable} -c "$2" "$0" "$1" >> "$0.seen"'
        if name.endswith("ml")
        else 'set -a; . "$0"; printenv "$1" >> "$0.seen" || echo unset >> "$0.seen"'
    )
    target = ReplicaTarget(
        service="chat",
        instance="127.0.0.1:8000",
        url="http://127.0.0.1:8000",
        engine=change.engine,
        config_file=str(config),
        restart_command=("sh", "-c", script, str(config), reader, by_yaml),
        restart_timeout_seconds=30,
    )
    executor = CommandExecutor({"PATH": "/usr/bin:/bin"})
    held = current(executor.read(target), change)
    assert held is None or means(change, held, change.old)
    snapshot = executor.snapshot(target)

    executor.apply(target, change)
    executor.apply(target, change)
    assert (tmp_path / f"{name}.seen").read_text().splitlines() == [seen]
    told = current(executor.read(target), change)
    assert told is not None
    assert means(change, told, change.new)

    executor.restore(target, snapshot)
    assert config.read_text() == text
    assert len((tmp_path / f"{name}.seen").read_text().splitlines()) == 2
