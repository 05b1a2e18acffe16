"""P15 to P18 and P20: cores, processes, pools and links by hand."""

import pytest

from recommender.model import Placement
from recommender.playbooks import Advice
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import (
    KV_BYTES,
    ONE,
    TWO,
    advised,
    changed,
    context,
    evidence,
    facts,
    playbook,
    refused,
    size,
)

CPU, THREAD, MEMORY = (
    Bottleneck.HOST_CPU_SATURATION,
    Bottleneck.ENGINE_THREAD_SATURATION,
    Bottleneck.HOST_MEMORY_PRESSURE,
)
GIB = 2**30
STREAMING = {
    "replica:llm_generation_tokens:rate5m": 6000.0,
    "node:host_engine_busiest_thread:ratio_rate2m": 0.99,
    "node:host_cpu_busy:ratio": 0.3,
}
SHORT = {"node:host_memory_available:ratio": 0.05, "node:host_oom_kills:increase30m": 1.0}
HOST = {"host_memory_bytes": 512 * GIB}


def test_an_engine_needs_two_cores_one_for_each_gpu_and_one_for_what_it_streams() -> None:
    given = context(known=facts(gpus_per_replica=4, tensor_parallel=4))
    text = advised(size(CPU, "P15.1", evidence(STREAMING), given))
    assert "Give each engine 10 physical cores, 20 vCPUs (2 + 4 GPUs + ceil(6000/1500) = 10)" in text
    shared = context(known=facts(gpus_per_replica=4, tensor_parallel=4), same_node=True)
    assert "2 engines of this service share a node: 20 cores." in advised(
        size(CPU, "P15.1", evidence(STREAMING), shared)
    )
    outcome = size(CPU, "P15.1", evidence(STREAMING), context())
    assert "hardware.gpus_per_replica" in advised(outcome)


def test_a_quota_that_throttles_is_named() -> None:
    seen = evidence(STREAMING | {"node:host_engine_cpu_throttled:ratio": 0.4})
    assert "40 % of periods" in advised(size(CPU, "P15.1", seen, context(known=facts())))


@pytest.mark.parametrize(("rate", "old", "new"), [(6000.0, 4, 6), (6000.0, 2, 4), (3000.0, 1, 2)])
def test_the_front_end_gets_the_processes_that_it_streams_with(rate: float, old: int, new: int) -> None:
    """ceil(rate/1500/0.7): 6 for 6000 tokens a second, 3 for 3000; at most twice as many."""
    seen = evidence(STREAMING | {"replica:llm_generation_tokens:rate5m": rate})
    change = changed(size(THREAD, "P15.7", seen, context(version="0.32.0", api_server_processes=old)))
    assert (change.flag, change.new) == ("--api-server-count", new)
    effects = playbook(THREAD, "P15.7").effects
    assert effects is not None
    goal = effects(change, seen, ONE, context()).must_improve
    assert (goal.metric, goal.high) == ("ttft_p95_seconds", pytest.approx(1 / 5.4))


def test_processes_are_not_added_where_they_do_not_help() -> None:
    given = context(version="0.32.0", api_server_processes=6)
    assert "not more than" in refused(size(THREAD, "P15.7", evidence(STREAMING), given))
    full = evidence(STREAMING | {"node:host_cpu_busy:ratio": 0.95})
    assert "share what there is" in refused(size(CPU, "P15.2", full, context(version="0.32.0", api_server_processes=1)))
    given = context(version="0.32.0", api_server_processes=1)
    for name in ("replica:llm_generation_tokens:rate5m", "node:host_cpu_busy:ratio"):
        lacking = evidence({each: value for each, value in STREAMING.items() if each != name})
        assert "unknown" in refused(size(THREAD, "P15.7", lacking, given))
    of_unknown_age = size(THREAD, "P15.7", evidence(STREAMING), context(version="0.9.0", api_server_processes=1))
    assert not hasattr(of_unknown_age, "new")  # a version that may not know the flag


def test_threads_of_an_engine_on_cpus_are_the_cores_of_the_node() -> None:
    given = context("llamacpp", tuning={"host_cores": 32}, same_node=True)
    assert "Set --threads to 16 (32 physical cores, 2 engines a node)" in advised(
        size(CPU, "P15.5", evidence({}), given)
    )
    outcome = size(CPU, "P15.5", evidence({}), context("ollama"))
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["host_cores"]


def test_the_pool_of_kv_in_host_memory_shrinks_to_what_there_is_without_it() -> None:
    given = context(version="0.32.0", tuning=HOST, kv_offload_bytes=128 * GIB)
    change = changed(size(MEMORY, "P16.3", evidence(SHORT), given))
    by_hand = 0.7 * (0.05 * 512 + 128)  # GiB: what would be available, of which 0.7
    assert change.new == int(by_hand) * GIB == 107 * GIB
    assert change.feasibility is not None
    assert change.feasibility.limit == pytest.approx((0.05 * 512 + 128) * GIB)
    two = context(version="0.32.0", tuning=HOST, kv_offload_bytes=128 * GIB, same_node=True)
    shared = changed(size(MEMORY, "P16.3", evidence(SHORT), two))
    assert shared.new == int(0.7 * (0.05 * 512 + 2 * 128) / 2) * GIB
    assert playbook(MEMORY, "P16.3").effects is not None


