"""A key that is not in the file: written where it belongs in every format, and taken back to the same bytes."""

from pathlib import Path

import pytest

from recommender.contracts import ReplicaTarget
from recommender.errors import ExecutorError
from recommender.executors.command import CommandExecutor
from recommender.executors.engine_config import changed, current, means
from recommender.knobs import load
from recommender.model import Change, KnobValue

FILES = Path(__file__).parents[2] / "data" / "engine_files"


def _change(engine: str, name: str, old: KnobValue, new: KnobValue) -> Change:
    knob = load(engine).get(name)
    assert knob is not None
    return knob.change(engine, old, new, reason="", formula="", inputs={})


INSERTS = [
    ("vllm.yml", _change("vllm", "max_running_requests", 256, 320), ["max-num-seqs: 320"]),
    ("trtllm.yml", _change("tensorrt_llm", "max_running_requests", 2048, 1024), ["max_batch_size: 1024"]),
    (
        "trtllm.yml",
        _change("tensorrt_llm", "kv_cache_memory_fraction", 0.9, 0.87),
        ["    free_gpu_memory_fraction: 0.87"],
    ),
    (
        "trtllm.yml",
        _change("tensorrt_llm", "capacity_policy", "guaranteed_no_evict", "max_utilization"),
        ["scheduler_config:", "  capacity_scheduler_policy: MAX_UTILIZATION"],
    ),
    ("tgi.env", _change("tgi", "queue_limit_requests", 128, 256), ["MAX_CONCURRENT_REQUESTS=256"]),
    ("ollama.env", _change("ollama", "max_running_requests", 1, 2), ["export OLLAMA_NUM_PARALLEL=2"]),
    ("lmcache.yml", _change("lmcache", "external_cache_bytes", 5 * 2**30, 8 * 2**30), ["max_local_cpu_size: 8"]),
    (
        "config.pbtxt",
        _change("triton", "prefix_caching", False, True),
        [
            "parameters {",
            '  key: "enable_kv_cache_reuse"',
            "  value: {",
            '    string_value: "true"',
            "  }",
            "}",
        ],
    ),
]


def _target(file: Path, engine: str, code: int = 0) -> ReplicaTarget:
    return ReplicaTarget(
        service="chat",
        instance="127.0.0.1:8000",
        url="http://127.0.0.1:8000",
        engine=engine,
        config_file=str(file),
        restart_command=("sh", "-c", f'cat "$0" > "$0.seen"; exit {code}', str(file)),
        restart_timeout_seconds=10,
    )


@pytest.mark.parametrize(("name", "change", "lines"), INSERTS)
def test_an_inserted_key_is_all_that_differs(name: str, change: Change, lines: list[str]) -> None:
    text = (FILES / name).read_bytes().decode()
    after = changed(text, change, FILES / name)
    newline = "\r\n" if "\r\n" in text else "\n"
    now = after.split(newline)
    at = len(now) - now[::-1].index(lines[0]) - 1
    assert now[at : at + len(lines)] == lines
    assert newline.join(now[:at] + now[at + len(lines) :]).rstrip() == text.rstrip()
    assert changed(after, change, FILES / name) == after


@pytest.mark.parametrize(("name", "change", "lines"), INSERTS)
def test_a_restart_that_fails_halfway_is_taken_back_to_the_same_bytes(
    tmp_path: Path, name: str, change: Change, lines: list[str]
) -> None:
    content, file = (FILES / name).read_bytes(), tmp_path / name
    file.write_bytes(content)
    good, broken = _target(file, change.engine), _target(file, change.engine, code=1)
    executor = CommandExecutor({"PATH": "/usr/bin:/bin"})
    held = current(executor.read(good), change)
    assert held is None
    snapshot = executor.snapshot(good)
    with pytest.raises(ExecutorError, match="ended with code 1"):
        executor.apply(broken, change)
    assert lines[0] in file.read_text()

    resumed = CommandExecutor({"PATH": "/usr/bin:/bin"})  # the recommender was killed, another goes on
    resumed.apply(good, change)
    told = current(resumed.read(good), change)
    assert told is not None
    assert means(change, told, change.new)

    with pytest.raises(ExecutorError):
        resumed.restore(broken, snapshot)
    CommandExecutor({"PATH": "/usr/bin:/bin"}).restore(good, snapshot)
    assert file.read_bytes() == content
    assert (tmp_path / f"{name}.seen").read_bytes() == content


def test_lmcache_has_a_file_of_its_own_and_is_restarted_with_its_engine(tmp_path: Path) -> None:
    engine, cache = tmp_path / "vllm.yml", tmp_path / "lmcache.yml"
    for file in (engine, cache):
        file.write_bytes((FILES / file.name).read_bytes())
    target = ReplicaTarget(
        service="chat",
        instance="127.0.0.1:8000",
        url="http://127.0.0.1:8000",
        engine="vllm",
        config_file=str(engine),
        lmcache_config_file=str(cache),
        restart_command=("sh", "-c", 'echo x >> "$0"', str(tmp_path / "restarts")),
    )
    change = INSERTS[6][1]
    executor = CommandExecutor({"PATH": "/usr/bin:/bin"})
    snapshot = executor.snapshot(target.of("lmcache"))
    executor.apply(target.of(change.engine), change)
    assert engine.read_bytes() == (FILES / "vllm.yml").read_bytes()
    assert cache.read_text().endswith("max_local_cpu_size: 8\n")
    executor.restore(target.of(change.engine), snapshot)
    assert cache.read_bytes() == (FILES / "lmcache.yml").read_bytes()
    assert (tmp_path / "restarts").read_text() == "x\nx\n"
    with pytest.raises(ExecutorError, match="has no lmcache_config_file"):
        executor.snapshot(ReplicaTarget("chat", "a:1", "http://a:1", "vllm", config_file=str(engine)).of("lmcache"))


@pytest.mark.parametrize(
    "text", ["{model: m}\n", "{}\n", "model: m\n...\n", "---\nmodel: m\n# end\n...\n", "# empty\n"]
)
def test_a_file_of_another_style_takes_a_new_key_too(text: str) -> None:
    after = changed(text, INSERTS[0][1], Path("engine.yml"))
    assert "max-num-seqs: 320" in after
    assert after.replace("max-num-seqs: 320, ", "").replace("max-num-seqs: 320", "").replace("\n\n", "\n") == text


def test_a_shell_passes_on_what_is_exported_alone() -> None:
    change = INSERTS[4][1]
    assert changed("A=1\nexport B=2\n", change, Path("t.env")).endswith("export MAX_CONCURRENT_REQUESTS=256\n")
    assert changed("A=1\n", change, Path("t.env")).endswith("\nMAX_CONCURRENT_REQUESTS=256\n")
