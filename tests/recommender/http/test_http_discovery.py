"""Service discovery: which pages are read, how, and with what labels."""

from recommender.http.discovery import Job, TargetGroup, target_groups
from recommender.inventory import Inventory, parse_inventory

INVENTORY = parse_inventory(
    """\
services:
  probed:
    engine: ollama
    model: tiny
    replicas:
      - {url: "http://gpu-1:11434", node: gpu-1}
      - {url: "http://gpu-2:8000", companions: [{engine: lmcache, url: "http://gpu-2:6999"}]}
  direct:
    engine: llamacpp
    model: tiny
    scrape: direct
    replicas:
      - {url: "http://GPU-3", node: gpu-3, companions: [{engine: kvoptkit, url: "https://gpu-3:9000/kv"}]}
  served:
    engine: tensorrt_llm
    model: tiny
    scrape: direct
    replicas:
      - {url: "http://gpu-4:8000/metrics"}
      - {url: "http://gpu-5:8000/base/prometheus/metrics"}
"""
)


def test_a_probed_engine_is_named_by_its_url_and_its_companion_beside_it() -> None:
    assert target_groups(INVENTORY, Job.LLM_PROBE) == [
        TargetGroup(targets=["http://gpu-1:11434"], labels={"service": "probed", "engine": "ollama", "node": "gpu-1"}),
        TargetGroup(targets=["http://gpu-2:8000"], labels={"service": "probed", "engine": "ollama"}),
        TargetGroup(targets=["http://gpu-2:6999"], labels={"service": "probed", "engine": "lmcache"}),
    ]


def test_a_directly_scraped_engine_comes_with_scheme_path_and_the_model_that_it_does_not_name() -> None:
    llamacpp, companion, *served = target_groups(INVENTORY, Job.LLM_DIRECT)
    assert llamacpp == TargetGroup(
        targets=["gpu-3:80"],
        labels={
            "service": "direct",
            "engine": "llamacpp",
            "node": "gpu-3",
            "model": "tiny",
            "__scheme__": "http",
            "__metrics_path__": "/metrics",
        },
    )
    # A companion has figures of its own, which the model's must not be mixed with.
    assert companion.targets == ["gpu-3:9000"]
    assert "model" not in companion.labels
    assert (companion.labels["__scheme__"], companion.labels["__metrics_path__"]) == ("https", "/kv/metrics")
    # Its /metrics is JSON. Its series name the model themselves.
    assert [group.labels["__metrics_path__"] for group in served] == ["/prometheus/metrics", "/base/prometheus/metrics"]
    assert not [group for group in served if "model" in group.labels]


def test_an_empty_inventory_has_no_targets() -> None:
    assert [target_groups(Inventory(), job) for job in Job] == [[], [], []]
