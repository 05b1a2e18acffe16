"""What has to be proposed in each story of the corpus, with values by formulas that are written out here.

They are those of docs/reference/tuning.md, from what the rules recorded; none of the recommender's own sizing is used.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from demo.faults.plans import Proposal
from demo.faults.promtool import Sample
from demo.faults.scenario import Kind
from recommender.knobs import load
from recommender.model import Change
from rules.catalog import Bottleneck

TOLERANCE = 0.10
_GIB = 2**30
_CAPTURED = (1, 2, 4, *range(8, 257, 8), *range(272, 1025, 16))  # batch sizes of vLLM's graphs

PLAYBOOKS: Mapping[Bottleneck, tuple[str, ...]] = {
    Bottleneck.GPU_MEMORY_PRESSURE: ("P01",),
    Bottleneck.KV_CACHE_PRESSURE: ("P02",),
    Bottleneck.QUEUE_BUILDUP: ("P03", "P04", "P05"),
    Bottleneck.ADMISSION_LIMITED: ("P04",),
    Bottleneck.PREFILL_BOUND: ("P05", "P07"),  # P07 where the engine does not tell what computing prompts takes
    Bottleneck.DECODE_BANDWIDTH_BOUND: ("P06",),
    Bottleneck.HIGH_LATENCY: ("P07", "P06", "P05"),
    Bottleneck.LOW_THROUGHPUT: ("P08", "P03", "P04"),  # slow answers leave a queue, which is acted on first
    Bottleneck.CACHE_INEFFICIENCY: ("P09",),
    Bottleneck.OVER_PROVISIONED: ("P23", "P10"),
    Bottleneck.GPU_IDLE: ("P10",),
    Bottleneck.REPLICA_IMBALANCE: ("P11",),
    Bottleneck.REPLICA_STRAGGLER: ("P11",),
    Bottleneck.GPU_THERMAL_THROTTLE: ("P12",),
    Bottleneck.GPU_POWER_LIMIT: ("P13",),
    Bottleneck.GPU_POWER_BRAKE: ("P13",),
    Bottleneck.GPU_FAULT: ("P14",),
    Bottleneck.GPU_LINK_DEGRADED: ("P14",),
    Bottleneck.GPU_REPAIR_PENDING: ("P14",),
    Bottleneck.HOST_CPU_SATURATION: ("P15",),
    Bottleneck.ENGINE_THREAD_SATURATION: ("P15",),
    Bottleneck.HOST_MEMORY_PRESSURE: ("P16",),
    Bottleneck.DISK_SATURATION: ("P17",),
    Bottleneck.FILESYSTEM_FULL: ("P17",),
    Bottleneck.NETWORK_SATURATION: ("P18",),
    Bottleneck.INTERCONNECT_SATURATION: ("P19",),
    Bottleneck.TARGET_DOWN: ("P20",),
    Bottleneck.ENGINE_FROZEN: ("P20",),
    Bottleneck.SLO_BURN: ("P21", "P07", "P06", "P05"),
    Bottleneck.PREDICTED_SATURATION: ("P22",),
    Bottleneck.COST_PER_TOKEN: ("P24",),
    Bottleneck.REQUEST_ERRORS: ("P25",),
}
"""First playbooks of each class."""

_UP, _DOWN = 1, -1
CHANGES: Mapping[Bottleneck, Mapping[str, int]] = {
    Bottleneck.KV_CACHE_PRESSURE: {"kv_cache_memory_fraction": _UP, "max_running_requests": _DOWN},
    Bottleneck.ADMISSION_LIMITED: {"max_running_requests": _UP},
    Bottleneck.QUEUE_BUILDUP: {"max_running_requests": _UP, "max_batched_tokens": _UP},
    Bottleneck.LOW_THROUGHPUT: {"max_running_requests": _UP},
    Bottleneck.PREFILL_BOUND: {"max_batched_tokens": _UP},
    Bottleneck.HIGH_LATENCY: {"max_batched_tokens": _DOWN},
    Bottleneck.CACHE_INEFFICIENCY: {"prefix_caching": _UP},
}
"""Knobs that may be changed for a class, and which way; everything else is advice."""

MUST_CHANGE = frozenset({Bottleneck.KV_CACHE_PRESSURE, Bottleneck.ADMISSION_LIMITED})
"""Classes whose stories tell all that a change needs."""


class Recorded:
    """What the rules recorded of one story, by name."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._all = [(one.labels.get("__name__", ""), one.labels.get("instance", ""), one.value) for one in samples]
        self._of = {(name, instance): value for name, instance, value in self._all}

    def of(self, name: str, instance: str) -> float:
        """Of one replica. Raises KeyError when it is not known."""
        return self._of[name, instance]

    def knows(self, name: str, instance: str) -> bool:
        """Whether it is known of one replica."""
        return (name, instance) in self._of

    def every(self, name: str) -> list[float]:
        """Of all places."""
        return [value for found, _, value in self._all if found == name]


