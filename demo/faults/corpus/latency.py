"""Where the time goes: prompts (B05), device memory (B06), or nobody knows where (B07, B08)."""

from collections.abc import Iterator

from demo.faults.corpus.shapes import LONG, WARM_ONSET, changing, fault, lookalike, steady
from demo.faults.fleet import Fleet, GpuSource, Node, Replica, Way
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.inference import Setup
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from exporters.catalog import Engine
from rules.catalog.alerts import Bottleneck

B = Bottleneck
# Half a millisecond a prompt token: a prompt of 3,000 takes a second and a half.
SLOW_PREFILL = Setup(slots=8, blocks=3000, gamma_ms=0.5)
SHORT_PROMPTS = Load(rate=0.35, prompt=200, answer=40)
LONG_PROMPTS = Load(rate=0.3, prompt=3000, answer=40)
# A step of 85 ms alone and of 121 ms in a batch of six: ITL's objective of 100 ms breaks with the batch.
MEMORY_BOUND = Setup(slots=8, alpha_ms=79.0, beta_ms=7.0)
MOVING = GpuState(dram=0.74, tensor=0.18)
# A full batch holds about 82 % of the KV cache: neither room nor pressure.
BETWEEN = Setup(slots=6, blocks=61)
CROWD = Load(clients=16, spread=0.1)


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _prefill()
    yield from _decode()
    yield from _latency()
    yield from _throughput()
    yield from _lookalikes()


def _prefill() -> Iterator[Scenario]:
    def story(name: str, fleet: Fleet, seed: int) -> Scenario:
        return fault(f"prefill-{name}", fleet, seed, "LLMPrefillBound", onset=WARM_ONSET, duration=LONG)

    def run(seed: int) -> Replica:
        return Replica(changing(seed, LONG_PROMPTS, before=SHORT_PROMPTS, at=WARM_ONSET, setup=SLOW_PREFILL))

    yield story("vllm", Fleet((run(51),)), 51)
    yield story("two-replicas", Fleet((run(52), run(53))), 52)
    for seed, engine, way in (
        (54, Engine.VLLM, Way.DIRECT),
        (55, Engine.TENSORRT_LLM, Way.DIRECT),
        (56, Engine.SGLANG, Way.PROBED),
    ):
        made = Replica(run(seed).run, engine, way)
        yield story(f"{engine.value}-{way.value}", Fleet((made,)), seed)


def _decode() -> Iterator[Scenario]:
    few, many = Load(rate=0.1), Load(rate=1.0)
    for seed, source, way in (
        (61, GpuSource.BOTH, Way.PROBED),
        (62, GpuSource.DCGM, Way.PROBED),
        (63, GpuSource.BOTH, Way.DIRECT),
    ):
        node = Node(gpus=(GpuLife(((0.0, GpuState(dram=0.4)), (WARM_ONSET, MOVING))),), gpu_source=source)
        run = changing(seed, many, before=few, at=WARM_ONSET, setup=MEMORY_BOUND)
        replica = Replica(run, way=way)
        name = f"decode-bandwidth-{source.value}-{seed}"
        yield fault(name, Fleet((replica,), (node,)), seed, "LLMDecodeBandwidthBound", onset=WARM_ONSET, duration=LONG)
    nodes = (Node(gpus=(GpuLife(((0.0, MOVING),)),), gpu_source=GpuSource.BOTH),) * 2
    pair = tuple(
        Replica(changing(seed, many, before=few, at=WARM_ONSET, setup=MEMORY_BOUND), node=number)
        for number, seed in ((1, 64), (2, 65))
    )
    yield fault(
        "decode-bandwidth-two-nodes",
        Fleet(pair, nodes),
        64,
        "LLMDecodeBandwidthBound",
        onset=WARM_ONSET,
        duration=LONG,
    )
    sglang = Replica(changing(66, many, before=few, at=WARM_ONSET, setup=MEMORY_BOUND), Engine.SGLANG)
    yield fault(
        "decode-bandwidth-sglang",
        Fleet((sglang,), nodes[:1]),
        66,
        "LLMDecodeBandwidthBound",
        onset=WARM_ONSET,
        duration=LONG,
    )


