"""SYNTHETIC expositions of older vLLM versions.

They are made from captures of 0.32.0 by undoing the renames and additions of vLLM's own history. Values are those of
the capture; where a version exposes a family under two names, the old name gets a value of its own, so that a reader
which takes the wrong one shows.
"""

import re
from collections.abc import Callable


def dropped(text: str, *names: str) -> str:
    start = re.compile(rf"(# (HELP|TYPE) )?vllm:({'|'.join(names)})(_total|_bucket|_sum|_count|_created)?[{{ ]")
    return "".join(line for line in text.splitlines(keepends=True) if not start.match(line))


def renamed(text: str, **names: str) -> str:
    for new, old in names.items():
        text = re.sub(rf"vllm:{new}(?=[_{{ ])", f"vllm:{old}", text)
    return text


def with_both(text: str, **names: str) -> str:
    """Every renamed family under both names; the old one with other values, so that taking it shows."""
    old = renamed(text, **names)
    mine = re.compile(rf"(# (HELP|TYPE) )?vllm:({'|'.join(names.values())})(_total|_bucket|_sum|_count)?[{{ ]")
    lines = [line for line in old.splitlines(keepends=True) if mine.match(line)]
    return "".join(line if line.startswith("#") else line.rsplit(" ", 1)[0] + " 12345\n" for line in lines) + text


KV = {"kv_cache_usage_perc": "gpu_cache_usage_perc"}
PREFIX = {"prefix_cache_queries": "gpu_prefix_cache_queries", "prefix_cache_hits": "gpu_prefix_cache_hits"}
ITL = {"inter_token_latency_seconds": "time_per_output_token_seconds"}
LATE = ["admission_rejections", "prompt_tokens_by_source", "prompt_tokens_cached", "num_requests_waiting_by_reason"]
V1 = ["external_prefix_cache_queries", "external_prefix_cache_hits", "engine_sleep_state"]
TPOT = ["request_time_per_output_token_seconds"]


def v0_6(text: str) -> str:
    text = dropped(text, *LATE, *V1, *TPOT, "prefix_cache_queries", "prefix_cache_hits")
    text = re.sub(r'kv_cache_size_tokens="\d+",', "", renamed(text, **KV, **ITL))
    text = re.sub(r'vllm:request_success_total\{[^}]*"(error|repetition)"[^}]*\}.*\n', "", text)
    return re.sub(r'engine="0",?', "", text)


OLDER: dict[str, Callable[[str], str]] = {
    "0.6.6": v0_6,
    "0.8.0": lambda text: renamed(dropped(text, *LATE, *V1, *TPOT), **KV, **PREFIX, **ITL),
    "0.9.2": lambda text: renamed(with_both(dropped(text, *LATE, *V1, *TPOT), **KV, **PREFIX), **ITL),
    "0.10.2": lambda text: with_both(dropped(text, *LATE, *V1, *TPOT), **KV, **PREFIX, **ITL),
    "0.12.0": lambda text: with_both(dropped(text, *LATE), **ITL),
    "0.32.0 behind a pipeline that rewrites colons": lambda text: text.replace("vllm:", "vllm_"),
}
ABSENT = {
    "0.6.6": {
        "llm_prefix_cache_query_tokens_total",
        "llm_prefix_cache_hit_tokens_total",
        "llm_engine_awake",
        "llm_external_cache_query_tokens_total",
        "llm_external_cache_hit_tokens_total",
        "llm_time_per_output_token_seconds",
        "llm_requests_rejected_total",
    },
    "0.12.0": {"llm_requests_rejected_total"},
}
ABSENT["0.8.0"] = ABSENT["0.9.2"] = ABSENT["0.10.2"] = ABSENT["0.6.6"] - {
    "llm_prefix_cache_query_tokens_total",
    "llm_prefix_cache_hit_tokens_total",
}


def two_ranks(text: str) -> str:
    """The exposition of two data-parallel ranks with equal load, the second with a quarter of its KV cache in use."""
    second = re.sub(r"(?m)^#.*\n", "", text).replace('engine="0"', 'engine="1"')
    second = re.sub(r"(?m)^(vllm:kv_cache_usage_perc.*) .*$", r"\1 0.25", second)
    return text + re.sub(r"(?m)^vllm:admission_rejections_total.*\n", "", second)  # one series, whatever the ranks