def wrongs(found: Proposal, samples: Iterable[Sample]) -> Iterator[str]:
    """What is wrong with a proposal, each in a sentence."""
    injected, plan = found.scenario.injected, found.plan
    change = None if plan is None else plan.change
    if found.scenario.kind is not Kind.FAULT or injected is None:
        if change is not None:
            yield f"a change where all is well: {change.knob} {change.old} -> {change.new}"
        return
    if plan is None:
        yield "nothing is proposed"
        return
    if not plan.playbook.startswith(PLAYBOOKS[injected]):
        yield f"{plan.playbook} is not of {' or '.join(PLAYBOOKS[injected])}"
    if change is None:
        if injected in MUST_CHANGE:
            yield f"advice ({plan.playbook}) where a change is expected"
        return
    if _signed(change) != CHANGES.get(injected, {}).get(change.knob):
        yield f"{change.knob} {change.old} -> {change.new} is not what {injected.value} asks for"
        return
    yield from _value(change, plan.instances[0], Recorded(samples))
    yield from _legal(change, plan.engine_version)


def _signed(change: Change) -> int:
    if isinstance(change.old, str) or isinstance(change.new, str):
        return 0
    return _UP if change.new > change.old else _DOWN


def _value(change: Change, canary: str, recorded: Recorded) -> Iterator[str]:
    formula = _FORMULAS.get((change.knob, _signed(change)))
    if formula is None:
        yield f"nobody has written out how {change.knob} is sized"
        return
    wanted = formula(float(change.old), canary, recorded, change.engine)
    if abs(float(change.new) - wanted) > TOLERANCE * wanted:
        yield f"{change.knob} becomes {change.new}; by hand it is {wanted:g}"


def _legal(change: Change, version: str | None) -> Iterator[str]:
    knob = (load(change.engine) if version is None else load(change.engine).at(version)).get(change.knob)
    if knob is None:
        yield f"{change.engine} {version} has no {change.knob}"
    elif knob.parse(change.new) != change.new:
        yield f"{change.new} is not legal for {change.flag}"
    if change.feasibility is not None and change.feasibility.fits is not True:
        yield f"{change.knob} is not shown to fit: {change.feasibility.text}"


def _slots_up(old: float, canary: str, recorded: Recorded, engine: str) -> float:
    """P04 no. 1: min(0.85·capacity/tau, 2·old), or up to 4·old while half of KV stays free and ITL is sure to keep."""
    room = recorded.of("replica:llm_kv_cache_capacity_tokens", canary) / recorded.of(
        "replica:llm_tokens_per_running_request:avg5m", canary
    )
    step = 2 * old
    objective, itl = recorded.every("service:objective:itl_p95_seconds"), "replica:llm_itl_seconds:p95_5m"
    if objective and recorded.knows(itl, canary):
        kept = old * objective[0] / recorded.of(itl, canary)
        step = max(step, min(4 * old, math.floor(0.5 * room), kept))
    wanted = min(step, math.floor(0.85 * room))
    captured = max(size for size in _CAPTURED if size <= wanted) if engine == "vllm" else math.floor(wanted)
    return captured if captured > old else math.floor(wanted)


def _slots_down(old: float, canary: str, recorded: Recorded, engine: str) -> float:  # noqa: ARG001 - one signature
    """P02 no. 5: 0.95·capacity/tau, not below half of what runs."""
    room = recorded.of("replica:llm_kv_cache_capacity_tokens", canary) / recorded.of(
        "replica:llm_tokens_per_running_request:avg5m", canary
    )
    running = recorded.of("replica:llm_requests_running:avg2m", canary)
    return max(1, math.floor(0.95 * room), math.ceil(min(old, running) / 2))


def _share_up(old: float, canary: str, recorded: Recorded, engine: str) -> float:  # noqa: ARG001 - one signature
    """P02 no. 4: min(0.95, f + 0.03, f + (free - 3 GiB)/M), for the fullest GPU."""
    free = min(recorded.every("gpu:gpu_memory_free_bytes"))
    used = max(recorded.every("gpu:gpu_memory_used:ratio"))
    return min(0.95, old + 0.03, old + (free - 3 * _GIB) * (1 - used) / free)


def _tokens_down(old: float, canary: str, recorded: Recorded, engine: str) -> float:  # noqa: ARG001 - one signature
    """P05 no. 2: the power of two at or below old·objective/ITL, from 512 to 8192, at least half of the old."""
    late = recorded.of("replica:llm_itl_seconds:p99_5m", canary)
    wanted = old * recorded.every("service:objective:itl_p95_seconds")[0] / late
    return max(min(max(2.0 ** math.floor(math.log2(wanted)), 512.0), 8192.0), old / 2)


def _tokens_up(old: float, canary: str, recorded: Recorded, engine: str) -> float:  # noqa: ARG001 - one signature
    """P05 no. 3: twice as many, at most 8192."""
    return min(2 * old, 8192)


def _on(old: float, canary: str, recorded: Recorded, engine: str) -> float:  # noqa: ARG001 - one signature
    """P09 no. 3: the prefix cache is on."""
    return 1.0


_FORMULAS: Mapping[tuple[str, int], Callable[[float, str, Recorded, str], float]] = {
    ("max_running_requests", _UP): _slots_up,
    ("max_running_requests", _DOWN): _slots_down,
    ("kv_cache_memory_fraction", _UP): _share_up,
    ("max_batched_tokens", _DOWN): _tokens_down,
    ("max_batched_tokens", _UP): _tokens_up,
    ("prefix_caching", _UP): _on,
}
