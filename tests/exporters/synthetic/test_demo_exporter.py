"""`optiinfra exporter --demo`: synthetic GPUs in the real exporter, marked so that nobody takes them for real."""

import urllib.request
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from exporters.cli import exporter
from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.stub import NvmlStub
from tests.exporters.process import Exporter

pytestmark = pytest.mark.process


def families(running: Exporter) -> set[str]:
    return {name for name, _ in running.scrape() if name.startswith("gpu_")}


def test_a_demo_is_marked_on_the_page_on_the_landing_page_and_in_the_log(start: Callable[..., Exporter]) -> None:
    running = start("--demo", "throttled", "--collectors", "gpu,load")
    samples = running.scrape()
    with urllib.request.urlopen(running.url, timeout=30) as answer:
        landing = answer.read().decode()

    assert samples["optiinfra_exporter_demo", ()] == 1
    assert sum(value for (name, _), value in samples.items() if name == "gpu_up") == 4
    assert "Demo: the GPUs are synthetic (scenario throttled). The host is real." in landing
    assert running.events[0] | {"timestamp": ""} == {
        "event": "gpus_are_synthetic",
        "level": "warning",
        "scenario": "throttled",
        "seed": 1,
        "timestamp": "",
    }
    assert running.stop() == 0


def test_without_the_flag_nothing_is_synthetic(start: Callable[..., Exporter]) -> None:
    running = start("--collectors", "load")

    assert running.scrape()["optiinfra_exporter_demo", ()] == 0
    with urllib.request.urlopen(running.url, timeout=30) as answer:
        assert "Demo" not in answer.read().decode()


def test_synthetic_gpus_give_the_families_that_real_ones_give(
    start: Callable[..., Exporter], nvml_stub: NvmlStub
) -> None:
    real: set[str] = set()
    for scenario in (scenarios.h100(), scenarios.h100_mig()):
        nvml_stub.show(scenario)
        real |= families(start("--collectors=gpu", **nvml_stub.env))

    assert families(start("--collectors=gpu", "--demo")) == real


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--demo", "broken"], "'broken' is not one of 'healthy', 'throttled', 'ecc', 'xid', 'hung'"),
        (["--demo", "--no-collectors", "gpu"], "--demo shows GPUs, which --collectors or --no-collectors leave out"),
    ],
)
def test_a_demo_that_cannot_be_shown_is_an_error(flags: list[str], says: str) -> None:
    result = CliRunner().invoke(exporter, flags)

    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
