"""The page that a black-box probe is answered with: legal, catalogued, and without secrets."""

import json
import subprocess
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from exporters.catalog import BLACKBOX_FAMILIES
from tests.exporters.blackbox.asking import Make, probe
from tests.exporters.blackbox.endpoint import (
    CHAT,
    DONE,
    Endpoint,
    chat,
    event,
    page,
    stream,
)


def test_promtool_finds_nothing_to_say_about_the_pages(make: Make, endpoint: Endpoint) -> None:
    prober = make(budget={"probes_per_minute": 2})
    pages = [probe(prober, endpoint).body]
    endpoint.replies[CHAT] = stream([chat('a"\\\n')])
    pages += [probe(prober, endpoint).body, probe(prober, endpoint).body]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(prober.tally)
    pages.append(generate_latest(registry))
    for body in pages:
        done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert b'optiinfra_blackbox_probes_total{module="completion",outcome="success"} 1.0' in pages[-1]
    assert b'optiinfra_blackbox_probes_total{module="completion",outcome="budget"} 1.0' in pages[-1]
    assert b'optiinfra_blackbox_reserved_tokens_total{module="completion"} 16.0' in pages[-1]


def test_the_answer_holds_catalogued_families_with_catalogued_labels_and_types(make: Make, endpoint: Endpoint) -> None:
    families = list(text_string_to_metric_families(probe(make(), endpoint).body.decode()))
    assert {family.name for family in families} == BLACKBOX_FAMILIES.keys() - {"llm_probe_failure_info"}
    for family in families:
        known = BLACKBOX_FAMILIES[family.name]
        assert (family.documentation, family.type) == (known.help, "gauge")
        for sample in family.samples:
            assert tuple(sample.labels) == known.labels


def test_neither_prompt_nor_answer_nor_secret_is_shown(make: Make, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    headers = {"Authorization": {"file": str(tmp_path / "token")}}
    prober = make(prompt="my pr0mpt", headers=headers, targets=[f"http://{endpoint.netloc}"])
    replies = [stream([chat("answ3r", "stop"), DONE]), stream([chat("answ3r")]), stream([event('{"answ3r')])]
    replies += [page(json.dumps({"error": "my pr0mpt answ3r"}).encode(), status=400)]
    for reply in replies:
        endpoint.replies[CHAT] = reply
        body = probe(prober, endpoint).body
        assert not [word for word in (b"pr0mpt", b"answ3r", b"s3cret") if word in body]