def test_a_pool_of_unknown_size_or_memory_is_asked_for_and_none_is_none() -> None:
    outcome = size(MEMORY, "P16.3", evidence(SHORT), context(version="0.32.0", kv_offload_bytes=128 * GIB))
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["host_memory_bytes"]
    none = context(version="0.32.0", tuning=HOST, kv_offload_bytes=0)
    assert "no KV is kept" in refused(size(MEMORY, "P16.3", evidence(SHORT), none))
    assert "keeps no KV in host memory" in refused(size(MEMORY, "P16.3", evidence(SHORT), context("tgi", tuning=HOST)))
    enough = evidence({"node:host_memory_available:ratio": 0.6})
    given = context(version="0.32.0", tuning=HOST, kv_offload_bytes=10 * GIB)
    assert "no less" in refused(size(MEMORY, "P16.3", enough, given))


def test_swap_is_switched_off_only_where_there_is_some() -> None:
    assert "swapoff -a" in advised(size(MEMORY, "P16.2", evidence({"node:host_swap_bytes:rate2m": 1e7}), context()))
    assert "does not swap" in refused(size(MEMORY, "P16.2", evidence({"node:host_swap_bytes:rate2m": 0.0}), context()))
    assert "unknown" in refused(size(MEMORY, "P16.2", evidence({}), context()))


def test_mapped_weights_need_one_and_a_half_times_the_file() -> None:
    seen = evidence({"replica:llm_model_memory_bytes": 8.0 * GIB, "node:host_major_page_faults:rate2m": 900.0})
    text = advised(size(MEMORY, "P16.4", seen, context("ollama")))
    assert "12 GiB" in text
    assert "900 page faults a second" in text
    assert "--mlock" in advised(size(MEMORY, "P16.4", seen, context("llamacpp")))


def test_kv_transfer_is_prompt_tokens_times_bytes_of_a_token() -> None:
    seen = evidence({"node:host_network_utilization:ratio": 0.9, "replica:llm_prompt_tokens:rate5m": 1000.0})
    text = advised(size(Bottleneck.NETWORK_SATURATION, "P18.1", seen, context(known=facts())))
    assert f"{1000 * KV_BYTES / GIB * 1024:.0f} MiB a second" in text  # 125 MiB
    calm = evidence({"node:host_network_utilization:ratio": 0.2, "node:host_network_errors:ratio": 0.05})
    assert "not full" in refused(size(Bottleneck.NETWORK_SATURATION, "P18.1", calm, context()))
    assert "5 % of the packets" in advised(size(Bottleneck.NETWORK_SATURATION, "P18.2", calm, context()))
    assert "does not speak of" in refused(size(Bottleneck.NETWORK_SATURATION, "P18.2", seen, context()))


def test_a_dead_and_a_stuck_engine_are_named_with_what_to_look_at() -> None:
    down = evidence({}, per_replica={ONE: {"replica:llm_up": 0.0}})
    text = advised(size(Bottleneck.TARGET_DOWN, "P20.1", down, context("sglang")))
    assert text.startswith(f"{ONE} does not answer:")
    assert "--mem-fraction-static" in text
    stuck = evidence({"replica:llm_requests_running": 12.0})
    assert "holds up to 12 requests and gives no token" in advised(
        size(Bottleneck.ENGINE_FROZEN, "P20.2", stuck, context(), ONE)
    )


def test_a_disk_and_a_file_system_are_told_with_their_figures() -> None:
    seen = evidence({"node:host_disk_await_seconds": 0.25, "node:host_io_pressure_full:ratio_rate2m": 0.3})
    assert "250 ms for a request" in advised(size(Bottleneck.DISK_SATURATION, "P17.1", seen, context()))
    full = evidence({"node:host_filesystem_available:ratio": 0.02})
    assert "2 % of the fullest file system of gpu-1, gpu-2" in advised(
        size(Bottleneck.FILESYSTEM_FULL, "P17.3", full, context())
    )


def test_engines_of_other_services_on_the_node_count() -> None:
    seen = evidence(STREAMING).model_copy(
        update={"placements": {ONE: Placement(node="gpu-1", neighbours=(TWO,), others=("other/10.0.0.9:8000",))}}
    )
    text = advised(size(CPU, "P15.1", seen, context(known=facts(), same_node=True)))
    assert "2 engines of this service share a node" in text
    assert "1 engines of other services" in text
    given = context("llamacpp", tuning={"host_cores": 32}, same_node=True)
    assert "to 10 (32 physical cores, 3 engines" in advised(size(CPU, "P15.5", seen, given))
