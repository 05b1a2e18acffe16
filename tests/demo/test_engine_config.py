"""The engine's configuration: vLLM's file and flags, refusals that name what is wrong."""

from pathlib import Path

import pytest

from demo.engine.config import ConfigError, parse


@pytest.fixture(name="config_file")
def _config_file(tmp_path: Path) -> Path:
    path = tmp_path / "engine.yml"
    path.write_text("max-num-seqs: 8\nmax_num_batched_tokens: 1024\nenable-prefix-caching: false\nport: 8101\n")
    return path


def test_the_file_is_read_and_flags_on_the_command_line_win(config_file: Path) -> None:
    config = parse(["--config", str(config_file), "--max-num-seqs", "12"])

    assert (config.limits.max_num_seqs, config.limits.max_num_batched_tokens, config.port) == (12, 1024, 8101)
    assert not config.limits.prefix_caching


def test_kv_blocks_follow_from_gpu_memory_unless_they_are_overridden() -> None:
    blocks = parse(["--gpu-memory-utilization", "0.9"]).limits.num_gpu_blocks

    assert blocks == int((0.9 * 24 - 16) * 2**30) // (131072 * 16)
    assert parse(["--gpu-memory-utilization", "0.95"]).limits.num_gpu_blocks > blocks
    assert parse(["--kv-cache-dtype", "fp8"]).limits.num_gpu_blocks == pytest.approx(2 * blocks, abs=1)
    assert parse(["--kv-cache-memory-bytes", str(2**30)]).limits.num_gpu_blocks == 512
    assert parse(["--num-gpu-blocks-override", "300"]).limits.num_gpu_blocks == 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu-memory-utilization", "0.6"], "No available memory for the cache blocks"),
        (["--gpu-memory-utilization", "1.2"], "at most 1, not 1.2"),
        (["--num-gpu-blocks-override", "20"], "at least one request with the model's max seq len"),
        (["--max-num-seqs", "0"], "max_num_seqs must be at least 1"),
        (["--max-num-seqs", "4096"], "must be at least max_num_seqs"),
        (["--no-enable-chunked-prefill"], "without chunked prefill"),
        (["--config", "/nowhere.yml"], "cannot read --config /nowhere.yml"),
    ],
)
def test_what_vllm_would_refuse_at_start_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(arguments)


def test_an_unknown_key_is_a_usage_error_that_names_the_nearest_flag(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text("max-num-seq: 8\n")
    with pytest.raises(SystemExit) as caught:
        parse(["--config", str(config_file)])

    assert caught.value.code == 2
    assert "--max-num-seq=8 (nearest: --max-num-seqs)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["- a list\n", "{unclosed: ["])
def test_a_file_that_is_no_mapping_is_refused(config_file: Path, text: str) -> None:
    config_file.write_text(text)
    with pytest.raises(ConfigError, match=r"YAML|mapping"):
        parse(["--config", str(config_file)])
