"""The NVML stub for every test of the exporters (see nvml_stub/README.md), exporters as processes, a log to look at."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger

from tests.exporters.nvml_stub.scenarios import h100
from tests.exporters.nvml_stub.stub import NEW_CALLS, NvmlStub, build
from tests.exporters.process import Exporter, exporters


@pytest.fixture(name="nvml_library", scope="session")
def _nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub library of a current driver."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(name="old_nvml_library", scope="session")
def _old_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub library of a driver that lacks the newest calls."""
    return build(tmp_path_factory.mktemp("old_nvml"), without=NEW_CALLS)


@pytest.fixture(name="nvml_stub")
def _nvml_stub(nvml_library: Path, tmp_path: Path) -> NvmlStub:
    """One H100; `show` gives it another scenario, `env` is for a process, `in_process` for this one."""
    return NvmlStub(nvml_library, tmp_path / "nvml.scenario", h100())


@pytest.fixture(name="start")
def _start() -> Iterator[Callable[..., Exporter]]:
    """Start exporters, with flags and environment."""
    with exporters() as start:
        yield start


@pytest.fixture(name="events")
def _events() -> list[Any]:
    """What was logged, newest last."""
    return []


@pytest.fixture(name="log")
def _log(events: list[Any]) -> FilteringBoundLogger:
    """A logger that keeps what it is told in `events`."""
    capture = LogCapture()
    capture.entries = events
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return logger
