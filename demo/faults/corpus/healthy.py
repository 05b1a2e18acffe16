"""Services of which all is well, read in every way there is, and disturbed on the way to Prometheus."""

from collections.abc import Iterator

from demo.faults.corpus.recorded import state
from demo.faults.corpus.shapes import BUSY, LONG, ONSET, QUIET, SHORT, healthy, machine, steady
from demo.faults.fleet import Fleet, GpuSource, HostSource, Node, Replica, Way
from demo.faults.perturb import Change, ClockStep, CoarseBuckets, CounterReset, Down, Lagging, Missed, Without
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from exporters.catalog import Engine

_AT = round(ONSET / 15)
_ENGINES = (Engine.VLLM, Engine.SGLANG, Engine.TGI, Engine.LLAMACPP, Engine.TENSORRT_LLM)
_VLLM_TIMES = ("vllm:time_to_first_token_seconds", "vllm:e2e_request_latency_seconds")
_PROBED_TIMES = ("llm_time_to_first_token_seconds", "llm_request_duration_seconds")

DISTURBANCES: dict[str, tuple[Change, ...]] = {
    "missed-scrape": (Missed((_AT,)),),
    "missed-scrapes": (Missed((_AT, _AT + 1, _AT + 9, _AT + 17, _AT + 23)),),
    "counter-reset": (CounterReset(_AT + 4),),
    "deploy": (Down(_AT, _AT + 3),),
    "clock-behind": (Lagging(3),),
    "clock-step": (ClockStep(_AT, 3600.0, 2, _VLLM_TIMES + _PROBED_TIMES),),
    "no-ttft": (Without(("llm_time_to_first_token_seconds", "vllm:time_to_first_token_seconds")),),
    "no-itl-buckets": (Without(("llm_inter_token_latency_seconds_bucket", "vllm:inter_token_latency_seconds_bucket")),),
    "no-queue-times": (Without(("llm_request_queue_seconds", "vllm:request_queue_time_seconds")),),
    "no-kv": (Without(("llm_kv_cache_usage_ratio", "vllm:kv_cache_usage_perc")),),
    "coarse-buckets": (
        CoarseBuckets("llm_time_to_first_token_seconds", (1.0, 10.0, 80.0)),
        CoarseBuckets("vllm:time_to_first_token_seconds", (1.0, 10.0, 80.0)),
    ),
}


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _engines()
    yield from _recorded()
    for number, (name, changes) in enumerate(DISTURBANCES.items()):
        for way in Way:
            seed = 740 + number
            fleet = Fleet(
                (Replica(steady(1, BUSY), way=way, changes=changes), Replica(steady(2, BUSY), way=way)),
            )
            yield healthy(f"healthy-{name}-{way.value}", fleet, seed, duration=LONG)
    alone = Fleet((Replica(steady(3, BUSY), changes=DISTURBANCES["deploy"]),))
    yield healthy("healthy-single-deploy", alone, 760, duration=LONG)
    disturbed: tuple[Change, ...] = (Missed((_AT, _AT + 7)), Lagging(4), CounterReset(_AT + 5))
    for number, change in enumerate(disturbed, start=761):
        nodes = (Node(changes=(change,)),)
        yield healthy(f"healthy-node-disturbed-{number}", Fleet((Replica(steady(1)),), nodes), number, duration=LONG)
    for gpu_source in GpuSource:
        for host_source in HostSource:
            fleet = machine(770, gpu_source=gpu_source, host_source=host_source)
            name = f"healthy-read-by-{gpu_source.value}-{host_source.value}".replace("_", "-")
            yield healthy(name, fleet, 770)


def _engines() -> Iterator[Scenario]:
    for number, engine in enumerate(_ENGINES):
        for way in Way:
            seed = 700 + number
            busy = Fleet((Replica(steady(seed, BUSY), engine, way),))
            yield healthy(f"healthy-busy-{engine.value}-{way.value}", busy, seed, duration=LONG)
            idle = Fleet((Replica(steady(1, Load()), engine, way),))
            yield healthy(f"healthy-idle-{engine.value}-{way.value}", idle, seed)
    for number, replicas in enumerate((1, 2, 4), start=710):
        fleet = Fleet(tuple(Replica(steady(1 + n, QUIET)) for n in range(replicas)))
        yield healthy(f"healthy-{replicas}-replicas", fleet, number, duration=LONG)


def _recorded() -> Iterator[Scenario]:
    for name in ("idle", "light", "steady", "prefix_hits"):
        for way in Way:
            replica = Replica(steady(1), way=way, pages=state(name, SHORT, 15.0, way))
            yield healthy(f"healthy-recorded-{name}-{way.value}".replace("_", "-"), Fleet((replica,)), 720)