def _latency() -> Iterator[Scenario]:
    """Users wait, and no known cause explains it."""
    few, many = Load(rate=0.1), Load(rate=1.0)
    unseen = changing(71, many, before=few, setup=MEMORY_BOUND)
    yield fault(
        "latency-itl-no-counters", Fleet((Replica(unseen),)), 71, "LLMHighITL", looks_like=B.DECODE_BANDWIDTH_BOUND
    )
    slowed = changing(72, Load(rate=0.6), slower=2.0)
    yield fault("latency-itl-slowed", Fleet((Replica(slowed),)), 72, "LLMHighITL", looks_like=B.GPU_THERMAL_THROTTLE)
    pair = tuple(Replica(changing(seed, Load(rate=0.6), slower=2.0), Engine.SGLANG) for seed in (73, 74))
    yield fault("latency-itl-sglang", Fleet(pair), 73, "LLMHighITL")
    strict = Fleet((Replica(steady(75)),), objectives=(("itl_p95_seconds", 0.03),))
    yield fault("latency-itl-strict-objective", strict, 75, "LLMHighITL", onset=0.0)
    # Long prompts and long answers on an engine that does not tell prefill: the first token is late, and whether by
    # prompts or by something else is not known.
    mixed = changing(
        76,
        Load(rate=0.12, prompt=2000, answer=400),
        before=Load(rate=0.1, prompt=200, answer=40),
        setup=Setup(slots=8, blocks=3000, gamma_ms=0.85),
    )
    yield fault("latency-ttft-sglang", Fleet((Replica(mixed, Engine.SGLANG),)), 76, "LLMHighTTFT", duration=LONG)


def _throughput() -> Iterator[Scenario]:
    """A backlog all the time, then the engine loses most of its speed and nothing tells why."""
    at = 300.0
    for seed, engine, way in (
        (81, Engine.VLLM, Way.PROBED),
        (82, Engine.LLAMACPP, Way.PROBED),
        (83, Engine.TGI, Way.DIRECT),
        (84, Engine.VLLM, Way.DIRECT),
        (85, Engine.LLAMACPP, Way.DIRECT),
    ):
        run = changing(seed, CROWD, before=CROWD, at=at, setup=BETWEEN, slower=3.0)
        yield fault(
            f"throughput-{engine.value}-{way.value}",
            Fleet((Replica(run, engine, way),)),
            seed,
            "LLMLowThroughput",
            onset=at,
            duration=LONG,
            also=(B.QUEUE_BUILDUP, B.HIGH_LATENCY),
        )


def _lookalikes() -> Iterator[Scenario]:
    # Device memory as busy, tokens in time: how decode works.
    node = Node(gpus=(GpuLife(((0.0, MOVING),)),), gpu_source=GpuSource.BOTH)
    for seed in (91, 92):
        fleet = Fleet((Replica(steady(seed)),), (node,))
        yield lookalike(f"decode-in-time-{seed}", fleet, seed, B.DECODE_BANDWIDTH_BOUND, duration=LONG)
    # Long prompts on an engine that is quick with them.
    quick = Setup(slots=8, blocks=3000, gamma_ms=0.02)
    for seed, engine in ((93, Engine.VLLM), (94, Engine.SGLANG), (95, Engine.TENSORRT_LLM)):
        fleet = Fleet((Replica(steady(seed, LONG_PROMPTS, quick), engine),))
        yield lookalike(f"prefill-quick-{engine.value}", fleet, seed, B.PREFILL_BOUND, duration=LONG)
    # Long prompts that users wait for, with an objective that allows it.
    patient = Fleet(
        (Replica(steady(96, LONG_PROMPTS, SLOW_PREFILL)),),
        objectives=(("ttft_p95_seconds", 20.0), ("itl_p95_seconds", 3.0)),
    )
    yield lookalike("prefill-allowed", patient, 96, B.PREFILL_BOUND, duration=LONG)
    # Less traffic gives fewer tokens.
    fewer = changing(97, Load(rate=0.2), before=Load(rate=1.5), at=WARM_ONSET)
    yield lookalike("throughput-less-traffic", Fleet((Replica(fewer),)), 97, B.LOW_THROUGHPUT, duration=LONG)
    # Fast engines: all their tokens fall into vLLM's first bucket, which ends at 10 ms.
    fast = Setup(slots=4, alpha_ms=6.0, beta_ms=0.2, gamma_ms=0.005)
    for way in Way:
        fleet = Fleet((Replica(steady(98, Load(rate=0.5, answer=60), fast), way=way),))
        yield lookalike(f"latency-fast-engine-{way.value}", fleet, 98, B.HIGH_LATENCY)
