"""The GPU bench measures a real exporter with eight GPUs on the NVML stub."""

import pytest

from bench.gpu_bench import measure


@pytest.mark.process
def test_it_measures_scrapes_processor_and_memory() -> None:
    found = measure(scrapes=5, cpu_seconds=5)  # it needs a hundredth of a core: in one second less than a tick

    assert 0 < found.median <= found.p99
    assert 0 < found.cpu < 1
    assert found.scrape_cpu > 0
    assert found.page > 50_000  # eight GPUs' series
    assert all(20 < each < 300 for each in found.resident)
