"""Which node and which GPUs are a replica's, and what of a GPU counts for it."""

import random
from datetime import UTC, datetime

import pytest

from recommender.contracts import Sample
from recommender.evidence import assemble
from recommender.model import Evidence
from rules.catalog import Bottleneck

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
R1, R2 = "10.0.0.1:8000", "10.0.0.1:8001"
HOT = "gpu:gpu_throttled_thermal:ratio_rate5m"


def up(instance: str, node: str | None, service: str = "chat") -> Sample:
    labels = {"__name__": "replica:llm_up", "service": service, "instance": instance}
    return Sample(labels | ({"node": node} if node else {}), 1.0)


def tensor_parallel(instance: str, size: float) -> Sample:
    labels = {"__name__": "replica:llm_tensor_parallel_size", "service": "chat", "instance": instance, "node": "n1"}
    return Sample(labels, size)


def gpu(name: str, index: int, value: float, node: str = "n1", **more: str) -> Sample:
    labels = {"__name__": name, "node": node, "gpu": str(index), "uuid": f"GPU-{node}-{index}"}
    return Sample(labels | more, value)


def heat(index: int) -> Sample:
    return gpu("gpu:bottleneck:evidence", index, 0.4, bottleneck="gpu_thermal_throttle")


GPUS = [gpu(HOT, 0, 0.0), gpu(HOT, 1, 0.4)]
HELD = Sample({"__name__": "threshold:gpu_memory_held_ratio"}, 0.3)


def look(samples: list[Sample], beside: list[Sample], gpus: dict[str, list[str]] | None = None) -> Evidence:
    return assemble("chat", AT, samples, beside, [HELD], gpus=gpus)


def test_without_anything_that_tells_all_gpus_of_the_node_stand_for_a_replica() -> None:
    found = look([up(R1, "n1"), up(R2, "n1")], [*GPUS, heat(1)])
    placed = found.placements[R1]
    assert placed.gpus == ("n1/0", "n1/1")
    assert placed.gpus_are_its_own is False
    assert placed.neighbours == (R2,)
    assert found.value(HOT, R1) == found.value(HOT, R2) == 0.4
    assert found.confirmed[0].instances == (R1, R2)
    assert found.confirmed[0].gpus == ("n1/1",)


@pytest.mark.parametrize("named", [["1"], ["GPU-n1-1"]])
def test_the_inventory_names_a_replicas_gpus(named: list[str]) -> None:
    found = look([up(R1, "n1"), up(R2, "n1")], [*GPUS, heat(1)], {R1: ["0"], R2: named})
    assert found.placements[R2].gpus == ("n1/1",)
    assert found.placements[R2].gpus_are_its_own
    assert found.value(HOT, R1) == 0.0
    assert found.value(HOT, R2) == 0.4
    assert found.replica_readings[R2][HOT].query == f'max({HOT}{{node="n1",gpu=~"1"}})'
    assert found.confirmed[0].instances == (R2,)


def test_a_gpu_of_others_confirms_nothing_here() -> None:
    found = look([up(R1, "n1")], [*GPUS, heat(1)], {R1: ["0"]})
    assert found.confirmed == ()


def test_gpus_that_the_inventory_names_and_nobody_sees_leave_it_open() -> None:
    found = look([up(R1, "n1"), up(R2, "n1")], GPUS, {R1: ["7"]})
    assert found.placements[R1].gpus_are_its_own is False


def test_the_only_gpu_of_a_node_is_everybodys_there() -> None:
    found = look([up(R1, "n1"), up(R2, "n1")], [gpu(HOT, 0, 0.2)])
    assert found.placements[R2].gpus == ("n1/0",)
    assert found.placements[R2].gpus_are_its_own


def test_an_engine_that_is_alone_and_takes_all_gpus_has_them() -> None:
    found = look([up(R1, "n1"), tensor_parallel(R1, 2)], GPUS)
    assert found.placements[R1].gpus_from == "its tensor parallelism takes all of its node"


