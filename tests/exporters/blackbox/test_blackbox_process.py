"""`/probe?module=…` of the real exporter: off unless configured, counted on its page, refused where it cannot be."""

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.cli import exporter
from tests.exporters.blackbox.endpoint import Endpoint
from tests.exporters.process import Exporter

pytestmark = pytest.mark.process


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_without_a_file_it_is_off_and_says_how_to_turn_it_on(start: Callable[..., Exporter]) -> None:
    running = start("--collectors", "load", "--probe-allow", "127.0.0.0/8")
    status, text = get(f"{running.url}/probe?module=completion&target=127.0.0.1:1")
    assert (status, text) == (404, "probes with a module are off in this exporter; --blackbox-config turns them on\n")


def test_a_configured_module_probes_and_is_counted(
    start: Callable[..., Exporter], endpoint: Endpoint, tmp_path: Path
) -> None:
    file = tmp_path / "blackbox.yml"
    file.write_text("modules: {completion: {min_interval_seconds: 3600}}\n")
    running = start("--collectors", "load", "--probe-allow", "127.0.0.0/8", OPTIINFRA_BLACKBOX_CONFIG=str(file))
    query = f"{running.url}/probe?module=completion&target=http://{endpoint.netloc}"

    status, page = get(query)
    assert (status, "llm_probe_success 1.0" in page) == (200, True), page
    assert 'reason="budget"' in get(query)[1]
    assert get(f"{query}&model=a&model=b") == (400, "model: give it once, not 2 times\n")
    samples = running.scrape()
    assert samples["optiinfra_blackbox_probes_total", ("completion", "success")] == 1
    assert samples["optiinfra_blackbox_probes_total", ("completion", "budget")] == 1
    assert running.stop() == 0
    assert "ready" not in str(running.events), "neither prompt nor answer is logged"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modules: {m: {promt: x}}", "b.yml line 1: unknown key promt in modules.m; did you mean prompt?"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "b.yml"
    if text is not None:
        file.write_text(text)
    found = CliRunner().invoke(exporter, ["--port", "0", "--collectors", "load", "--blackbox-config", str(file)])
    assert found.exit_code == 2
    assert says in " ".join(found.output.split())
