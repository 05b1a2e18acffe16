"""A day of a simulated engine as the rules record it: loads that change every fifty minutes, the last one too much."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from bench.sizing_grid import Case, Measured, simulate
from demo.faults.traffic import Load
from demo.history import INTERVAL_SECONDS, prometheus

INSTANCE = "10.0.0.1:8000"
NOW = Case("now", Load(clients=40, prompt=200, answer=50), slots=16, requests=900)
INVENTORY = f"""\
services:
  chat:
    engine: vllm
    model: m
    objectives: {{ttft_p95_seconds: 1.0, itl_p95_seconds: 0.05}}
    settings: {{max_running_requests: 16, max_batched_tokens: 2048, kv_cache_memory_fraction: 0.9}}
    replicas:
      - {{url: "http://{INSTANCE}", node: n1}}
"""
_LABELS = f'{{service="chat",instance="{INSTANCE}",model="m",engine="vllm",node="n1"}}'
_EVERY = 4  # a point a minute: rates of five minutes do not move faster
_PLATEAUS = 24
_MINUTES = 50


def signals(case: Case, measured: Measured) -> dict[str, float]:
    """What the rules record of a replica that does this."""
    load = measured.workload
    return {
        "replica:llm_up": 1.0,
        "replica:llm_requests_running": measured.running,
        "replica:llm_requests_running:avg2m": measured.running,
        "replica:llm_requests_waiting:avg2m": measured.waiting,
        "replica:llm_requests_waiting:min2m": max(0.0, measured.waiting - 4),
        "replica:llm_kv_cache_usage:ratio": measured.kv_tokens / case.shape().kv_capacity_tokens,
        "replica:llm_kv_cache_usage:avg2m": measured.kv_tokens / case.shape().kv_capacity_tokens,
        "replica:llm_kv_cache_capacity_tokens": case.shape().kv_capacity_tokens,
        "replica:llm_tokens_per_running_request:avg5m": measured.kv_tokens / measured.running,
        "replica:llm_max_running_requests": float(case.slots),
        "replica:llm_generation_tokens:rate5m": measured.tokens_per_second,
        "replica:llm_prompt_tokens:rate5m": measured.tokens_per_second / load.output_tokens * load.prompt_tokens,
        "replica:llm_requests:rate5m": measured.tokens_per_second / load.output_tokens,
        "replica:llm_ttft_seconds:p95_5m": measured.ttft_p95_seconds,
        "replica:llm_itl_seconds:mean_5m": measured.itl_mean_seconds,
        "replica:llm_itl_seconds:p95_5m": measured.itl_p95_seconds,
        "replica:llm_request_prompt_tokens:mean_5m": load.prompt_tokens,
        "replica:llm_request_generation_tokens:mean_5m": load.output_tokens,
        "replica:llm_prefix_cache_hit:ratio_rate5m": 0.0,
    }


@cache
def plateaus() -> tuple[dict[str, float], ...]:
    """What each load of the day makes of the engine; the last one is `NOW`."""
    dice = random.Random(11)
    found = []
    for number in range(_PLATEAUS - 1):
        load = Load(rate=dice.uniform(1, 9), prompt=dice.choice([60, 200, 500, 900]), answer=50)
        found.append(replace(NOW, name=str(number), load=load, requests=250))
    return tuple(signals(case, simulate(case, seed)) for seed, case in enumerate([*found, NOW]))


@contextmanager
def recorded(folder: Path, at: float) -> Iterator[str]:
    """The URL of a Prometheus that has the day, which ends at unix second `at`."""
    per_plateau = int(_MINUTES * 60 / INTERVAL_SECONDS)
    series: dict[str, list[tuple[int, str]]] = {'service:objective:ttft_p95_seconds{service="chat"}': []}
    for number, values in enumerate(plateaus()):
        for name, value in values.items():
            points = [(number * per_plateau + step, f"{value:.9g}") for step in range(0, per_plateau, _EVERY)]
            series.setdefault(f"{name}{_LABELS}", []).extend(points)
    steps = per_plateau * _PLATEAUS
    series['service:objective:ttft_p95_seconds{service="chat"}'] = [(steps - 4, "1")]
    series['service:objective:itl_p95_seconds{service="chat"}'] = [(steps - 4, "0.05")]
    with prometheus(series, steps, at, folder) as url:
        yield url
