"""What can be why what else holds: precedence (tuning §0.2 no. 5), what each class does to a service, and where.

Precedence alone would let a busy host hide a full KV cache. So a class is a root only of what it can do (a limit on
slots does not make decode steps slow), at the replicas that it touches, and only where it does harm.
"""

from collections.abc import Mapping
from enum import StrEnum

from rules.catalog import Bottleneck

# First match is the root, the rest are its symptoms or weaker causes.
PRECEDENCE = (
    Bottleneck.TARGET_DOWN,
    Bottleneck.ENGINE_FROZEN,
    Bottleneck.GPU_FAULT,
    Bottleneck.GPU_POWER_BRAKE,
    Bottleneck.GPU_THERMAL_THROTTLE,
    Bottleneck.HOST_MEMORY_PRESSURE,
    Bottleneck.HOST_CPU_SATURATION,
    Bottleneck.ENGINE_THREAD_SATURATION,
    Bottleneck.GPU_MEMORY_PRESSURE,
    Bottleneck.KV_CACHE_PRESSURE,
    Bottleneck.ADMISSION_LIMITED,
    Bottleneck.DISK_SATURATION,  # engines that serve hardly need it: what they show themselves goes first
    Bottleneck.NETWORK_SATURATION,
    Bottleneck.GPU_LINK_DEGRADED,
    Bottleneck.INTERCONNECT_SATURATION,
    Bottleneck.PREFILL_BOUND,
    Bottleneck.DECODE_BANDWIDTH_BOUND,
    Bottleneck.REPLICA_STRAGGLER,
    Bottleneck.REPLICA_IMBALANCE,
    Bottleneck.REQUEST_ERRORS,
    Bottleneck.QUEUE_BUILDUP,
    Bottleneck.HIGH_LATENCY,
    Bottleneck.SLO_BURN,
    Bottleneck.LOW_THROUGHPUT,
    Bottleneck.GPU_POWER_LIMIT,  # a choice of somebody's: what the engine itself lacks goes first
    Bottleneck.GPU_IDLE,
    Bottleneck.CACHE_INEFFICIENCY,
    Bottleneck.FILESYSTEM_FULL,
    Bottleneck.GPU_REPAIR_PENDING,
    Bottleneck.PREDICTED_SATURATION,
    Bottleneck.OVER_PROVISIONED,
    Bottleneck.COST_PER_TOKEN,
)
_PLACE = {bottleneck: place for place, bottleneck in enumerate(PRECEDENCE)}


class Effect(StrEnum):
    """What users or other findings see of a cause."""

    FIRST_TOKEN = "first_token"  # noqa: S105 - it comes late; no password
    NEXT_TOKEN = "next_token"  # noqa: S105 - gaps between tokens are long; no password
    QUEUE = "queue"  # requests wait
    RATE = "rate"  # fewer tokens than there could be
    ERRORS = "errors"  # requests fail
    ABORTS = "aborts"  # clients give up
    DOWN = "down"  # an engine does not answer, or hangs
    OUTLIER = "outlier"  # a replica is slower than its siblings
    LOAD = "load"  # requests stay longer, or there are more of them, so that slots and KV fill (Little's law)
    COST = "cost"


_E = Effect
_SLOW = frozenset({_E.FIRST_TOKEN, _E.NEXT_TOKEN, _E.QUEUE, _E.RATE})
_LATE = frozenset({_E.FIRST_TOKEN, _E.QUEUE, _E.RATE})
_SLOW_DEVICE = _SLOW | {_E.OUTLIER, _E.LOAD}

