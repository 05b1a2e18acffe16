"""The real `optiinfra exporter` on a node with GPUs."""

import time
from collections.abc import Callable

import pytest

from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.stub import NvmlStub
from tests.exporters.process import Exporter

pytestmark = pytest.mark.process

UUID0, UUID1 = (scenarios.UUID.format(index=index) for index in range(2))
FAST = ("--gpu-interval-seconds", "0.1", "--gpu-slow-interval-seconds", "0.2")


@pytest.fixture(name="start_with_gpus")
def _start_with_gpus(start: Callable[..., Exporter], nvml_stub: NvmlStub) -> Callable[..., Exporter]:
    return lambda *flags, **env: start("--collectors", "gpu,load", *flags, **nvml_stub.env, **env)


def until(
    running: Exporter, name: str, labels: tuple[str, ...], value: float
) -> dict[tuple[str, tuple[str, ...]], float]:
    """Scrape until a series has a value."""
    deadline = time.monotonic() + 30
    while (samples := running.scrape()).get((name, labels)) != value:
        assert time.monotonic() < deadline, f"{name}{labels} is {samples.get((name, labels))}"
        time.sleep(0.05)
    return samples


def test_the_first_scrape_has_the_gpus_and_the_exporter_stops_on_a_signal(
    start_with_gpus: Callable[..., Exporter], nvml_stub: NvmlStub
) -> None:
    nvml_stub.show(scenarios.eight_gpus())
    running = start_with_gpus()
    samples = running.scrape()

    assert sum(name == "gpu_up" and value == 1 for (name, _), value in samples.items()) == 8
    assert samples["gpu_power_watts", ("0", UUID0)] == 631.95
    assert samples["optiinfra_scrape_collector_success", ("gpu",)] == 1
    assert running.stop() == 0
    assert running.events[-1]["event"] == "exporter_stopped"


def test_a_device_that_hangs_from_the_start_holds_up_neither_the_page_for_long_nor_the_stop(
    start_with_gpus: Callable[..., Exporter], nvml_stub: NvmlStub
) -> None:
    nvml_stub.show(scenarios.h100(devices=2).changed(1, {"hang.nvmlDeviceGetPowerUsage": 1}))
    running = start_with_gpus("--collector-timeout-seconds", "0.5")
    running.scrape()
    started = time.monotonic()
    samples = until(running, "gpu_up", ("0", UUID0), 1)

    assert ("gpu_power_watts", ("1", UUID1)) not in samples
    assert time.monotonic() - started < 10
    assert running.stop() == 0


def test_a_driver_that_hangs_fails_the_collector_and_not_the_page(
    start_with_gpus: Callable[..., Exporter], nvml_stub: NvmlStub
) -> None:
    nvml_stub.show(scenarios.h100().changed("system", {"hang.nvmlInitWithFlags": 1}))
    running = start_with_gpus("--collector-timeout-seconds", "0.05")
    samples = running.scrape()

    assert samples["optiinfra_scrape_collector_success", ("gpu",)] == 0
    assert samples["host_load1", ()] >= 0
    assert running.stop() == 0


def test_the_exporter_may_start_before_the_driver_and_outlive_its_reload(
    start_with_gpus: Callable[..., Exporter], nvml_stub: NvmlStub
) -> None:
    nvml_stub.show(scenarios.h100().changed("system", {"return.nvmlInitWithFlags": 9}))
    running = start_with_gpus(*FAST)
    before = running.scrape()
    nvml_stub.show(scenarios.h100())
    until(running, "gpu_up", ("0", UUID0), 1)
    nvml_stub.show(scenarios.h100().changed("system", {"return.nvmlDeviceGetCount_v2": 9}))
    failed = until(running, "gpu_up", ("0", UUID0), 0)
    nvml_stub.show(scenarios.h100())
    until(running, "gpu_up", ("0", UUID0), 1)
    running.stop()

    assert not [name for name, _ in before if name.startswith("gpu_")]
    assert before["optiinfra_scrape_collector_success", ("gpu",)] == 1
    assert failed["optiinfra_scrape_collector_success", ("gpu",)] == 0
    assert ("gpu_power_watts", ("0", UUID0)) not in failed
    told = [event["event"] for event in running.events if event.get("collector") == "gpu"]
    assert told[0] == "collector_has_no_data"
    assert "collector_failed" in told
    assert told[-1] == "collector_recovered"


def test_flags_have_environment_twins(start_with_gpus: Callable[..., Exporter]) -> None:
    running = start_with_gpus(
        OPTIINFRA_EXPORTER_GPU_INTERVAL_SECONDS="0.2",
        OPTIINFRA_EXPORTER_GPU_SLOW_INTERVAL_SECONDS="0.4",
        OPTIINFRA_EXPORTER_GPU_PROCESSES="true",
    )
    samples = running.scrape()

    assert samples["gpu_process_memory_bytes", ("0", "", "11345", "gpu_burn", UUID0)] == 16452157440
