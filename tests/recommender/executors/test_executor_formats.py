"""Nested YAML: one setting is changed, every other byte stays; which format the file of an engine has."""

import string
import sys
from pathlib import Path, PurePath

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recommender.contracts import ReplicaTarget
from recommender.errors import ExecutorError
from recommender.executors.command import CommandExecutor
from recommender.executors.engine_config import agrees, changed, current, format_of, means, scalars
from recommender.executors.env_config import EnvConfig
from recommender.executors.pbtxt_config import PbtxtConfig
from recommender.executors.yaml_config import YamlConfig
from recommender.knobs import load
from recommender.model import Change, KnobValue

NESTED = YamlConfig()
KEY = "kv_cache_config.free_gpu_memory_fraction"


def change_of(engine: str, name: str, old: KnobValue, new: KnobValue) -> Change:
    knob = load(engine).get(name)
    assert knob is not None
    return knob.change(engine, old, new, reason="", formula="", inputs={})


# -- nested YAML


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# ours\nkv_cache_config:  # KV\n  free_gpu_memory_fraction: 0.8  # low\n  dtype: fp8\nmax_batch_size: 8\n",
            "# ours\nkv_cache_config:  # KV\n  free_gpu_memory_fraction: 0.9  # low\n  dtype: fp8\nmax_batch_size: 8\n",
        ),
        (
            "kv_cache_config:\n    dtype: fp8  # why\n\n# batch\nmax_batch: 8\n",
            "kv_cache_config:\n    dtype: fp8  # why\n    free_gpu_memory_fraction: 0.9\n\n# batch\nmax_batch: 8\n",
        ),
        ("kv_cache_config:\n  dtype: fp8", "kv_cache_config:\n  dtype: fp8\n  free_gpu_memory_fraction: 0.9\n"),
        (
            "kv_cache_config:\r\n  dtype: fp8\r\n",
            "kv_cache_config:\r\n  dtype: fp8\r\n  free_gpu_memory_fraction: 0.9\r\n",
        ),
        ("kv_cache_config: {dtype: fp8}\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9, dtype: fp8}\n"),
        ("kv_cache_config: {}\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9}\n"),
        ("kv_cache_config:\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9}\n"),
        ("kv_cache_config: null\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9}\n"),
        (
            "kv_cache_config:\n  event:\n    - 1\n    - 2\n  # end\na: 1\n",
            "kv_cache_config:\n  free_gpu_memory_fraction: 0.9\n  event:\n    - 1\n    - 2\n  # end\na: 1\n",
        ),
        ("a: 1\n", "a: 1\nkv_cache_config:\n  free_gpu_memory_fraction: 0.9\n"),
        ("", "kv_cache_config:\n  free_gpu_memory_fraction: 0.9\n"),
        (
            "free_gpu_memory_fraction: 0.1\n",
            "free_gpu_memory_fraction: 0.1\nkv_cache_config:\n  free_gpu_memory_fraction: 0.9\n",
        ),
        ("kv_cache_config.free_gpu_memory_fraction: 0.1\n", "kv_cache_config.free_gpu_memory_fraction: 0.9\n"),
    ],
)
def test_only_the_value_below_its_level_changes(before: str, after: str) -> None:
    assert NESTED.with_value(before, KEY, 0.9, "engine.yml") == after
    assert NESTED.read(after, "engine.yml")[KEY] == 0.9
    assert NESTED.with_value(after, KEY, 0.9, "engine.yml") == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kv_cache_config: off\n", "cannot be set without touching the rest of the file; write it as a plain line"),
        ("kv_cache_config: [1]\n", "`free_gpu_memory_fraction: <value>` below `kv_cache_config`"),
        ("kv_cache_config: {free_gpu_memory_fraction: {a: 1}}\n", "cannot be set without"),
        ("a: &x {dtype: fp8}\nkv_cache_config: *x\n", "cannot be set without"),
        ("kv_cache_config:\n  dtype: fp8\n  dtype: auto\n", "`kv_cache_config.dtype` is there twice"),
        ("a: 1\na: 2\n", "`a` is there twice"),
        ("kv_cache_config: {dtype: fp8}\nkv_cache_config.dtype: auto\n", "`kv_cache_config.dtype` is there twice"),
        ("a: &a\n  b: *a\n", "more than 20 levels"),
    ],
)
def test_a_nested_file_that_cannot_be_changed_safely_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExecutorError, match=r"engine\.yml") as refused:
        NESTED.with_value(text, KEY, 0.9, "engine.yml")
    assert says in str(refused.value)


