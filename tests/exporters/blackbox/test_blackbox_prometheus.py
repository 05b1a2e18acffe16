"""The example job, whole: targets from a recommender's inventory, through the exporter, into a real Prometheus."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from demo.free_port import free_address
from tests.exporters.blackbox.endpoint import Endpoint
from tests.exporters.process import Exporter
from tests.recommender.foundation.live import Live, eventually, live, token, write_configuration

pytestmark = pytest.mark.process

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = DOCS / "examples"


@pytest.fixture
def recommender(endpoint: Endpoint, tmp_path: Path) -> Iterator[Live]:
    inventory = f"services: {{chat: {{engine: vllm, replicas: [{{url: 'http://{endpoint.netloc}/', node: gpu-1}}]}}}}\n"
    files = write_configuration(tmp_path, inventory)
    with live(loops=False, database_url=f"sqlite:///{tmp_path}/state.db", **files) as running:
        yield running


@pytest.fixture
def ask(
    recommender: Live, start: Callable[..., Exporter], tmp_path: Path
) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Queries of a Prometheus that runs the example, faster and on the ports of this test."""
    exporter = start(
        "--collectors", "load", "--probe-allow", "127.0.0.0/8", "--blackbox-config", str(_modules(tmp_path))
    )
    text = (EXAMPLES / "prometheus-blackbox.yml").read_text()
    text = text.replace("127.0.0.1:8003", urlsplit(exporter.url).netloc).replace(
        "http://127.0.0.1:8002", recommender.url
    )
    config = yaml.safe_load(text)
    config["rule_files"] = [str(EXAMPLES / "blackbox-rules.yml")]
    config["global"] = {"evaluation_interval": "500ms"}
    config["scrape_configs"][0] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "viewer.token").write_text(token("viewer"))
    address = free_address()
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (
        (tmp_path / "prometheus.log").open("wb") as log,
        subprocess.Popen([*command, f"--web.listen-address={address}"], cwd=tmp_path, stdout=log, stderr=log) as server,
    ):

        def query(promql: str) -> list[dict[str, Any]]:
            try:
                answer = requests.get(
                    f"http://{address}/api/v1/query",
                    params={"query": promql},
                    headers={"Connection": "close"},
                    timeout=5,
                )
            except requests.ConnectionError:
                return []  # it comes up
            found: list[dict[str, Any]] = answer.json()["data"]["result"] if answer.ok else []
            return found

        try:
            yield query
        finally:
            server.terminate()


def _modules(folder: Path) -> Path:
    """The example's modules, for probes as fast as this test's."""
    config = yaml.safe_load((EXAMPLES / "blackbox.yml").read_text())
    config["budget"]["probes_per_minute"] = 6000
    config["modules"]["completion"]["min_interval_seconds"] = 0
    file = folder / "blackbox.yml"
    file.write_text(yaml.safe_dump(config))
    return file


def test_engines_of_the_inventory_are_probed_under_the_names_that_all_jobs_give_them(
    ask: Callable[[str], list[dict[str, Any]]], endpoint: Endpoint
) -> None:
    [series] = eventually(lambda: ask("llm_probe_success == 1"), seconds=60)
    names = {"__name__": "llm_probe_success", "instance": endpoint.netloc, "service": "chat", "node": "gpu-1"}
    assert series["metric"] == names | {"job": "llm-blackbox"}
    eventually(lambda: ask("replica:llm_probe_ttft_seconds:median_15m"), seconds=30)
    assert ask('ALERTS{alertname="LLMProbeFails"}') == []
