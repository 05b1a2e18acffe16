"""Builds the stub `libnvidia-ml.so.1` and puts a process, or this one, before it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from ctypes import CDLL
from pathlib import Path
from typing import Any
from unittest import mock

import pynvml

from tests.exporters.nvml_stub.scenarios import Scenario

SOURCES = sorted(Path(__file__).parent.glob("*.c"))
LIBRARY = "libnvidia-ml.so.1"
# What came with R510 to R535: drivers before do not export these.
NEW_CALLS = (
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetTemperatureV",
    "nvmlDeviceGetMarginTemperature",
    "nvmlDeviceGetSupportedClocksEventReasons",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetMPSComputeRunningProcesses_v3",
)


def build(folder: Path, *, without: Sequence[str] = ()) -> Path:
    """Compile the stub into `folder`; the calls in `without` are not exported, as by an older driver."""
    assert shutil.which("gcc"), "gcc builds the NVML stub; install it: deploy/system-packages.sh test"
    library = folder / LIBRARY
    hidden = [f"-D{name}=absent_{name}" for name in without]
    flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(
        ["gcc", *flags, "-pthread", *hidden, "-o", str(library), *map(str, SOURCES)], check=True, timeout=120
    )
    return library


class NvmlStub:
    """A built library and the scenario file that it reads anew whenever it changes."""

    def __init__(self, library: Path, file: Path, scenario: Scenario) -> None:
        self.library = library
        self._file = file
        self.scenario = scenario
        self.show(scenario)

    def show(self, scenario: Scenario) -> None:
        """From the next call on, answer with this scenario."""
        self.scenario = scenario
        draft = self._file.with_suffix(".draft")
        draft.write_text(scenario.text(), encoding="utf-8")
        draft.replace(self._file)

    @property
    def env(self) -> dict[str, str]:
        """What to add to a process's environment."""
        return {"LD_LIBRARY_PATH": str(self.library.parent), "NVML_STUB_SCENARIO": str(self._file)}

    @contextlib.contextmanager
    def in_process(self) -> Iterator[None]:
        """Let `pynvml` of this process talk to the stub, as freshly imported."""
        state: dict[str, Any] = {
            "nvmlLib": CDLL(str(self.library)),
            "_nvmlLib_refcount": 0,
            "_nvmlGetFunctionPointer_cache": {},
        }
        with mock.patch.dict(os.environ, self.env), mock.patch.multiple(pynvml, **state):
            yield