def test_a_file_whose_aliases_make_it_huge_is_refused() -> None:
    text = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{" + ", ".join(f"k{i}: *{chr(97 + n)}" for i in range(9)) + "}\n"
        for n in range(7)
    )
    with pytest.raises(ExecutorError, match="more than 10000 values"):
        NESTED.read(text, "engine.yml")


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("a: 1\nb: 2 # two\nc: 3\n", "b", "a: 1\nc: 3\n"),
        ("a: 1\nb: 2", "b", "a: 1\n"),
        ("spec:\n  method: eagle\n  # why\n  n: 3\n\n# next\na: 1\n", "spec", "\n# next\na: 1\n"),
        ("spec:\n  method: eagle\n  n: 3\na: 1\n", "spec.n", "spec:\n  method: eagle\na: 1\n"),
        ("spec:\n  n: 3\na: 1\n", "spec.n", "spec:\na: 1\n"),
        ("spec: |\n  text\n  more\n\na: 1\n", "spec", "\na: 1\n"),
        ("spec: {n: 3}\na: 1\n", "spec", "a: 1\n"),
        ("a: 1\n", "spec", "a: 1\n"),
    ],
)
def test_a_key_is_left_out_with_all_below_it(before: str, key: str, after: str) -> None:
    assert NESTED.without(before, key, "engine.yml") == after


@pytest.mark.parametrize("text", ["{a: 1, spec: 2}\n", "spec: &x 1\nb: *x\n"])
def test_what_cannot_be_left_out_safely_is_refused(text: str) -> None:
    with pytest.raises(ExecutorError, match="remove it by hand"):
        NESTED.without(text, "spec", "engine.yml")


keys = st.text(string.ascii_lowercase + "_", min_size=1, max_size=5)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
trees = st.dictionaries(
    keys, st.recursive(values, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
)


@given(
    trees, st.lists(keys, min_size=1, max_size=3), st.booleans() | st.integers() | st.text(max_size=9), st.booleans()
)
def test_any_nested_file_holds_exactly_the_new_value_or_is_refused(
    before: dict[str, object], levels: list[str], value: bool | int | str, flow: bool
) -> None:
    text, key = yaml.safe_dump(before, default_flow_style=flow), ".".join(levels)
    try:
        after = NESTED.with_value(text, key, value, "engine.yml")
    except ExecutorError:
        return
    told, was = NESTED.read(after, "x"), NESTED.read(text, "x")
    assert told.pop(key) == value
    was.pop(key, None)
    assert told == {name: one for name, one in was.items() if one is not None or not key.startswith(f"{name}.")}


@given(trees, st.lists(keys, min_size=1, max_size=3))
def test_any_nested_file_lacks_exactly_what_is_left_out_or_is_refused(
    before: dict[str, object], levels: list[str]
) -> None:
    text, key = yaml.safe_dump(before), ".".join(levels)
    try:
        after = NESTED.without(text, key, "engine.yml")
    except ExecutorError:
        return
    told, was = NESTED.read(after, "x"), NESTED.read(text, "x")
    assert not [name for name in told if name == key or name.startswith(f"{key}.")]
    kept = {name: one for name, one in was.items() if name != key and not name.startswith(f"{key}.")}
    assert {n: v for n, v in told.items() if v is not None} == {n: v for n, v in kept.items() if v is not None}


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
