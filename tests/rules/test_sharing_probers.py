"""The documented sharing of engines among probers: valid, and a real Prometheus gives each engine to one of them."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from demo.free_port import free_address

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "prometheus-probers.yml"
SHIPPED = ROOT / "rules" / "prometheus.yml"
ENGINES = [f"http://gpu-{number}.example:8000" for number in range(300)]


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not on PATH: install Debian's package `prometheus` (2.42 or newer)")
    return found


def test_promtool_accepts_the_example() -> None:
    command = [tool("promtool"), "check", "config", "--syntax-only", str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_but_for_the_sharing_the_example_is_the_shipped_job() -> None:
    def job(path: Path) -> dict[str, object]:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
        return next(job for job in jobs if job["job_name"] == "llm-probe")

    example, shipped = job(EXAMPLE), job(SHIPPED)
    shared, alone = example.pop("relabel_configs"), shipped.pop("relabel_configs")
    assert example == shipped
    assert isinstance(shared, list)
    assert isinstance(alone, list)
    assert [step for step in shared if step in alone] == [
        step for step in alone if step.get("target_label") != "__address__"
    ]


@pytest.mark.process
def test_each_engine_has_one_prober_and_the_shares_are_even(tmp_path: Path) -> None:
    config = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    config["scrape_configs"] = config["scrape_configs"][:1]
    (job,) = config["scrape_configs"]
    del job["http_sd_configs"]
    job["file_sd_configs"] = [{"files": [str(tmp_path / "engines.json")]}]
    job["scrape_interval"] = "1h"  # which targets there are is asked; nothing is scraped
    (tmp_path / "engines.json").write_text(
        json.dumps([{"targets": ENGINES, "labels": {"service": "chat", "engine": "vllm"}}])
    )
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = free_address()
    flags = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with subprocess.Popen(
        [tool("prometheus"), *flags, f"--web.listen-address={address}", "--log.level=error"]
    ) as process:
        try:
            targets = active_targets(address)
        finally:
            process.kill()
    urls = [urlsplit(target["scrapeUrl"]) for target in targets]
    assert sorted(parse_qs(url.query)["target"][0] for url in urls) == sorted(ENGINES)
    assert all(parse_qs(url.query)["engine"] == ["vllm"] for url in urls)
    shares = Counter(url.netloc for url in urls)
    assert sorted(shares) == [f"prober-{number}.example:8003" for number in range(3)]
    assert min(shares.values()) > len(ENGINES) / 3 * 0.7
    assert all(set(target["labels"]) == {"instance", "job", "service"} for target in targets)


def active_targets(address: str) -> list[dict[str, dict[str, str] | str]]:
    """The targets, when they are all there."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://{address}/api/v1/targets", timeout=5) as answer,
        ):
            targets = json.load(answer)["data"]["activeTargets"]
            if len(targets) == len(ENGINES):
                return targets
        time.sleep(0.1)
    pytest.fail("Prometheus does not have all targets after 30 s")
