"""The GPU bench measures a real exporter with eight GPUs on the NVML stub."""

import pytest

from bench.gpu_bench import measure


@pytest.mark.process
def test_it_measures_scrapes_processor_and_memory() -> None:
    found = measure(scrapes=5, cpu_seconds=1)

    assert 0 < found.median <= found.p99
    assert 0 <= found.cpu < 1  # in one second it may need less than a tick of the kernel's clock
    assert found.scrape_cpu > 0
    assert found.page > 50_000  # eight GPUs' series
    assert all(20 < each < 300 for each in found.resident)
