"""The loads of `day.py` as the engine itself tells them: counters, histograms and gauges of vLLM, and no rule."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.history import INTERVAL_SECONDS, prometheus
from tests.recommender.whatif.day import INSTANCE, NOW, plateaus

_EVERY = 4  # a scrape a minute
_MINUTES = 16  # a load: 384 points in all, of which a third span two loads
_RECENT = 24  # scrapes at the end, one each 15 seconds: quantiles are of rates over a minute
_LES = (0.01, 0.02, 0.03, 0.035, 0.04, 0.05, 0.075, 0.1, 0.2, 0.4, 0.8, 1.6, 2.4, 3.2, 6.4)
_OWN = f'model_name="m",engine="0",job="llm",instance="{INSTANCE}"'


class _Page:
    """What the engine has counted so far."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[int, str]]] = {}
        self._counted: dict[str, float] = {}

    def gauge(self, step: int, name: str, value: float, labels: str = _OWN) -> None:
        self.series.setdefault(f"{name}{{{labels}}}", []).append((step, f"{value:.9g}"))

    def count(self, step: int, name: str, more: float, labels: str = _OWN) -> None:
        key = f"{name}{{{labels}}}"
        self._counted[key] = self._counted.get(key, 0.0) + more
        self.gauge(step, name, self._counted[key], labels)

    def histogram(self, step: int, name: str, number: float, mean: float, p95: float) -> None:
        """So many observations, evenly spread below their 95th percentile."""
        self.count(step, f"{name}_sum", number * mean)
        self.count(step, f"{name}_count", number)
        for le in _LES:
            below = min(1.0, 0.95 * le / p95)
            self.count(step, f"{name}_bucket", number * below, f'{_OWN},le="{le}"')
        self.count(step, f"{name}_bucket", number, f'{_OWN},le="+Inf"')


@contextmanager
def scraped(folder: Path, at: float) -> Iterator[str]:
    """The URL of a Prometheus that scraped the engine for the day, which ends at unix second `at`."""
    per_plateau = int(_MINUTES * 60 / INTERVAL_SECONDS)
    steps = per_plateau * len(plateaus())
    page, config = _Page(), f'block_size="16",num_gpu_blocks="{NOW.blocks - 1}",gpu_memory_utilization="0.9"'
    last = 0
    for step in (*range(0, steps - _RECENT, _EVERY), *range(steps - _RECENT, steps)):
        _scrape(page, (last, step), plateaus()[step // per_plateau])
        page.gauge(step, "up", 1, f'job="llm",instance="{INSTANCE}"')
        page.gauge(step, "vllm:cache_config_info", 1, f'{config},engine="0",job="llm",instance="{INSTANCE}"')
        last = step
    with prometheus(page.series, steps, at, folder) as url:
        yield url


def _scrape(page: _Page, steps: tuple[int, int], values: dict[str, float]) -> None:
    """What the engine tells at the second of `steps`; the first is when it was asked before."""
    step, seconds = steps[1], (steps[1] - steps[0]) * INTERVAL_SECONDS
    told = {name.partition(":")[2]: value for name, value in values.items()}
    requests, tokens = told["llm_requests:rate5m"] * seconds, told["llm_generation_tokens:rate5m"] * seconds
    page.gauge(step, "vllm:num_requests_running", told["llm_requests_running"])
    page.gauge(step, "vllm:num_requests_waiting", told["llm_requests_waiting:avg2m"])
    page.gauge(step, "vllm:kv_cache_usage_perc", told["llm_kv_cache_usage:ratio"])
    page.count(step, "vllm:request_success_total", requests, f'{_OWN},finished_reason="stop"')
    page.count(step, "vllm:generation_tokens_total", tokens)
    page.count(step, "vllm:prompt_tokens_total", told["llm_prompt_tokens:rate5m"] * seconds)
    page.count(step, "vllm:prefix_cache_queries_total", told["llm_prompt_tokens:rate5m"] * seconds)
    page.count(step, "vllm:prefix_cache_hits_total", 0.0)
    page.count(step, "vllm:num_preemptions_total", 0.0)
    for name, mean in (("prompt", "prompt"), ("generation", "generation")):
        length = told[f"llm_request_{mean}_tokens:mean_5m"]
        page.count(step, f"vllm:request_{name}_tokens_sum", requests * length)
        page.count(step, f"vllm:request_{name}_tokens_count", requests)
    p95 = told["llm_ttft_seconds:p95_5m"]
    page.histogram(step, "vllm:time_to_first_token_seconds", requests, p95 / 2, p95)
    itl = told["llm_itl_seconds:mean_5m"], told["llm_itl_seconds:p95_5m"]
    page.histogram(step, "vllm:inter_token_latency_seconds", tokens, *itl)
