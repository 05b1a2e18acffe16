"""The GPU exporter in this process, through the real pynvml, on the stub driver."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from structlog.typing import FilteringBoundLogger

from tests.exporters.gpu.sampled import Clock, Gpus
from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.scenarios import Scenario
from tests.exporters.nvml_stub.stub import NvmlStub


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="gpus")
def _gpus(nvml_stub: NvmlStub, clock: Clock, log: FilteringBoundLogger) -> Iterator[Callable[..., Gpus]]:
    """Start on a scenario; what hangs is let go at the end, so that no thread outlives its test."""
    with contextlib.ExitStack() as stack:

        def start(scenario: Scenario, *, processes: bool = False) -> Gpus:
            nvml_stub.show(scenario)
            stack.enter_context(nvml_stub.in_process())
            started = Gpus(nvml_stub, clock, log, processes=processes)
            started.sampler.start()
            stack.callback(_wait_for_threads)
            stack.callback(started.sampler.stop)
            stack.callback(nvml_stub.show, scenarios.h100())
            return started

        yield start


def _wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("gpu-"):
            thread.join(timeout=30)
            assert not thread.is_alive(), thread.name
