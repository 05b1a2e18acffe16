"""The exporter without any capability, as the systemd unit runs it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exporters.nvml_stub.stub import NvmlStub
from tests.exporters.process import COMMAND, Exporter

pytestmark = pytest.mark.process

# Who is not root has none to drop.
DROP = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []


@pytest.fixture(name="unprivileged")
def _unprivileged(nvml_stub: NvmlStub) -> Iterator[Exporter]:
    command = [*DROP, *COMMAND, "--port=0"]
    with subprocess.Popen(command, env={**os.environ, **nvml_stub.env}, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Exporter(process)
        finally:
            process.kill()


def test_every_collector_works_without_a_capability(unprivileged: Exporter) -> None:
    status = Path(f"/proc/{unprivileged.process.pid}/status").read_text(encoding="utf-8")
    samples = unprivileged.scrape()
    worked = {labels[0]: value for (name, labels), value in samples.items() if name.endswith("_collector_success")}

    assert int(dict(line.split(":\t", 1) for line in status.splitlines())["CapEff"], 16) == 0
    assert worked
    assert [name for name, value in worked.items() if not value] == []
    assert sum(value for (name, _), value in samples.items() if name == "gpu_up") == 1
    assert unprivileged.stop() == 0
