"""What engines and devices tell in words reaches the evidence, and the facts of the service."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from recommender.contracts import Sample
from recommender.evidence import assemble
from recommender.facts import facts_of
from recommender.gpus import GPUS

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO = "10.0.0.1:8000", "10.0.0.2:8000"


def series(name: str, /, **labels: str) -> Sample:
    """A recorded series with the value 1."""
    return Sample(labels={"__name__": name, **labels}, value=1.0)


def replica(instance: str, node: str = "n1", **config: str) -> list[Sample]:
    """What the rules record of one replica."""
    place = {"service": "chat", "instance": instance, "engine": "vllm", "node": node}
    return [
        series("replica:llm_up", **place),
        series("replica:llm_requests_running", model="Qwen/Qwen2.5-7B-Instruct", **place),
        series("replica:llm_engine:info", version="0.32.0", **place),
        series("replica:llm_config:info", **{"kv_cache_dtype": "fp8", "prefix_caching": "true", **config}, **place),
    ]


def device(gpu: str, name: str, node: str = "n1", **labels: str) -> list[Sample]:
    """What the rules record of one GPU."""
    place = {"node": node, "gpu": gpu, "uuid": f"GPU-{node}-{gpu}"}
    return [series("gpu:gpu:info", name=name, **labels, **place), series("gpu:gpu_up", **place)]


def told(
    samples: list[Sample], beside: list[Sample], instance: str = ONE, **gpus: tuple[str, ...]
) -> Mapping[str, str]:
    """The facts of one replica, by name."""
    facts = assemble("chat", AT, samples, beside, [], gpus=gpus or None).replica_facts.get(instance, {})
    return {name: fact.value for name, fact in facts.items()}


def test_what_an_engine_and_its_gpu_tell_are_facts_of_the_replica() -> None:
    evidence = assemble("chat", AT, replica(ONE), device("0", "NVIDIA H200", compute_capability="9.0"), [])
    facts = evidence.replica_facts[ONE]
    assert {name: fact.value for name, fact in facts.items()} == {
        "engine": "vllm",
        "engine_version": "0.32.0",
        "gpu_compute_capability": "9.0",
        "gpu_name": "NVIDIA H200",
        "kv_cache_dtype": "fp8",
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "prefix_caching": "true",
    }
    assert facts["engine_version"].query == f'replica:llm_engine:info{{service="chat",instance="{ONE}"}}'
    assert facts["gpu_name"].query == 'gpu:gpu:info{node="n1"}'
    assert evidence.fact("engine_version", ONE) == "0.32.0"
    assert evidence.fact("quantization", ONE) is None
    known = facts_of(None, evidence)
    assert known.gpu is GPUS["h200"]
    assert known.model is not None
    assert (known.model.layers, known.kv_dtype, known.weight_dtype) == (28, "fp8", "bf16")


def test_what_is_empty_or_told_differently_is_no_fact() -> None:
    assert "kv_cache_dtype" not in told(replica(ONE, kv_cache_dtype=""), [])
    twice = [*replica(ONE), *replica(ONE, kv_cache_dtype="auto")]
    assert "kv_cache_dtype" not in told(twice, [])
    assert told(twice, [])["engine_version"] == "0.32.0"
    assert "kv_cache_dtype" not in told(replica(ONE, kv_cache_dtype="x" * 1000), [])


def test_products_that_differ_on_a_node_are_told_only_where_a_replica_names_its_own() -> None:
    mixed = [*device("0", "NVIDIA H200"), *device("1", "NVIDIA L4")]
    assert "gpu_name" not in told(replica(ONE), mixed)
    evidence = assemble("chat", AT, replica(ONE), mixed, [], gpus={ONE: ("1",)})
    assert evidence.fact("gpu_name", ONE) == "NVIDIA L4"


def test_another_nodes_gpu_is_not_the_replicas() -> None:
    assert "gpu_name" not in told(replica(ONE), device("0", "NVIDIA L4", node="n2"))


def test_the_order_of_answers_changes_nothing() -> None:
    samples = [*replica(ONE), *replica(TWO, node="n2", kv_cache_dtype="auto")]
    beside = [*device("0", "NVIDIA H200"), *device("0", "NVIDIA L4", node="n2")]
    forward = assemble("chat", AT, samples, beside, [])
    assert assemble("chat", AT, samples[::-1], beside[::-1], []) == forward
    assert assemble("chat", AT + timedelta(0), samples, beside, []).model_dump_json() == forward.model_dump_json()
    assert list(forward.replica_facts) == [ONE, TWO]


def test_hostile_words_are_only_ever_values() -> None:
    hostile = '"} or vector(1) #\n'
    evidence = assemble("chat", AT, replica(ONE, kv_cache_dtype=hostile), device("0", hostile), [])
    assert evidence.fact("kv_cache_dtype", ONE) == hostile
    assert all(hostile not in fact.query for fact in evidence.replica_facts[ONE].values())
    facts = facts_of(None, evidence)
    assert (facts.gpu, facts.kv_dtype) == (None, None)