DOES: Mapping[Bottleneck, frozenset[Effect]] = {
    Bottleneck.TARGET_DOWN: _SLOW | {_E.ERRORS, _E.LOAD},
    Bottleneck.ENGINE_FROZEN: _SLOW | {_E.ERRORS, _E.LOAD},
    Bottleneck.GPU_FAULT: _SLOW_DEVICE | {_E.ERRORS, _E.DOWN},
    Bottleneck.GPU_POWER_BRAKE: _SLOW_DEVICE,
    Bottleneck.GPU_THERMAL_THROTTLE: _SLOW_DEVICE,
    Bottleneck.GPU_POWER_LIMIT: _SLOW_DEVICE,
    Bottleneck.HOST_MEMORY_PRESSURE: _SLOW_DEVICE | {_E.ERRORS},  # and DOWN, where a process was killed
    Bottleneck.HOST_CPU_SATURATION: _SLOW_DEVICE,
    Bottleneck.ENGINE_THREAD_SATURATION: _SLOW_DEVICE,
    Bottleneck.GPU_MEMORY_PRESSURE: frozenset({_E.ERRORS}),  # nothing is slower before an allocation fails
    Bottleneck.KV_CACHE_PRESSURE: _SLOW | {_E.ERRORS},
    Bottleneck.ADMISSION_LIMITED: _LATE | {_E.ERRORS},
    Bottleneck.DISK_SATURATION: _SLOW_DEVICE,
    Bottleneck.NETWORK_SATURATION: _SLOW_DEVICE | {_E.ERRORS},
    Bottleneck.GPU_LINK_DEGRADED: _SLOW_DEVICE,
    Bottleneck.INTERCONNECT_SATURATION: _SLOW_DEVICE,
    Bottleneck.PREFILL_BOUND: _SLOW,
    Bottleneck.DECODE_BANDWIDTH_BOUND: _SLOW,
    Bottleneck.REPLICA_STRAGGLER: _SLOW,
    Bottleneck.REPLICA_IMBALANCE: _SLOW | {_E.LOAD},
    Bottleneck.REQUEST_ERRORS: frozenset({_E.ERRORS}),
    Bottleneck.CACHE_INEFFICIENCY: _LATE,
    Bottleneck.QUEUE_BUILDUP: frozenset({_E.FIRST_TOKEN, _E.ABORTS, _E.ERRORS}),
    Bottleneck.HIGH_LATENCY: frozenset({_E.ABORTS}),
    Bottleneck.GPU_IDLE: frozenset({_E.COST}),
    Bottleneck.OVER_PROVISIONED: frozenset({_E.COST}),
}
"""What a class does. Those that are left out do nothing to anybody: dangers, and spare capacity."""

IS: Mapping[Bottleneck, frozenset[Effect]] = {
    Bottleneck.TARGET_DOWN: frozenset({_E.DOWN}),
    Bottleneck.ENGINE_FROZEN: frozenset({_E.DOWN}),
    Bottleneck.KV_CACHE_PRESSURE: frozenset({_E.LOAD}),
    Bottleneck.ADMISSION_LIMITED: frozenset({_E.LOAD}),
    Bottleneck.REPLICA_STRAGGLER: frozenset({_E.OUTLIER}),
    Bottleneck.REQUEST_ERRORS: frozenset({_E.ERRORS}),
    Bottleneck.QUEUE_BUILDUP: frozenset({_E.QUEUE}),
    Bottleneck.LOW_THROUGHPUT: frozenset({_E.RATE}),
    Bottleneck.COST_PER_TOKEN: frozenset({_E.COST}),
}
"""What a finding is an effect of. That of latency and of a budget depends on which promise is broken: `symptoms`."""

# Requests of a replica that is away go to its siblings; those of an uneven or slow one make the service slow.
SPREADS = frozenset({Bottleneck.TARGET_DOWN, Bottleneck.ENGINE_FROZEN})

# What lies deeper than its precedence says: an engine that is away may have been ended by its GPU or for want of
# memory, and what fills one replica while a sibling is idle is how requests are spread.
_AWAY = frozenset({Bottleneck.TARGET_DOWN, Bottleneck.ENGINE_FROZEN})
_FULL = frozenset({Bottleneck.KV_CACHE_PRESSURE, Bottleneck.ADMISSION_LIMITED})
_DEEPER: Mapping[Bottleneck, frozenset[Bottleneck]] = {
    Bottleneck.GPU_FAULT: _AWAY,
    Bottleneck.HOST_MEMORY_PRESSURE: _AWAY,
    Bottleneck.REPLICA_IMBALANCE: _FULL,
}


def before(cause: tuple[bool, Bottleneck], other: tuple[bool, Bottleneck]) -> bool:
    """Whether `cause` may be why `other` holds, each as (is it a symptom, its class).

    A cause goes before every symptom, and else precedence tells. Clients give up after all else.
    """
    if cause[0] or other[0]:
        return _late_place(cause) < _late_place(other)
    if other[1] in _DEEPER.get(cause[1], ()):
        return True
    if cause[1] in _DEEPER.get(other[1], ()):
        return False
    return _PLACE[cause[1]] < _PLACE[other[1]]


def _late_place(one: tuple[bool, Bottleneck]) -> tuple[bool, bool, int]:
    return one[0], one[0] and one[1] is Bottleneck.REQUEST_ERRORS, _PLACE[one[1]]


def rank(bottleneck: Bottleneck) -> int:
    """Place in the order of precedence; lower goes first."""
    return _PLACE[bottleneck]