def test_an_engine_that_is_alone_has_the_gpus_that_hold_memory() -> None:
    memory = [gpu("gpu:gpu_memory_used:ratio", 0, 0.01), gpu("gpu:gpu_memory_used:ratio", 1, 0.9)]
    found = look([up(R1, "n1"), tensor_parallel(R1, 1)], [*GPUS, *memory])
    assert found.placements[R1].gpus == ("n1/1",)
    assert found.value(HOT, R1) == 0.4


def test_an_engine_of_another_service_on_the_node_makes_it_unknown_again() -> None:
    beside = up("10.0.0.1:9000", "n1", "embed")
    found = look([up(R1, "n1"), tensor_parallel(R1, 2)], [*GPUS, beside])
    assert found.placements[R1].gpus_are_its_own is False
    assert found.placements[R1].others == ("embed/10.0.0.1:9000",)


def test_a_companion_beside_an_engine_is_no_replica_and_takes_no_gpu() -> None:
    labels = {
        "__name__": "replica:llm_external_cache_healthy",
        "service": "chat",
        "instance": "10.0.0.1:6999",
        "node": "n1",
    }
    found = look([up(R1, "n1"), tensor_parallel(R1, 2), Sample(labels, 1.0)], GPUS)
    assert found.placements[R1].neighbours == ()
    assert found.placements[R1].gpus_are_its_own
    assert found.value("replica:llm_external_cache_healthy", "10.0.0.1:6999") == 1.0


def test_a_replica_that_two_nodes_claim_or_none_is_on_none() -> None:
    found = look([up(R1, "n1"), up(R1, "n2"), up(R2, None)], GPUS)
    assert found.placements[R1].node is None
    assert found.placements[R2].node is None
    assert HOT not in found.replica_readings[R1]


def test_gpus_count_in_the_order_of_their_numbers() -> None:
    found = look([up(R1, "n1")], [gpu(HOT, index, 0.0) for index in (10, 2, 0)])
    assert found.placements[R1].gpus == ("n1/0", "n1/2", "n1/10")


def test_figures_of_one_name_that_do_not_agree_are_unknown_whatever_comes_first() -> None:
    both = [
        Sample({"__name__": "service:objective:ttft_p95_seconds", "service": "chat", "model": model}, value)
        for model, value in (("a", 2.0), ("b", 5.0))
    ]
    assert look(both, []).objectives["ttft_p95_seconds"] is None
    assert look(both[::-1], []).objectives["ttft_p95_seconds"] is None
    assert look(both[:1], []).objectives["ttft_p95_seconds"] == 2.0


def test_answers_in_any_order_give_the_same_bytes() -> None:
    samples = [up(R1, "n1"), up(R2, "n1"), tensor_parallel(R1, 2), tensor_parallel(R2, 2)]
    beside = [*GPUS, heat(1), heat(0), up("10.0.0.1:9000", "n1", "embed"), gpu(HOT, 3, 0.1)]
    first = look(samples, beside).model_dump_json()
    for seed in range(20):
        chance = random.Random(seed)
        again = look(chance.sample(samples, len(samples)), chance.sample(beside, len(beside)))
        assert again.model_dump_json() == first


def test_only_words_of_the_rules_tell_the_forms_of_a_condition_apart() -> None:
    forms = ["oom_kill", "Robert'); DROP", "x" * 99]
    samples = [
        Sample(
            {"__name__": "node:bottleneck:evidence", "node": "n1", "bottleneck": "host_memory_pressure", "fault": one},
            1.0,
        )
        for one in forms
    ]
    (held,) = look([up(R1, "n1")], samples).confirmed
    assert held.bottleneck is Bottleneck.HOST_MEMORY_PRESSURE
    assert held.kinds == ("oom_kill",)
    assert held.nodes == ("n1",)
