"""The engine's command line: vLLM's long flags, its `--config` YAML, and `--sim-…` for what a GPU would decide.

As in vLLM, the YAML's keys are long flags without the dashes, flags given on the command line win, and an unknown
key is a usage error.
"""

import argparse
import difflib
from collections.abc import Sequence as Arguments
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from demo.engine.model import ModelLimits

GIB = 2**30
_CACHE_DTYPE_BYTES_FACTOR = {"auto": 1.0, "bfloat16": 1.0, "float16": 1.0, "fp8": 0.5}


class ConfigError(ValueError):
    """A configuration with which vLLM would refuse to start."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything one simulated engine is told. Sizes in tokens, blocks or bytes; times in seconds."""

    host: str
    port: int
    model: str
    max_model_len: int
    gpu_memory_utilization: float
    kv_cache_memory_bytes: int
    cache_dtype: str
    num_gpu_blocks_override: int | None
    limits: ModelLimits
    load_seconds: float
    mean_answer_tokens: float
    seed: int

    @property
    def kv_cache_size_tokens(self) -> int:
        """All blocks times their size, as vLLM tells it."""
        return self.limits.num_gpu_blocks * self.limits.block_size


class _Parser(argparse.ArgumentParser):
    """Says which key of the configuration file was meant when one is unknown."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()
        flags = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1) if unknown else []
        super().error(f"{message} (nearest: {near[0]})" if near and message.startswith("unrecognized") else message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; abbreviations are off, so a misspelt flag is never taken for another one."""
    parser = _Parser("demo.engine", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, help="YAML file whose keys are the flags below")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", default="tiny-llama")
    parser.add_argument("--served-model-name")
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument("--max-num-seqs", type=int, default=256)
    parser.add_argument("--max-num-batched-tokens", type=int, default=2048)
    parser.add_argument("--block-size", type=int, default=16)
    parser.add_argument("--num-gpu-blocks-override", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--kv-cache-memory-bytes", type=int)
    parser.add_argument("--kv-cache-dtype", choices=sorted(_CACHE_DTYPE_BYTES_FACTOR), default="auto")
    parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--enable-chunked-prefill", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    sim = parser.add_argument_group("simulation")
    sim.add_argument("--sim-load-seconds", type=float, default=2.0, help="from start to ready")
    # 26.4 to 33 ms for 1 to 16 requests lie in one bucket of vLLM's inter-token histogram (25 to 50 ms), so its p95
    # does not jump between buckets when the batch grows.
    sim.add_argument("--sim-step-alpha-ms", type=float, default=26.0, help="step time with nothing in it")
    sim.add_argument("--sim-step-beta-ms", type=float, default=0.4, help="more step time per running request")
    sim.add_argument("--sim-prefill-gamma-us", type=float, default=20.0, help="more step time per prompt token")
    sim.add_argument("--sim-gpu-memory-gib", type=float, default=24.0)
    sim.add_argument("--sim-weights-gib", type=float, default=16.0, help="weights and activations")
    sim.add_argument("--sim-kv-bytes-per-token", type=int, default=131072, help="an 8B model in 16 bits")
    sim.add_argument("--sim-mean-answer-tokens", type=float, default=200.0, help="without ignore_eos")
    return parser


def parse(argv: Arguments[str]) -> EngineConfig:
    """Read flags and the file they name; raises ConfigError, or SystemExit(2) for a usage error as argparse does."""
    parser = build_parser()
    given, _ = parser.parse_known_args(argv)
    from_file = [] if given.config is None else _file_arguments(given.config)
    return _resolve(parser.parse_args([*from_file, *argv]))


def _file_arguments(path: Path) -> list[str]:
    """Turn the YAML mapping into flags that come before the command line's own."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read --config {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"--config {path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path} must be a mapping of flags to values")
    arguments: list[str] = []
    for key, value in content.items():
        flag = str(key).replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            arguments.append(f"--{flag}={value}")
    return arguments


def _resolve(given: argparse.Namespace) -> EngineConfig:
    _check_ranges(given)
    per_block = int(given.sim_kv_bytes_per_token * _CACHE_DTYPE_BYTES_FACTOR[given.kv_cache_dtype] * given.block_size)
    memory = given.kv_cache_memory_bytes
    if memory is None:
        memory = int((given.gpu_memory_utilization * given.sim_gpu_memory_gib - given.sim_weights_gib) * GIB)
    blocks = given.num_gpu_blocks_override or memory // per_block
    if blocks < 2:  # noqa: PLR2004 - one block is vLLM's null block
        raise ConfigError(
            f"No available memory for the cache blocks: {memory / GIB:.2f} GiB left after the weights. "
            "Try increasing gpu_memory_utilization."
        )
    if (blocks - 1) * given.block_size < given.max_model_len:
        raise ConfigError(
            f"To serve at least one request with the model's max seq len ({given.max_model_len}), more KV cache is "
            f"needed than the {(blocks - 1) * given.block_size} tokens available. Try increasing "
            "gpu_memory_utilization or decreasing max_model_len."
        )
    limits = ModelLimits(
        max_num_seqs=given.max_num_seqs,
        max_num_batched_tokens=given.max_num_batched_tokens,
        num_gpu_blocks=blocks,
        block_size=given.block_size,
        prefix_caching=given.enable_prefix_caching,
        chunked_prefill=given.enable_chunked_prefill,
        step_alpha=given.sim_step_alpha_ms / 1e3,
        step_beta=given.sim_step_beta_ms / 1e3,
        prefill_gamma=given.sim_prefill_gamma_us / 1e6,
    )
    return EngineConfig(
        host=given.host,
        port=given.port,
        model=given.served_model_name or given.model,
        max_model_len=given.max_model_len,
        gpu_memory_utilization=given.gpu_memory_utilization,
        kv_cache_memory_bytes=memory,
        cache_dtype=given.kv_cache_dtype,
        num_gpu_blocks_override=given.num_gpu_blocks_override,
        limits=limits,
        load_seconds=given.sim_load_seconds,
        mean_answer_tokens=given.sim_mean_answer_tokens,
        seed=given.seed,
    )


def _check_ranges(given: argparse.Namespace) -> None:
    """Refuse what vLLM refuses."""
    for name in ("max_num_seqs", "max_num_batched_tokens", "max_model_len", "block_size"):
        if getattr(given, name) < 1:
            raise ConfigError(f"{name} must be at least 1, not {getattr(given, name)}")
    if not 0 < given.gpu_memory_utilization <= 1:
        raise ConfigError(f"gpu_memory_utilization must be above 0 and at most 1, not {given.gpu_memory_utilization}")
    if given.max_num_batched_tokens < given.max_num_seqs:
        raise ConfigError(
            f"max_num_batched_tokens ({given.max_num_batched_tokens}) must be at least "
            f"max_num_seqs ({given.max_num_seqs})"
        )
    if not given.enable_chunked_prefill and given.max_num_batched_tokens < given.max_model_len:
        raise ConfigError("without chunked prefill max_num_batched_tokens must be at least max_model_len")
